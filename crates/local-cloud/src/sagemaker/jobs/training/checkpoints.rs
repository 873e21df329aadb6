//! Checkpoints: a folder of the program and a prefix in S3. The prefix fills the folder before the program starts. Then the prefix
//! follows the folder (*Use checkpoints in Amazon SageMaker*, SageMaker Developer Guide).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::artifacts::{self, UploadError};
use super::channels::{self, DownloadError};
use super::tree;
use crate::error::chain;
use crate::journal::Journal;
use crate::s3::{ObjectStore, StoreError, split_prefix};

/// The time between two looks at the folder.
const LOOK: Duration = Duration::from_secs(1);

/// A file as it was seen: its size in bytes, and when it was written last.
type Seen = (u64, SystemTime);

pub(super) struct Checkpoints<'a> {
    store: &'a ObjectStore,
    folder: PathBuf,
    /// `s3://bucket/prefix/`.
    location: String,
    /// The files that the prefix has, by their paths below the folder.
    stored: BTreeMap<String, Seen>,
    /// The files at the last look.
    last: BTreeMap<String, Seen>,
}

impl<'a> Checkpoints<'a> {
    /// Fills the folder with what the prefix has.
    pub(super) async fn restore(
        store: &'a ObjectStore,
        journal: &Arc<Journal>,
        folder: PathBuf,
        uri: &str,
    ) -> Result<Self, DownloadError> {
        let location = format!("{uri}/");
        let (bucket, prefix) = split_prefix(&location);
        let unwritable = |source| DownloadError::File { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(unwritable)?;
        for key in channels::keys(store, bucket, prefix)? {
            let name = &key[prefix.len()..];
            if !key.ends_with('/') {
                channels::check(name, &key)?;
                channels::copy(store, journal, bucket, &key, &folder.join(name), false).await?;
            }
        }
        let stored = files(&folder).map_err(unwritable)?;
        Ok(Self { store, folder, location, last: stored.clone(), stored })
    }

    /// Has the prefix follow the folder until `ended`, and once more after that.
    ///
    /// # Errors
    /// The last look failed. Earlier failures are logged, and tried again.
    pub(super) async fn follow(mut self, mut ended: watch::Receiver<bool>) -> Result<(), UploadError> {
        loop {
            tokio::select! {
                // The sender lives until the program has ended.
                () = async { drop(ended.wait_for(|ended| *ended).await) } => return self.store_changes(true).await,
                () = tokio::time::sleep(LOOK) => {}
            }
            if let Err(error) = self.store_changes(false).await {
                tracing::warn!(location = self.location, error = chain(&error), "a checkpoint cannot be stored yet");
            }
        }
    }

    /// Stores what is new, and deletes what is gone. A file that changed since the last look is being written, and waits unless this is
    /// the last look: half a checkpoint is worse than a late one.
    async fn store_changes(&mut self, is_last: bool) -> Result<(), UploadError> {
        let unreadable = |source| UploadError::Read { path: self.folder.clone(), source };
        let now = files(&self.folder).map_err(unreadable)?;
        for (name, seen) in &now {
            let is_ready = is_last || self.last.get(name) == Some(seen);
            if is_ready && self.stored.get(name) != Some(seen) {
                let stored =
                    artifacts::upload(self.store, &self.folder.join(name), &format!("{}{name}", self.location)).await;
                match stored {
                    // It was removed meanwhile: the next look sees that.
                    Err(UploadError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                    stored => {
                        stored?;
                        self.stored.insert(name.clone(), *seen);
                    }
                }
            }
        }
        let (bucket, prefix) = split_prefix(&self.location);
        let gone: Vec<String> = self.stored.keys().filter(|name| !now.contains_key(*name)).cloned().collect();
        for name in gone {
            let failed =
                |source: StoreError| UploadError::Write { location: format!("{}{name}", self.location), source };
            self.store.delete(bucket, &format!("{prefix}{name}"), |_| Ok(())).map_err(failed)?;
            self.stored.remove(&name);
        }
        self.last = now;
        Ok(())
    }
}

/// The plain files below a folder.
fn files(folder: &Path) -> io::Result<BTreeMap<String, Seen>> {
    let mut found = BTreeMap::new();
    for entry in tree::entries(folder)?.into_iter().filter(|entry| entry.kind.is_file()) {
        match fs::symlink_metadata(&entry.path).and_then(|file| Ok((file.len(), file.modified()?))) {
            Ok(seen) => _ = found.insert(entry.name, seen),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
