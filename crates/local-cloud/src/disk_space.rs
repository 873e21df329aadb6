//! The space of the disk: a reserve that is given up when the disk is full, so that things can still be deleted. A smaller one is kept
//! for a start, since others may take the space of the first.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::s3::StoreError;

/// The size of the reserve. The databases need less to delete what fills the disk.
const RESERVE: u64 = 16 << 20;
/// The size of the reserve for a start, which writes the records of the stack's endpoints.
const START_RESERVE: u64 = 2 << 20;
/// With less free space, the reserve is given up.
const FULL: u64 = 4 << 20;
/// With less free space, a warning is logged.
const LOW: u64 = 512 << 20;
/// How often the space is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The disk of a data folder.
#[derive(Debug)]
pub(crate) struct DiskSpace {
    folder: PathBuf,
    /// Whether the reserve is given up: nothing is taken in until it is there again.
    is_full: AtomicBool,
}

impl DiskSpace {
    /// Looks at the disk before anything is written to it.
    pub(crate) fn open(folder: &Path) -> Arc<Self> {
        let disk = Self { folder: folder.to_owned(), is_full: AtomicBool::new(false) };
        if disk.free_bytes().is_some_and(|free| free < FULL) {
            // Missing after an earlier start on a full disk.
            drop(fs::remove_file(disk.start_reserve()));
        }
        disk.look();
        Arc::new(disk)
    }

    /// The free space in bytes, if the system says it.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        free(&self.folder).ok()
    }

    /// An error while the disk is full.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if !self.is_full.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(StoreError::DiskFull(self.folder.clone()))
    }

    /// Looks at the disk from time to time. Never returns.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut is_low = false;
        loop {
            tokio::time::sleep(LOOK).await;
            let disk = Arc::clone(&self);
            let Ok(free) = tokio::task::spawn_blocking(move || disk.look()).await else { continue };
            let was_low = std::mem::replace(&mut is_low, free.is_some_and(|free| free < LOW));
            if is_low && !was_low {
                let megabytes = free.unwrap_or_default() >> 20;
                tracing::warn!(folder = %self.folder.display(), megabytes, "the disk is almost full");
            }
        }
    }

    fn start_reserve(&self) -> PathBuf {
        self.folder.join("reserve-start")
    }

    /// Gives the reserve up or takes it again. Returns the free space, in bytes.
    fn look(&self) -> Option<u64> {
        let free =
            free(&self.folder).inspect_err(|error| tracing::debug!(%error, "the free space is not known")).ok()?;
        let reserve = self.folder.join("reserve");
        let has_reserve = reserve.exists();
        if has_reserve && free < FULL {
            tracing::error!(folder = %self.folder.display(), "the disk is full: uploads are refused until space is freed");
            self.is_full.store(true, Ordering::Relaxed);
            if let Err(error) = fs::remove_file(&reserve) {
                tracing::error!(%error, "the reserve cannot be given up");
            }
        } else if !has_reserve {
            let has_room = free > 2 * RESERVE && allocate(&reserve, RESERVE).is_ok();
            self.is_full.store(!has_room, Ordering::Relaxed);
        }
        if free > 2 * RESERVE && !self.start_reserve().exists() {
            allocate(&self.start_reserve(), START_RESERVE)
                .unwrap_or_else(|error| tracing::debug!(%error, "there is no reserve for a start"));
        }
        Some(free)
    }
}

fn free(folder: &Path) -> io::Result<u64> {
    #[cfg(unix)]
    {
        let disk = rustix::fs::statvfs(folder)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
    #[cfg(not(unix))]
    Err(io::Error::new(io::ErrorKind::Unsupported, folder.display().to_string()))
}

/// Creates a file that has its space, in bytes.
fn allocate(path: &Path, size: u64) -> io::Result<()> {
    let file = File::create(path)?;
    let allocated = reserve_space(&file, size);
    if allocated.is_err() {
        fs::remove_file(path)?;
    }
    allocated
}

#[cfg(target_os = "linux")]
fn reserve_space(file: &File, size: u64) -> io::Result<()> {
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, size)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn reserve_space(mut file: &File, size: u64) -> io::Result<()> {
    for _ in 0..size >> 20 {
        io::Write::write_all(&mut file, &vec![0; 1 << 20])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_room_has_its_reserve() {
        let folder = tempfile::tempdir().unwrap();
        let disk = DiskSpace::open(folder.path());
        disk.check().unwrap();
        let size = |name| fs::metadata(folder.path().join(name)).unwrap().len();
        assert_eq!((size("reserve"), size("reserve-start")), (RESERVE, START_RESERVE));
        assert!(disk.look().unwrap() > 0);
    }
}
