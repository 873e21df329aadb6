//! A disk of its own for a data folder: ext4 in a file, on a loop device. It can be filled, and its power can be cut.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long the processes of a killed `up` may hold the disk.
const PATIENCE: Duration = Duration::from_secs(20);

/// A mounted disk.
pub(crate) struct LoopDisk {
    folder: tempfile::TempDir,
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

impl LoopDisk {
    /// A new disk of some megabytes. `None` where the user may not mount one; the reason is printed.
    pub(crate) fn new(megabytes: u64) -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(disk.mounted()).unwrap();
        File::create(disk.image()).unwrap().set_len(megabytes << 20).unwrap();
        let made = run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(disk.image()));
        match made.and_then(|()| disk.mount()) {
            Ok(()) => Some(disk),
            Err(error) => {
                eprintln!("skipped, since no disk can be mounted here: {error}");
                None
            }
        }
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Where the disk is mounted.
    pub(crate) fn mounted(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn mount(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.mounted()))
    }

    /// Cuts the power: the file system forgets everything that it has not given to the disk yet.
    #[allow(unsafe_code, reason = "no library has this call of the kernel")]
    pub(crate) fn cut(&self) {
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, linux/ext4.h.
        const SHUTDOWN: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(b'X', 125);
        let root = File::open(self.mounted()).unwrap();
        // SAFETY: the kernel reads one u32 and writes nothing.
        unsafe { rustix::ioctl::ioctl(&root, rustix::ioctl::Setter::<SHUTDOWN, u32>::new(2)).unwrap() };
    }

    /// Mounts the disk again after a cut. No process may use it any more.
    pub(crate) fn power_up(&self) {
        let start = Instant::now();
        loop {
            self.unmount().unwrap();
            self.mount().unwrap();
            // A mount namespace that was created meanwhile may hold the file system that has no power.
            match File::create(self.mounted().join("probe")) {
                Err(_) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
                probe => return drop(probe.unwrap()),
            }
        }
    }

    fn unmount(&self) -> Result<(), String> {
        let start = Instant::now();
        loop {
            match run(Command::new("umount").arg(self.mounted())) {
                Err(_) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
                result => return result,
            }
        }
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        let _ = self.unmount();
    }
}
