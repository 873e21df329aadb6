//! A view of the file system for one child: folders appear at other paths, such as a job's folder at `/opt/ml`. Nobody else sees it.
//!
//! Linux gives it without root and without a container runtime: a user namespace with the same user, and a mount namespace in it
//! (`user_namespaces(7)`, `mount_namespaces(7)`). A `tmpfs` covers `/opt`, and the other entries of `/opt` are bound into it again.

use std::io;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// What a child sees.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Folders, and the paths below `/opt` where they appear. Absolute paths.
    pub(crate) folders: Vec<(PathBuf, PathBuf)>,
    /// Paths of the view that cannot be written to, and the folders that lie there.
    pub(crate) read_only: Vec<(PathBuf, PathBuf)>,
    /// The file that appears as `/etc/hosts`.
    pub(crate) hosts: Option<PathBuf>,
    /// An empty folder, where the child finds the old `/opt`.
    pub(crate) stash: PathBuf,
}

impl View {
    /// A view of these folders, each with the path below `/opt` where it appears. `hosts` appears as `/etc/hosts`. `stash` is an empty
    /// folder. All paths are absolute.
    pub fn new(folders: Vec<(PathBuf, PathBuf)>, hosts: Option<PathBuf>, stash: PathBuf) -> Self {
        Self { folders, read_only: Vec::new(), hosts, stash }
    }

    /// Whether this system gives a process a view of its own, found out by trying.
    pub fn works() -> bool {
        Namespace::find().is_some()
    }

    /// Has a command start with this view.
    ///
    /// # Errors
    /// This system gives a process no view of its own, `/opt` cannot be read, or a path holds a NUL.
    pub fn show(&self, command: &mut Command) -> io::Result<()> {
        self.give(command, Namespace::find().ok_or(io::ErrorKind::Unsupported)?)
    }
}

/// How a child gets its view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// In a mount namespace: this process is root.
    Mount,
    /// In a user namespace and a mount namespace.
    UserAndMount,
}

impl Namespace {
    /// The first way that works, by trying it. `None` if the system allows none.
    pub(crate) fn find() -> Option<Self> {
        [Self::Mount, Self::UserAndMount].into_iter().find(|namespace| match namespace.try_out() {
            Ok(works) => works,
            Err(error) => {
                tracing::debug!(?namespace, %error, "no view of its own");
                false
            }
        })
    }

    fn try_out(self) -> io::Result<bool> {
        let folder = Trial::new()?;
        let shown = folder.0.join("shown");
        std::fs::create_dir(&shown)?;
        std::fs::write(shown.join("seen"), "")?;
        std::fs::create_dir(folder.0.join("stash"))?;
        let view = View { folders: vec![(shown, "/opt/ml".into())], stash: folder.0.join("stash"), ..View::default() };
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "test -f /opt/ml/seen"]);
        view.give(&mut command, self)?;
        Ok(command.into_std().status()?.success())
    }
}

/// A folder for a trial, removed at its end.
struct Trial(PathBuf);

impl Trial {
    fn new() -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("local-cloud-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // What is left in the temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(not(target_os = "linux"))]
impl View {
    pub(crate) fn give(&self, _: &mut Command, _: Namespace) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(target_os = "linux")]
impl View {
    /// Has the child arrange its view before it executes its program.
    pub(crate) fn give(&self, command: &mut Command, namespace: Namespace) -> io::Result<()> {
        let steps = self.steps(namespace)?;
        linux::before_exec(command, steps);
        Ok(())
    }

    /// Everything is prepared here, since the child may not allocate memory between fork and exec.
    fn steps(&self, namespace: Namespace) -> io::Result<Vec<linux::Step>> {
        use linux::Step;
        let mut steps = Step::enter(namespace);
        let (bind, recursive) = (libc::MS_BIND, libc::MS_BIND | libc::MS_REC);
        steps.push(Step::mount(None, Path::new("/"), libc::MS_PRIVATE | libc::MS_REC)?);
        let opt = Path::new("/opt");
        steps.push(Step::mount(Some(opt), &self.stash, recursive)?);
        steps.push(Step::Tmpfs(linux::c_string(opt)?));
        let covered = |at: &Path| self.folders.iter().any(|(_, shown)| shown.starts_with(at));
        for entry in std::fs::read_dir(opt)? {
            let entry = entry?;
            let (at, stashed) = (entry.path(), self.stash.join(entry.file_name()));
            if covered(&at) {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                steps.push(Step::Link(linux::c_string(&std::fs::read_link(&at)?)?, linux::c_string(&at)?));
                continue;
            }
            steps.push(if kind.is_dir() { Step::folder(&at)? } else { Step::File(linux::c_string(&at)?) });
            steps.push(Step::mount(Some(&stashed), &at, recursive)?);
        }
        let mut made: Vec<PathBuf> = Vec::new();
        for (folder, at) in &self.folders {
            let mut parents: Vec<&Path> = at.ancestors().take_while(|parent| *parent != opt).collect();
            parents.reverse();
            for parent in parents {
                // A folder within another one of the view lies there already.
                let within = self.folders.iter().any(|(_, other)| other != at && parent.starts_with(other));
                if !within && !made.iter().any(|made| made == parent) {
                    steps.push(Step::folder(parent)?);
                    made.push(parent.to_owned());
                }
            }
            // A folder of the old `/opt` is found where that one is now.
            let stashed = folder.strip_prefix(opt).ok().map(|below| self.stash.join(below));
            steps.push(Step::mount(Some(stashed.as_ref().unwrap_or(folder)), at, recursive)?);
        }
        for (at, folder) in &self.read_only {
            steps.push(Step::mount(Some(at), at, bind)?);
            // The flags of the file system stay: a user namespace may not take them off.
            let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | linux::mount_flags(folder)?;
            steps.push(Step::mount(None, at, flags)?);
        }
        if let Some(hosts) = &self.hosts {
            steps.push(Step::mount(Some(hosts), Path::new("/etc/hosts"), bind)?);
        }
        Ok(steps)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CString;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::ptr::null;

    use tokio::process::Command;

    use super::Namespace;

    /// A system call of the child, with its arguments.
    pub(super) enum Step {
        Unshare(libc::c_int),
        Write(CString, Vec<u8>),
        Mount { source: Option<CString>, target: CString, flags: libc::c_ulong },
        Tmpfs(CString),
        Folder(CString),
        File(CString),
        Link(CString, CString),
    }

    impl Step {
        /// The steps into the namespaces. The child's user and group stay what they are.
        #[allow(unsafe_code, reason = "the standard library does not tell the user's id")]
        pub(super) fn enter(namespace: Namespace) -> Vec<Self> {
            // SAFETY: both take nothing and cannot fail.
            let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
            match namespace {
                Namespace::Mount => vec![Self::Unshare(libc::CLONE_NEWNS)],
                Namespace::UserAndMount => vec![
                    Self::Unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS),
                    // Without this, an unprivileged process may not map its group.
                    Self::Write(c"/proc/self/setgroups".into(), b"deny".to_vec()),
                    Self::Write(c"/proc/self/uid_map".into(), format!("{user} {user} 1").into_bytes()),
                    Self::Write(c"/proc/self/gid_map".into(), format!("{group} {group} 1").into_bytes()),
                ],
            }
        }

        pub(super) fn mount(source: Option<&Path>, target: &Path, flags: libc::c_ulong) -> io::Result<Self> {
            Ok(Self::Mount { source: source.map(c_string).transpose()?, target: c_string(target)?, flags })
        }

        pub(super) fn folder(at: &Path) -> io::Result<Self> {
            Ok(Self::Folder(c_string(at)?))
        }

        /// Makes the system call. It allocates nothing.
        #[allow(unsafe_code, reason = "these system calls have no safe form that is allowed between fork and exec")]
        fn carry_out(&self) -> io::Result<()> {
            // SAFETY: all pointers are those of C strings and slices that live as long as `self`, or null where null is allowed.
            let result = unsafe {
                match self {
                    Self::Unshare(flags) => libc::unshare(*flags),
                    Self::Write(path, bytes) => {
                        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                        if file < 0 {
                            return Err(io::Error::last_os_error());
                        }
                        let written = libc::write(file, bytes.as_ptr().cast(), bytes.len());
                        let error = io::Error::last_os_error();
                        libc::close(file);
                        if written < 0 {
                            return Err(error);
                        }
                        0
                    }
                    Self::Mount { source, target, flags } => {
                        let source = source.as_ref().map_or(null(), |source| source.as_ptr());
                        libc::mount(source, target.as_ptr(), null(), *flags, null())
                    }
                    Self::Tmpfs(target) => libc::mount(
                        c"tmpfs".as_ptr(),
                        target.as_ptr(),
                        c"tmpfs".as_ptr(),
                        libc::MS_NOSUID | libc::MS_NODEV,
                        c"mode=755".as_ptr().cast(),
                    ),
                    Self::Folder(at) => libc::mkdir(at.as_ptr(), 0o755),
                    Self::File(at) => {
                        let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC;
                        let file = libc::open(at.as_ptr(), flags, 0o644 as libc::c_uint);
                        if file < 0 { file } else { libc::close(file) }
                    }
                    Self::Link(target, at) => libc::symlink(target.as_ptr(), at.as_ptr()),
                }
            };
            if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        }
    }

    #[allow(unsafe_code, reason = "the standard library has no safe way to mount between fork and exec")]
    pub(super) fn before_exec(command: &mut Command, steps: Vec<Step>) {
        // SAFETY: between fork and exec only async-signal-safe functions may be called. Every step is a few system calls on memory that
        // was prepared before; an error of the system is a number.
        unsafe {
            command.pre_exec(move || steps.iter().try_for_each(Step::carry_out));
        }
    }

    pub(super) fn c_string(path: &Path) -> io::Result<CString> {
        Ok(CString::new(path.as_os_str().as_bytes())?)
    }

    /// The flags of the file system with this folder, as `mount` takes them.
    #[allow(unsafe_code, reason = "the standard library does not read a file system's flags")]
    pub(super) fn mount_flags(folder: &Path) -> io::Result<libc::c_ulong> {
        let folder = c_string(folder)?;
        // SAFETY: zeros are a valid statvfs; the path is a C string, and the kernel fills the structure.
        let found = unsafe {
            let mut found: libc::statvfs = std::mem::zeroed();
            if libc::statvfs(folder.as_ptr(), &raw mut found) < 0 {
                return Err(io::Error::last_os_error());
            }
            found.f_flag
        };
        const RELATIME: libc::c_ulong = 4096;
        let same = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_NOATIME | libc::MS_NODIRATIME;
        let relative = if found & RELATIME == 0 { 0 } else { libc::MS_RELATIME };
        Ok((found & same) | relative)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;
    use std::process::Stdio;

    use super::*;

    /// What a shell prints in a view, in each way that this machine allows.
    fn seen(view: &View, script: &str) -> Vec<String> {
        let ways = [Namespace::Mount, Namespace::UserAndMount];
        let ways = ways.into_iter().filter(|way| way.try_out().unwrap_or(false));
        let run = |way| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]).stderr(Stdio::inherit());
            view.give(&mut command, way).unwrap();
            let output = command.into_std().output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        ways.map(run).collect()
    }

    #[test]
    fn a_folder_appears_at_another_path_for_one_process_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["ml", "ml/data", "stash"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("ml/data/x"), "found").unwrap();
        fs::write(path("hosts"), "127.0.0.1 algo-1\n").unwrap();
        let view = View {
            folders: vec![(path("ml"), "/opt/ml".into())],
            read_only: vec![("/opt/ml/data".into(), path("ml/data"))],
            hosts: Some(path("hosts")),
            stash: path("stash"),
        };
        let script = "cat /opt/ml/data/x; (echo y > /opt/ml/data/y) 2>/dev/null || echo ' refused'; cat /etc/hosts; id -u; \
                      ls /opt; echo left > /opt/ml/left";
        let before: Vec<_> = fs::read_dir("/opt").unwrap().map(|entry| entry.unwrap().file_name()).collect();
        for words in seen(&view, script) {
            let id = fs::metadata(path("left").parent().unwrap())
                .map(|found| std::os::unix::fs::MetadataExt::uid(&found))
                .unwrap();
            assert!(words.starts_with(&format!("found refused\n127.0.0.1 algo-1\n{id}\n")), "{words}");
            for entry in before.iter().filter_map(|name| name.to_str()) {
                assert!(words.lines().any(|line| line == entry), "{entry} is hidden: {words}");
            }
            assert_eq!(fs::read_to_string(path("ml/left")).unwrap(), "left\n");
        }
        let after: Vec<_> = fs::read_dir("/opt").unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(before, after, "others see it");
        assert_eq!(fs::read_dir(path("stash")).unwrap().count(), 0);
    }
}
