//! Child processes, which end with this process.

mod client_variables;
mod view;

use std::fs::{self, File};
use std::io;
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

/// The last eight lines of a log after byte `start`, for an error message.
pub(crate) fn log_tail(path: &Path, start: u64) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    // A shorter log was renamed since, and this one is new.
    let own = usize::try_from(start).ok().and_then(|start| bytes.get(start..)).unwrap_or(&bytes);
    let text = String::from_utf8_lossy(own);
    let lines: Vec<&str> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// Asks a child to end (SIGTERM), and kills it after `patience`.
pub(crate) async fn stop(child: &mut Child, patience: Duration) {
    #[cfg(unix)]
    if let Some(id) = child.id() {
        terminate(id);
        if tokio::time::timeout(patience, child.wait()).await.is_ok() {
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
