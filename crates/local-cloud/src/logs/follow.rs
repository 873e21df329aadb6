//! Follows a process's log file, and appends its lines to a stream.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::LogStream;

/// The time between two looks at the file.
const LOOK: Duration = Duration::from_millis(250);
/// The most bytes of the file that are read at once.
const AT_ONCE: u64 = 1 << 20;

/// Follows a file until it is finished or dropped.
pub(crate) struct Follower {
    finish: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Begins at byte `from` of a file, which need not exist yet.
    pub(crate) fn start(path: &Path, from: u64, stream: LogStream) -> Self {
        let (finish, mut finished) = oneshot::channel();
        let mut lines = Lines { path: path.to_owned(), at: from, rest: Vec::new() };
        let task = tokio::spawn(async move {
            loop {
                // A dropped sender means that the task is aborted.
                let last = tokio::time::timeout(LOOK, &mut finished).await.is_ok();
                let Ok((read, found)) = tokio::task::spawn_blocking(move || {
                    let found = lines.read(last);
                    (lines, found)
                })
                .await
                else {
                    return;
                };
                lines = read;
                let appended = match found {
                    Ok(found) => stream.append(found).map_err(io::Error::other),
                    Err(error) => Err(error),
                };
                if let Err(error) = appended {
                    tracing::warn!(log = %lines.path.display(), %error, "the lines of a log are lost to its stream");
                }
                if last {
                    return;
                }
            }
        });
        Self { finish: Some(finish), task }
    }

    /// Appends what the process has written up to now, and ends. A last line without an end counts.
    pub(crate) async fn finish(mut self) {
        if let Some(finish) = self.finish.take() {
            // The task may have ended, as the whole runtime does.
            let _ = finish.send(());
        }
        let _ = (&mut self.task).await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if self.finish.is_some() {
            self.task.abort();
        }
    }
}

/// The lines of a file that grows.
struct Lines {
    path: PathBuf,
    at: u64,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
}

impl Lines {
    /// The lines since the last look. `last`: a line without an end is one.
    fn read(&mut self, last: bool) -> io::Result<Vec<String>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        // A shorter file is a new one: the old one was renamed.
        if file.metadata()?.len() < self.at {
            self.at = 0;
        }
        let mut lines = Vec::new();
        file.seek(SeekFrom::Start(self.at))?;
        loop {
            let mut bytes = std::mem::take(&mut self.rest);
            let read = (&mut file).take(AT_ONCE).read_to_end(&mut bytes)?;
            self.at += read as u64;
            let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.rest = bytes.split_off(complete);
            lines.extend(text(&bytes).lines().map(str::to_owned));
            if read == 0 {
                break;
            }
        }
        // A line that never ends must not fill the memory.
        if (last || self.rest.len() as u64 > AT_ONCE) && !self.rest.is_empty() {
            lines.push(text(&std::mem::take(&mut self.rest)).into_owned());
        }
        Ok(lines)
    }
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_read_when_they_end_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut lines = Lines { path: path.clone(), at: 0, rest: Vec::new() };
        assert!(lines.read(false).unwrap().is_empty());
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\r\ntwo\nthr").unwrap();
        assert_eq!(lines.read(false).unwrap(), ["one", "two"]);
        file.write_all(b"ee\n\xff").unwrap();
        assert_eq!(lines.read(false).unwrap(), ["three"]);
        assert_eq!(lines.read(true).unwrap(), ["\u{fffd}"]);
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(lines.read(true).unwrap(), ["new"], "a file that replaced a longer one");
    }
}
