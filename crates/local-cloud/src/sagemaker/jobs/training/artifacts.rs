//! Outputs: folders become archives or objects in S3.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use tar::Builder;
use tokio::io::AsyncReadExt;

use super::stoppable::Stoppable;
use super::tree::{self, Entry};
use crate::journal::Journal;
use crate::s3::{Attributes, ObjectStore, StoreError, split_prefix};

/// How much of a file is read at once.
const CHUNK: usize = 1 << 20;

/// Why an output is not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error("{path} cannot be read")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{location} cannot be written")]
    Write {
        location: String,
        #[source]
        source: StoreError,
    },
}

/// Stores a file at `location`, `s3://bucket/key`. It is never in memory as a whole.
pub(super) async fn upload(store: &ObjectStore, path: &Path, location: &str) -> Result<(), UploadError> {
    let unreadable = |source| UploadError::Read { path: path.to_owned(), source };
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let chunks = stream::try_unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK];
        let read = file.read(&mut chunk).await?;
        chunk.truncate(read);
        Ok::<_, io::Error>((read > 0).then(|| (Bytes::from(chunk), file)))
    });
    let unwritable = |source| UploadError::Write { location: location.to_owned(), source };
    let blob = store.receive(Box::pin(chunks)).await.map_err(unwritable)?;
    let (bucket, key) = split_prefix(location);
    store.commit(bucket, key, blob, Attributes::default(), "PutObject", |_, _| Ok(())).map_err(unwritable)?;
    Ok(())
}

/// Archives the content of `folder`, stores the archive at `location`, and removes it. Returns the entries that were left out.
pub(super) async fn upload_archive(
    store: &ObjectStore,
    journal: &Arc<Journal>,
    folder: &Path,
    location: &str,
) -> Result<Vec<String>, UploadError> {
    let archive = folder.with_extension("tar.gz");
    let (from, to, journal) = (folder.to_owned(), archive.clone(), Arc::clone(journal));
    let left_out = tokio::task::spawn_blocking(move || pack(&from, &to, &journal))
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|source| UploadError::Read { path: folder.to_owned(), source })?;
    upload(store, &archive, location).await?;
    // It goes with the folder of the run otherwise.
    let _ = fs::remove_file(&archive);
    Ok(left_out)
}

/// Stores each file below `folder` under `location`, which ends with a slash. Returns the entries that were left out.
pub(super) async fn upload_files(
    store: &ObjectStore,
    folder: &Path,
    location: &str,
) -> Result<Vec<String>, UploadError> {
    let entries = tree::entries(folder).map_err(|source| UploadError::Read { path: folder.to_owned(), source })?;
    let mut left_out = Vec::new();
    for Entry { name, path, kind } in entries {
        if kind.is_file() {
            upload(store, &path, &format!("{location}{name}")).await?;
        } else if !kind.is_dir() {
            left_out.push(name);
        }
    }
    Ok(left_out)
}

/// Writes a `tar.gz` whose entries are relative to `folder`. Links stay links. Sockets, pipes and devices are left out.
fn pack(folder: &Path, archive: &Path, journal: &Arc<Journal>) -> io::Result<Vec<String>> {
    let file = Stoppable::new(io::BufWriter::with_capacity(CHUNK, File::create(archive)?), journal);
    let mut builder = Builder::new(GzEncoder::new(file, Compression::fast()));
    builder.follow_symlinks(false);
    let mut left_out = Vec::new();
    for Entry { name, path, kind } in tree::entries(folder)? {
        if kind.is_file() || kind.is_dir() || kind.is_symlink() {
            builder.append_path_with_name(&path, &name)?;
        } else {
            left_out.push(name);
        }
    }
    let file = builder.into_inner()?.finish()?;
    file.into_inner().into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(left_out)
}
