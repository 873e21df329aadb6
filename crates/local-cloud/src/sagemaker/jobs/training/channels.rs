//! Channels: objects of S3 become files below `/opt/ml/input/data`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::stoppable::Stoppable;
use crate::journal::Journal;
use crate::s3::{ListQuery, ObjectStore, StoreError, split_prefix, split_uri};
use crate::sagemaker::records::{Channel, InputMode};

/// The longest name of a file or a folder on common file systems, in bytes.
const LONGEST_NAME: usize = 255;
/// The largest manifest, in bytes. It is held in memory.
const LARGEST_MANIFEST: u64 = 256 << 20;

/// Why input data is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    #[error("No S3 objects found under S3 URL \"{0}\"")]
    Nothing(String),
    #[error("the key {key:?} cannot become a file: {problem}")]
    Key { key: String, problem: &'static str },
    #[error("the key {one:?} cannot be a file and a folder, because of the key {other:?}")]
    FileAndFolder { one: String, other: String },
    #[error("the manifest {uri} cannot be read: {problem}")]
    Manifest { uri: String, problem: String },
    #[error("the object {key:?} cannot be read")]
    Object {
        key: String,
        #[source]
        source: StoreError,
    },
    #[error("{path} cannot be written")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// An object, and the path of its file below the channel's folder.
type Placed = BTreeMap<String, (String, String)>;

/// Copies the objects of a channel to files in `folder`. Nothing is written outside of it.
pub(super) async fn download(
    channel: &Channel,
    folder: &Path,
    store: &ObjectStore,
    journal: &Arc<Journal>,
) -> Result<(), DownloadError> {
    let placed = if channel.is_manifest { manifest(channel, store).await? } else { prefix(&channel.uri, store)? };
    if placed.is_empty() {
        return Err(DownloadError::Nothing(channel.uri.clone()));
    }
    check_folders(&placed)?;
    create(folder)?;
    for (name, (bucket, key)) in &placed {
        let read_only = channel.mode == InputMode::FastFile;
        copy(store, journal, bucket, key, &folder.join(name), read_only).await?;
    }
    Ok(())
}

/// Copies an object to a file. A copy, since a link would let the program change the object.
pub(super) async fn copy(
    store: &ObjectStore,
    journal: &Arc<Journal>,
    bucket: &str,
    key: &str,
    path: &Path,
    read_only: bool,
) -> Result<(), DownloadError> {
    let (_, source) =
        store.open_file(bucket, key).await.map_err(|source| DownloadError::Object { key: key.to_owned(), source })?;
    let (to, journal) = (path.to_owned(), Arc::clone(journal));
    let written = tokio::task::spawn_blocking(move || {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = Stoppable::new(fs::File::create(&to)?, &journal);
        io::copy(&mut BufReader::with_capacity(1 << 20, source), &mut file)?;
        let file = file.into_inner();
        if read_only {
            let mut permissions = file.metadata()?.permissions();
            permissions.set_readonly(true);
            file.set_permissions(permissions)?;
        }
        Ok(())
    })
    .await
    .unwrap_or_else(|error| Err(io::Error::other(error)));
    written.map_err(|source| DownloadError::File { path: path.to_owned(), source })
}

fn create(folder: &Path) -> Result<(), DownloadError> {
    fs::create_dir_all(folder).map_err(|source| DownloadError::File { path: folder.to_owned(), source })
}

/// The objects under a prefix.
fn prefix(uri: &str, store: &ObjectStore) -> Result<Placed, DownloadError> {
    let (bucket, prefix) = split_prefix(uri);
    let mut placed = Placed::new();
    for key in keys(store, bucket, prefix)? {
        // A key that ends with a slash is the mark of an empty folder.
        if !key.ends_with('/') {
            place(&mut placed, below(prefix, &key), bucket, &key)?;
        }
    }
    Ok(placed)
}

/// All keys under a prefix, page by page.
pub(super) fn keys(store: &ObjectStore, bucket: &str, prefix: &str) -> Result<Vec<String>, DownloadError> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        let after = keys.last().cloned().unwrap_or_default();
        let query = ListQuery { prefix, after: &after, max_keys: 1000, ..ListQuery::default() };
        let listing =
            store.list(bucket, &query).map_err(|source| DownloadError::Object { key: prefix.to_owned(), source })?;
        keys.extend(listing.objects.into_iter().map(|object| object.key));
        if listing.next.is_none() {
            return Ok(keys);
        }
    }
}

/// The path of a key's file, given the prefix that it was found under. A prefix that is a part of a name leaves the whole name.
fn below<'a>(prefix: &str, key: &'a str) -> &'a str {
    let rest = &key[prefix.len()..];
    if prefix.is_empty() || prefix.ends_with('/') {
        return rest;
    }
    if let Some(rest) = rest.strip_prefix('/') {
        return rest;
    }
    &key[prefix.rfind('/').map_or(0, |slash| slash + 1)..]
}

fn place(placed: &mut Placed, name: &str, bucket: &str, key: &str) -> Result<(), DownloadError> {
    check(name, key)?;
    placed.insert(name.to_owned(), (bucket.to_owned(), key.to_owned()));
    Ok(())
}

/// Refuses a key whose path below a folder would lead out of it, or cannot exist.
pub(super) fn check(name: &str, key: &str) -> Result<(), DownloadError> {
    let refused = |problem| Err(DownloadError::Key { key: key.to_owned(), problem });
    for part in name.split('/') {
        match part {
            "" => return refused("a part of its path is empty"),
            "." | ".." => return refused("a part of its path is . or .."),
            part if part.len() > LONGEST_NAME => return refused("a part of its path has more than 255 bytes"),
            part if part.contains('\0') => return refused("it holds a NUL"),
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a file whose name is a folder's too.
fn check_folders(placed: &Placed) -> Result<(), DownloadError> {
    for (name, (_, key)) in placed {
        let parents = name.match_indices('/').map(|(slash, _)| &name[..slash]);
        for parent in parents {
            if let Some((_, other)) = placed.get(parent) {
                return Err(DownloadError::FileAndFolder { one: other.clone(), other: key.clone() });
            }
        }
    }
    Ok(())
}

/// The objects that a manifest lists: `[{"prefix": "s3://bucket/p/"}, "a/1.jpg", …]`.
async fn manifest(channel: &Channel, store: &ObjectStore) -> Result<Placed, DownloadError> {
    let uri = &channel.uri;
    let bad = |problem: &str| DownloadError::Manifest { uri: uri.clone(), problem: problem.to_owned() };
    let (bucket, key) = split_uri(uri).ok_or_else(|| bad("it is not s3://bucket/key"))?;
    let unreadable = |source| DownloadError::Object { key: key.to_owned(), source };
    if store.head(bucket, key).map_err(unreadable)?.size > LARGEST_MANIFEST {
        return Err(bad("it has more than 256 MB"));
    }
    let (_, bytes) = store.read(bucket, key).await.map_err(unreadable)?;
    let entries: Vec<Value> =
        serde_json::from_slice(&bytes).map_err(|error| bad(&format!("it is no list in JSON ({error})")))?;
    let mut entries = entries.into_iter();
    let first = entries.next().unwrap_or_default();
    let prefix = first["prefix"].as_str().ok_or_else(|| bad("it does not begin with {\"prefix\": \"s3://…\"}"))?;
    if !prefix.starts_with("s3://") {
        return Err(bad("its prefix is not s3://…"));
    }
    let mut placed = Placed::new();
    for entry in entries {
        let name = entry.as_str().ok_or_else(|| bad("an entry after the first one is no string"))?;
        let (bucket, key) = split_prefix(prefix);
        place(&mut placed, name, bucket, &format!("{key}{name}"))?;
    }
    Ok(placed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_becomes_a_path_below_its_prefix() {
        for (prefix, key, path) in [
            ("", "a/b.csv", "a/b.csv"),
            ("data/", "data/a/b.csv", "a/b.csv"),
            ("data", "data/a/b.csv", "a/b.csv"),
            ("data/b.csv", "data/b.csv", "b.csv"),
            ("b.csv", "b.csv", "b.csv"),
            ("data/tr", "data/train.csv", "train.csv"),
            ("data/train", "data/train2/x.csv", "train2/x.csv"),
            ("tr", "train/x.csv", "train/x.csv"),
        ] {
            assert_eq!(below(prefix, key), path, "{prefix} {key}");
        }
    }

    #[test]
    fn keys_that_cannot_be_files_are_refused() {
        let mut placed = Placed::new();
        for bad in ["", "a//b", "../x", "a/../../x", "./a", "/etc/passwd", "a\0b", &"x".repeat(256)] {
            assert!(place(&mut placed, bad, "b", bad).is_err(), "{bad:?}");
        }
        for good in ["a", "b/c", "..a/b..", &"x".repeat(255)] {
            place(&mut placed, good, "b", good).unwrap();
        }
        check_folders(&placed).unwrap();
        place(&mut placed, "a/b/c", "b", "k/a/b/c").unwrap();
        let words = check_folders(&placed).unwrap_err().to_string();
        assert!(words.contains("\"a\"") && words.contains("\"k/a/b/c\""), "{words}");
    }
}
