//! Child processes, which end with this process.

mod client_variables;
mod view;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::{OnceCell, mpsc, oneshot};

use crate::stack::Program;
pub(crate) use client_variables::{is_of_loader, of_client};
use view::Namespace;
pub use view::View;

/// The most bytes of a log's end that are read for an error message.
const LONGEST_TAIL: u64 = 64 << 10;

/// The variables that a child inherits from this process.
const INHERITED: [&str; 5] = ["RUST_LOG", "RUST_BACKTRACE", "TMPDIR", "TMP", "TEMP"];

type Order = (Command, oneshot::Sender<io::Result<Child>>);

/// Starts child processes from one thread that lives as long as the process. Linux kills a child when the *thread* that started it
/// ends, and a thread of the runtime may end early.
#[derive(Clone, Debug)]
pub(crate) struct Spawner {
    orders: mpsc::UnboundedSender<Order>,
    /// How a child can be given a view of its own: found out when it is first asked.
    namespace: Arc<OnceCell<Option<Namespace>>>,
}

impl Spawner {
    /// Must be called within a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let (orders, mut received) = mpsc::unbounded_channel::<Order>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            let _context = runtime.enter();
            while let Some((mut command, reply)) = received.blocking_recv() {
                // If the caller has gone, the child is dropped, which kills it.
                let _ = reply.send(command.spawn());
            }
        })?;
        Ok(Self { orders, namespace: Arc::default() })
    }

    /// Whether a child can be given a [`View`]. The kernel, or a container around this process, may not allow it.
    pub(crate) async fn gives_views(&self) -> bool {
        self.namespace().await.is_some()
    }

    async fn namespace(&self) -> Option<Namespace> {
        let found = || async { tokio::task::spawn_blocking(Namespace::find).await.ok().flatten() };
        *self.namespace.get_or_init(found).await
    }

    /// Starts `program`. Its own variables override those of `environment`. Its output is appended to `log`.
    pub(crate) async fn spawn<'a>(
        &self,
        program: &Program,
        environment: impl IntoIterator<Item = (&'a str, String)>,
        log: &Path,
    ) -> io::Result<Child> {
        let log = open_log(log)?;
        self.spawn_in(program, environment, [log.try_clone()?.into(), log.into()], None).await
    }

    /// Starts `program` with these standard outputs, and in a view of its own if it gets one.
    ///
    /// # Errors
    /// The program cannot be executed, or it cannot be given the view.
    pub(crate) async fn spawn_in<'a>(
        &self,
        program: &Program,
        environment: impl IntoIterator<Item = (&'a str, String)>,
        [stdout, stderr]: [Stdio; 2],
        view: Option<&View>,
    ) -> io::Result<Child> {
        let mut command = Command::new(&program.path);
        command
            .args(&program.arguments)
            .env_clear()
            .envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(environment)
            .envs(&program.environment)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(true);
        #[cfg(unix)]
        command.arg0(&program.arg0).process_group(0);
        if let Some(view) = view {
            let Some(namespace) = self.namespace().await else {
                return Err(io::Error::other("this system gives a process no view of its own"));
            };
            view.give(&mut command, namespace)?;
        }
        // A change of user namespace may undo this, so it comes last.
        end_with_parent(&mut command);
        let (reply, spawned) = oneshot::channel();
        self.orders.send((command, reply)).map_err(|_| io::Error::other("the spawner is gone"))?;
        spawned.await.map_err(io::Error::other)?
    }
}

/// Has the kernel kill the child when this process dies, by whatever signal. Nothing on systems other than Linux.
///
/// Linux kills it when the *thread* that starts it ends. A [`View`] is given to the command before.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "other systems have no such signal"))]
pub fn end_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    die_with_parent(command);
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the standard library has no safe way to prctl between fork and exec")]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe functions may be called; prctl and getppid are, and neither
    // allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the call above.
            if libc::getppid().cast_unsigned() != parent {
                return Err(io::ErrorKind::NotConnected.into());
            }
            Ok(())
        });
    }
}

/// The length of a log, in bytes.
pub(crate) fn log_len(path: &Path) -> u64 {
    fs::metadata(path).map(|log| log.len()).unwrap_or(0)
}

/// Opens a log to append to it.
pub(crate) fn open_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::options().create(true).append(true).open(path)
}

/// The last eight lines of a log after byte `start`, for an error message. Of long lines, the last 64 KB.
pub(crate) fn log_tail(path: &Path, start: u64) -> String {
    let bytes = end_of_file(path, start).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// The end of a file, which begins at byte `start` or after it.
fn end_of_file(path: &Path, start: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    // A shorter log was emptied or renamed since, and this one is new.
    let start = if start > length { 0 } else { start };
    file.seek(SeekFrom::Start(start.max(length.saturating_sub(LONGEST_TAIL))))?;
    let mut bytes = Vec::new();
    // The program may go on to write.
    file.take(LONGEST_TAIL).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Asks a child and the processes that it started to end (SIGTERM), and kills them after `patience`. Shells do not pass the signal on.
pub(crate) async fn stop(child: &mut Child, patience: Duration) {
    #[cfg(unix)]
    if let Some(id) = child.id() {
        signal_group(id, libc::SIGTERM);
        let has_ended = tokio::time::timeout(patience, child.wait()).await.is_ok();
        // What the child started may go on without it.
        signal_group(id, libc::SIGKILL);
        if has_ended {
            return;
        }
    }
    if let Err(error) = child.kill().await {
        tracing::warn!(%error, "a child process cannot be killed");
    }
}

/// Asks a child to end (SIGTERM). The caller has not waited for it yet, so that the id still names it.
#[cfg(unix)]
#[allow(unsafe_code, reason = "the standard library sends no signal but SIGKILL")]
pub fn terminate(child: u32) {
    if let Ok(child) = libc::pid_t::try_from(child) {
        // SAFETY: kill takes two integers.
        unsafe { libc::kill(child, libc::SIGTERM) };
    }
}

/// Sends a signal to a child and to every process of its group. The group is the child's own.
#[cfg(unix)]
#[allow(unsafe_code, reason = "the standard library sends no signal to a group")]
pub fn signal_group(leader: u32, signal: i32) {
    if let Ok(leader) = libc::pid_t::try_from(leader) {
        // SAFETY: kill takes two integers. A group without processes is an error, which means that there is nothing to do.
        unsafe { libc::kill(-leader, signal) };
    }
}

/// Kills every process whose environment has this variable. A process goes on when its parent has ended, so the parent does not count.
/// Only Linux shows the environments.
pub(crate) fn kill_marked(variable: &str, value: &str) {
    let marked = format!("{variable}={value}");
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let id = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        if let Some(id) = id
            && environment.split(|byte| *byte == 0).any(|entry| entry == marked.as_bytes())
        {
            kill(id);
        }
    }
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "the standard library kills its own children only")]
fn kill(id: libc::pid_t) {
    // SAFETY: kill takes two integers.
    unsafe { libc::kill(id, libc::SIGKILL) };
}

#[cfg(not(unix))]
fn kill(_: i32) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_read_and_nothing_before_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        assert_eq!(log_tail(&path, 0), "", "there is no log");
        fs::write(&path, "earlier\none\ntwo\n").unwrap();
        assert_eq!(log_tail(&path, 8), "one\ntwo");
        assert_eq!(log_tail(&path, 99), "earlier\none\ntwo", "the log was emptied since");
        fs::write(&path, "x".repeat(1 << 20) + "\nlast").unwrap();
        assert_eq!(end_of_file(&path, 0).unwrap().len() as u64, LONGEST_TAIL);
        assert_eq!(log_tail(&path, (1 << 20) - 2), "xx\nlast");
    }

    #[tokio::test]
    async fn a_child_that_is_stopped_leaves_no_process_behind() {
        for (trap, patience) in [("", Duration::from_secs(60)), ("trap '' TERM; ", Duration::from_millis(100))] {
            let mut shell = Command::new("/bin/sh");
            // The shell waits for its child, and does not pass a signal on. The output is closed when the last process has ended.
            shell.args(["-c", &format!("{trap}(trap '' TERM; echo; while :; do sleep 1; done) & wait")]);
            let mut child = shell.process_group(0).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
            let mut output = child.stdout.take().unwrap();
            tokio::io::AsyncReadExt::read_u8(&mut output).await.unwrap();
            stop(&mut child, patience).await;
            let mut rest = Vec::new();
            let closed = tokio::io::AsyncReadExt::read_to_end(&mut output, &mut rest);
            tokio::time::timeout(Duration::from_secs(60), closed).await.expect("a process goes on").unwrap();
        }
    }

    #[test]
    fn marked_processes_are_found_without_their_parent() {
        let value = uuid::Uuid::new_v4().to_string();
        let start = |value: &str| {
            let mut shell = std::process::Command::new("/bin/sh");
            let output =
                shell.args(["-c", "sleep 600 >/dev/null 2>&1 & echo $!"]).env("MARK_OF_TEST", value).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let (marked, other) = (start(&value), start("other"));
        let runs = |id: &str| fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        assert!(runs(&marked) && runs(&other));
        kill_marked("MARK_OF_TEST", &value);
        while runs(&marked) {
            std::thread::yield_now();
        }
        assert!(runs(&other));
        kill_marked("MARK_OF_TEST", "other");
    }
}
