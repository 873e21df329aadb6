//! The program of a run: its process, its output, and how it ended.

use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::mpsc;

use crate::child::{self, Spawner, View};
use crate::logs::LogStream;
use crate::sagemaker::hosting::Place;
use crate::stack::Program;

/// The longest line, in bytes. A longer one becomes several.
const LONGEST_LINE: u64 = 256 << 10;
/// The most lines that wait to be read. The program waits with them.
const MOST_WAITING: usize = 1024;
/// How long the output of a program that has ended may still be open.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How a program ended: its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended(pub(super) i32);

impl Ended {
    /// The exit code as Docker gives it: that of a signal is 128 and its number.
    fn of(status: ExitStatus) -> Self {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Self(128 + signal);
        }
        Self(status.code().unwrap_or(1))
    }

    /// The end of a program that cannot be executed, with a shell's exit code.
    pub(super) fn not_started(error: &io::Error) -> Self {
        Self(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
    }
}

/// What a program did.
pub(super) enum Happened {
    Line(String),
    Ended(io::Result<Ended>),
}

/// A running program.
pub(super) struct Running {
    child: Child,
    id: u32,
    lines: mpsc::Receiver<String>,
}

impl Running {
    pub(super) async fn start(
        spawner: &Spawner,
        program: &Program,
        environment: impl IntoIterator<Item = (&'static str, String)>,
        view: Option<&View>,
    ) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let outputs = [writer.try_clone()?.into(), writer.into()];
        let child = spawner.spawn_in(program, environment, outputs, view).await?;
        let (sender, lines) = mpsc::channel(MOST_WAITING);
        // It ends with the output, which is closed when the last process of the run has ended.
        std::thread::Builder::new().name("output".to_owned()).spawn(move || read_lines(reader, &sender))?;
        let id = child.id().unwrap_or_default();
        Ok(Self { child, id, lines })
    }

    /// The next line of its output, or the end of its main process.
    pub(super) async fn next(&mut self) -> Happened {
        tokio::select! {
            biased;
            Some(line) = self.lines.recv() => Happened::Line(line),
            status = self.child.wait() => Happened::Ended(status.map(Ended::of)),
        }
    }

    /// Asks every process of its group to end. Shells and launchers do not always pass the signal on.
    pub(super) fn terminate(&mut self) {
        #[cfg(unix)]
        child::signal_group(self.id, libc::SIGTERM);
        #[cfg(not(unix))]
        self.kill();
    }

    /// Kills every process of its group.
    pub(super) fn kill(&mut self) {
        #[cfg(unix)]
        child::signal_group(self.id, libc::SIGKILL);
        // It may have ended already.
        #[cfg(not(unix))]
        let _ = self.child.start_kill();
    }

    /// The lines that are left when the program has ended. Its remaining processes, which carry this mark, are killed first.
    pub(super) async fn last_lines(mut self, mark: &str) -> Vec<String> {
        self.kill();
        child::kill_marked(super::MARK, mark);
        let mut lines = Vec::new();
        let read = async {
            while let Some(line) = self.lines.recv().await {
                lines.push(line);
            }
        };
        // A process that cannot be found may hold the output open. Nobody waits for it.
        let _ = tokio::time::timeout(LAST_WORDS, read).await;
        lines
    }
}

impl Drop for Running {
    /// What is dropped while it runs is killed with its whole group: the job is resumed by the next start.
    fn drop(&mut self) {
        self.kill();
    }
}

fn read_lines(output: impl Read, lines: &mpsc::Sender<String>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        match output.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if lines.blocking_send(String::from_utf8_lossy(&line).into_owned()).is_err() {
            return;
        }
    }
}

/// The log of a run, as a file and as a stream of CloudWatch Logs. One place decides where a program's output goes.
pub(super) struct Output {
    file: PathBuf,
    stream: LogStream,
}

impl Output {
    /// The output of a job's program, which began at `started`, in milliseconds since 1970.
    pub(super) fn of_job(place: &Place, job: &str, started: i64) -> Self {
        let name = format!("algo-1-{}", started / 1000);
        Self {
            file: place.logs.join("training").join(job).join(format!("{name}.log")),
            stream: place.streams.stream("/aws/sagemaker/TrainingJobs", &format!("{job}/{name}")),
        }
    }

    /// The last lines of a job's newest log.
    pub(super) fn last_lines(place: &Place, job: &str) -> String {
        let logs = std::fs::read_dir(place.logs.join("training").join(job)).into_iter().flatten();
        // The end of a rotated one is older.
        let is_log = |log: &PathBuf| log.extension().is_some_and(|ending| ending == "log");
        let newest = logs.filter_map(|log| Some(log.ok()?.path())).filter(is_log).max();
        newest.map(|log| child::log_tail(&log, 0)).unwrap_or_default()
    }

    /// Appends a line. A log that cannot be written does not stop the job.
    pub(super) fn append(&self, line: &str) {
        let written = child::open_log(&self.file)
            .and_then(|mut log| io::Write::write_all(&mut log, format!("{line}\n").as_bytes()));
        let written = written.and_then(|()| self.stream.append([line]).map_err(io::Error::other));
        if let Err(error) = written {
            tracing::warn!(log = %self.file.display(), %error, "a line of a job's output cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_need_no_end() {
        let (sender, mut lines) = mpsc::channel(10);
        let long = "x".repeat(LONGEST_LINE as usize + 3);
        read_lines(format!("a\n\nb\rc\n{long}\n\u{e9}end").as_bytes(), &sender);
        read_lines(&b"\xff\n"[..], &sender);
        drop(sender);
        let mut seen = Vec::new();
        while let Ok(line) = lines.try_recv() {
            seen.push(line);
        }
        assert_eq!(seen, ["a", "", "b\rc", &long[..long.len() - 3], "xxx", "\u{e9}end", "\u{fffd}"]);
    }
}
