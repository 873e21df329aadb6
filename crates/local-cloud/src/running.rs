//! A note of a running cloud in its data folder, by which other processes of the same user find it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::stack::Image;

/// The name of the note. It stays when the process is killed, so the lock of the folder says whether it holds.
const NOTE: &str = "lock-note.json";

/// Where a cloud listens, and the images that it has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Running {
    /// The URL of the AWS endpoint.
    pub aws: String,
    /// The images that models and training jobs can name.
    pub images: Vec<Image>,
}

impl Running {
    /// The cloud that runs over this data folder now. `None`: there is none, or it is still starting.
    ///
    /// # Errors
    /// The note or the lock cannot be read, or the note is of another version.
    pub fn find(data: &Path) -> io::Result<Option<Self>> {
        let lock = match File::open(data.join("lock")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match lock.try_lock_shared() {
            Ok(()) => return Ok(None),
            Err(fs::TryLockError::WouldBlock) => {}
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        match fs::read(data.join(NOTE)) {
            Ok(note) => Ok(Some(serde_json::from_slice(&note)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the note of an earlier cloud away. The caller holds the lock.
    pub(crate) fn forget(data: &Path) -> io::Result<()> {
        match fs::remove_file(data.join(NOTE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes the note, which appears whole. The environment of a program may hold secrets, so only the owner may read it.
    pub(crate) fn write(&self, data: &Path) -> io::Result<()> {
        let half = data.join(format!("{NOTE}.half"));
        let mut options = File::options();
        options.create(true).write(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        io::Write::write_all(&mut options.open(&half)?, &serde_json::to_vec(self)?)?;
        fs::rename(half, data.join(NOTE))
    }
}
