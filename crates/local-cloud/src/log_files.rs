//! The log files of child processes, which write to them directly, and of jobs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The length of a log, in bytes, at which it is rotated.
const LIMIT: u64 = 16 << 20;
/// The ending of a rotated log.
const OLD: &str = "log.old";
/// How often the lengths are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// The log files of a cloud. Clones are the same.
#[derive(Clone)]
pub(crate) struct LogFiles {
    folder: PathBuf,
    /// Who holds it may write to the files, apart from the child processes, which append.
    turn: Arc<Mutex<()>>,
}

impl LogFiles {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, turn: Arc::default() }
    }

    /// Rotates long logs from time to time. Never returns.
    pub(crate) async fn watch(self) {
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            let files = self.clone();
            match tokio::task::spawn_blocking(move || files.rotate(LIMIT)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a log cannot be rotated"),
                Err(error) => tracing::warn!(%error, "the rotation of logs broke off"),
            }
        }
    }

    /// Does something with every log, whether rotated or not.
    pub(crate) fn each(&self, mut work: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for log in self.logs()? {
            work(&log)?;
            let old = log.with_extension(OLD);
            if old.exists() {
                work(&old)?;
            }
        }
        Ok(())
    }

    /// Copies long logs and empties them. Their writers append, and so go on at the beginning.
    fn rotate(&self, limit: u64) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for log in self.logs()? {
            if fs::metadata(&log)?.len() > limit {
                fs::copy(&log, log.with_extension(OLD))?;
                File::options().write(true).open(&log)?.set_len(0)?;
            }
        }
        Ok(())
    }

    /// The logs of the folder and of its folders, which are those of created endpoints and of jobs.
    fn logs(&self) -> io::Result<Vec<PathBuf>> {
        let (mut logs, mut folders) = (Vec::new(), vec![self.folder.clone()]);
        // The log of planned faults is a history, which is read as a whole.
        let faults = self.folder.join("faults.log");
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let path = entry.path();
                if entry.file_type()?.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "log") && path != faults {
                    logs.push(path);
                }
            }
        }
        Ok(logs)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_long_log_is_rotated_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("function.log");
        let mut writer = File::options().create(true).append(true).open(&path).unwrap();
        writer.write_all(b"a long line\n").unwrap();
        LogFiles::new(folder.path().to_owned()).rotate(100).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a long line\n");
        LogFiles::new(folder.path().to_owned()).rotate(5).unwrap();
        writer.write_all(b"next\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "next\n");
        assert_eq!(fs::read_to_string(path.with_extension(OLD)).unwrap(), "a long line\n");
        LogFiles::new(folder.path().join("missing")).rotate(5).unwrap();
    }

    #[test]
    fn the_logs_of_endpoints_and_jobs_lie_deeper() {
        let folder = tempfile::tempdir().unwrap();
        for log in ["faults.log", "own.log", "endpoints/e/c.v.log", "training/j/algo-1-7.log", "training/j/note.txt"] {
            let path = folder.path().join(log);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "long").unwrap();
        }
        let logs = LogFiles::new(folder.path().to_owned());
        logs.rotate(1).unwrap();
        let mut seen = Vec::new();
        logs.each(|log| {
            seen.push(log.strip_prefix(folder.path()).unwrap().display().to_string());
            Ok(())
        })
        .unwrap();
        seen.sort();
        let of = |log: &str| [log.to_owned(), format!("{log}.old")];
        assert_eq!(seen, ["endpoints/e/c.v.log", "own.log", "training/j/algo-1-7.log"].map(of).concat());
    }
}
