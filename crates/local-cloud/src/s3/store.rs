//! Objects: bytes in files that are never changed, everything else in the journal.
//!
//! `s3s-fs` keeps bytes, metadata and ETag in three files, written one after the other: two uploads of one key at once,
//! or a kill between two of the files, leave one picture under another's ETag. Here an object is one row, and the event
//! it causes is written with it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use md5::{Digest, Md5};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use crate::CloudError;
use crate::events::{Events, ObjectCreated};
use crate::journal::Journal;

/// Why an operation on objects failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("there is no bucket {0}")]
    NoSuchBucket(String),
    #[error("there is no object {0}")]
    NoSuchKey(String),
    #[error("there is no multipart upload {0}")]
    NoSuchUpload(String),
    #[error("{0}")]
    InvalidPart(String),
    #[error("the bucket {0} is not empty")]
    BucketNotEmpty(String),
    #[error("the object is not the one that was expected")]
    PreconditionFailed,
    #[error("the body breaks off or does not match what was said of it: {0}")]
    BadBody(String),
    #[error("the journal failed")]
    Journal(#[from] rusqlite::Error),
    #[error("the object store failed")]
    Io(#[from] io::Error),
}

/// What an object carries beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_disposition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_language: Option<String>,
    /// `x-amz-meta-*`, without the prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
}

/// An object, but for its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) blob: String,
    pub(crate) size: u64,
    pub(crate) etag: String,
    /// Milliseconds since 1970.
    pub(crate) modified: i64,
    pub(crate) attributes: Attributes,
}

/// Bytes that were received and belong to no object yet.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) etag: String,
}

/// A file that is removed again unless it is kept: whoever writes it may fail, or be dropped in the middle.
pub(super) struct Draft<'a> {
    store: &'a ObjectStore,
    pub(super) name: String,
    kept: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(store: &'a ObjectStore) -> Self {
        Self { store, name: Uuid::new_v4().to_string(), kept: false }
    }

    pub(super) fn keep(mut self) -> String {
        self.kept = true;
        std::mem::take(&mut self.name)
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.store.remove_blob(&self.name);
        }
    }
}

pub(crate) struct ObjectStore {
    blobs: PathBuf,
    pub(super) journal: Arc<Journal>,
    events: Events,
}

impl ObjectStore {
    /// Opens the store in `folder` and forgets bytes that belong to no object.
    pub(crate) fn open(folder: &Path, journal: Arc<Journal>, events: Events) -> Result<Self, CloudError> {
        let blobs = folder.join("blobs");
        let data_folder = |source| CloudError::DataFolder { path: blobs.clone(), source };
        fs::create_dir_all(&blobs).map_err(data_folder)?;
        let store = Self { blobs: blobs.clone(), journal, events };
        store.collect_garbage().map_err(|error| match error {
            StoreError::Journal(source) => CloudError::Journal { path: blobs.clone(), source },
            StoreError::Io(source) => data_folder(source),
            other => data_folder(io::Error::other(other)),
        })?;
        Ok(store)
    }

    fn collect_garbage(&self) -> Result<(), StoreError> {
        for entry in fs::read_dir(&self.blobs)? {
            let entry = entry?;
            let name = entry.file_name();
            let used = match name.to_str() {
                Some(name) => self.journal.read(|connection| is_used(connection, name))?,
                None => false,
            };
            if !used {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    pub(crate) fn create_bucket(&self, name: &str) -> Result<(), StoreError> {
        self.journal.write(|transaction| {
            transaction.execute(
                "INSERT OR IGNORE INTO bucket VALUES (?, ?)",
                params![name, self.journal.clock().now_millis()],
            )?;
            Ok(())
        })
    }

    pub(crate) fn delete_bucket(&self, name: &str) -> Result<(), StoreError> {
        self.check_bucket(name)?;
        self.journal.write(|transaction| {
            let full = transaction.prepare("SELECT 1 FROM object WHERE bucket = ?")?.exists([name])?;
            if full {
                return Err(StoreError::BucketNotEmpty(name.to_owned()));
            }
            transaction.execute("DELETE FROM bucket WHERE name = ?", [name])?;
            Ok(())
        })
    }

    /// Every bucket, with its creation in milliseconds since 1970.
    pub(crate) fn buckets(&self) -> Result<Vec<(String, i64)>, StoreError> {
        self.journal.read(|connection| {
            let mut statement = connection.prepare("SELECT name, created FROM bucket ORDER BY name")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    pub(crate) fn check_bucket(&self, name: &str) -> Result<(), StoreError> {
        let known = self
            .journal
            .read(|connection| connection.prepare_cached("SELECT 1 FROM bucket WHERE name = ?")?.exists([name]))?;
        if known { Ok(()) } else { Err(StoreError::NoSuchBucket(name.to_owned())) }
    }

    /// Writes a body to a file of its own. `observe` sees every chunk as it passes.
    pub(crate) async fn receive<E: std::fmt::Display>(
        &self,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        mut observe: impl FnMut(&[u8]),
    ) -> Result<Blob, StoreError> {
        let draft = Draft::new(self);
        let mut file = tokio::fs::File::create(self.blob_path(&draft.name)).await?;
        let mut md5 = Md5::new();
        let mut size = 0;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| StoreError::BadBody(error.to_string()))?;
            md5.update(&chunk);
            observe(&chunk);
            size += chunk.len() as u64;
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        Ok(Blob { name: draft.keep(), size, etag: hex(&md5.finalize()) })
    }

    /// Stores bytes that a service made. Their ETag is unique and no MD5, as of objects that a service encrypts: hashing
    /// a strip would take longer than writing it.
    pub(crate) async fn put(
        self: &Arc<Self>,
        bucket: &str,
        key: &str,
        bytes: Bytes,
        attributes: Attributes,
    ) -> Result<Object, StoreError> {
        let store = Arc::clone(self);
        let blob = tokio::task::spawn_blocking(move || {
            let draft = Draft::new(&store);
            fs::write(store.blob_path(&draft.name), &bytes)?;
            let name = draft.keep();
            let etag = format!("{}-1", name.replace('-', ""));
            Ok::<_, io::Error>(Blob { name, size: bytes.len() as u64, etag })
        })
        .await
        .map_err(io::Error::other)??;
        self.commit(bucket, key, blob, attributes, "PutObject", |_| Ok(()))
    }

    /// Makes received bytes an object, if `condition` likes what is there now, and tells the world in the same
    /// transaction.
    pub(crate) fn commit(
        &self,
        bucket: &str,
        key: &str,
        blob: Blob,
        attributes: Attributes,
        reason: &str,
        condition: impl FnOnce(Option<&Object>) -> Result<(), StoreError>,
    ) -> Result<Object, StoreError> {
        let name = blob.name.clone();
        let committed = self.journal.write(|transaction| {
            let known = transaction.prepare_cached("SELECT 1 FROM bucket WHERE name = ?")?.exists([bucket])?;
            if !known {
                return Err(StoreError::NoSuchBucket(bucket.to_owned()));
            }
            condition(find(transaction, bucket, key)?.as_ref())?;
            self.replace(transaction, bucket, key, blob, attributes, reason)
        });
        match committed {
            Ok((object, replaced)) => {
                replaced.into_iter().for_each(|blob| self.remove_blob(&blob));
                Ok(object)
            }
            Err(error) => {
                self.remove_blob(&name);
                Err(error)
            }
        }
    }

    /// The new object, and the bytes that nothing uses any more.
    pub(super) fn replace(
        &self,
        transaction: &Transaction<'_>,
        bucket: &str,
        key: &str,
        blob: Blob,
        attributes: Attributes,
        reason: &str,
    ) -> Result<(Object, Option<String>), StoreError> {
        let before = find(transaction, bucket, key)?;
        let object = Object {
            key: key.to_owned(),
            blob: blob.name,
            size: blob.size,
            etag: blob.etag,
            modified: self.journal.clock().now_millis(),
            attributes,
        };
        let attributes = serde_json::to_string(&object.attributes).map_err(io::Error::other)?;
        transaction.prepare_cached("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?, ?, ?)")?.execute(params![
            bucket,
            key,
            object.blob,
            object.size,
            object.etag,
            object.modified,
            attributes
        ])?;
        // Microseconds, but never twice the same and never backwards.
        let sequencer = transaction
            .prepare_cached("UPDATE sequencer SET last = max(last + 1, ?) RETURNING last")?
            .query_row([self.journal.clock().now_millis() * 1000], |row| row.get(0))?;
        let created = ObjectCreated { bucket, key, etag: &object.etag, size: object.size, sequencer, reason };
        self.events.object_created(transaction, &created)?;
        let unused = match before {
            Some(before) if !is_used(transaction, &before.blob)? => Some(before.blob),
            _ => None,
        };
        Ok((object, unused))
    }

    pub(crate) fn head(&self, bucket: &str, key: &str) -> Result<Object, StoreError> {
        match self.journal.read(|connection| find(connection, bucket, key))? {
            Some(object) => Ok(object),
            None => {
                self.check_bucket(bucket)?;
                Err(StoreError::NoSuchKey(key.to_owned()))
            }
        }
    }

    /// An object with its bytes, opened: a later overwrite does not touch them.
    pub(crate) async fn open_object(&self, bucket: &str, key: &str) -> Result<(Object, tokio::fs::File), StoreError> {
        loop {
            let object = self.head(bucket, key)?;
            match tokio::fs::File::open(self.blobs.join(&object.blob)).await {
                Ok(file) => return Ok((object, file)),
                // Replaced between the two steps: look again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let now = self.head(bucket, key)?;
                    if now.blob == object.blob {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The bytes of an object, all of them.
    pub(crate) async fn read(&self, bucket: &str, key: &str) -> Result<(Object, Bytes), StoreError> {
        let (object, file) = self.open_object(bucket, key).await?;
        let mut file = file.into_std().await;
        let size = usize::try_from(object.size).unwrap_or(0);
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::with_capacity(size);
            io::Read::read_to_end(&mut file, &mut bytes).map(|_| bytes)
        });
        Ok((object, bytes.await.map_err(io::Error::other)??.into()))
    }

    /// A copy that shares the bytes of its source.
    pub(crate) fn copy(
        &self,
        source: (&str, &str),
        bucket: &str,
        key: &str,
        attributes: Option<Attributes>,
        condition: impl FnOnce(&Object) -> Result<(), StoreError>,
    ) -> Result<Object, StoreError> {
        self.check_bucket(source.0)?;
        self.check_bucket(bucket)?;
        let (object, unused) = self.journal.write(|transaction| {
            let found = find(transaction, source.0, source.1)?;
            let original = found.ok_or_else(|| StoreError::NoSuchKey(source.1.to_owned()))?;
            condition(&original)?;
            let blob = Blob { name: original.blob, size: original.size, etag: original.etag };
            let attributes = attributes.unwrap_or(original.attributes);
            self.replace(transaction, bucket, key, blob, attributes, "CopyObject")
        })?;
        unused.into_iter().for_each(|blob| self.remove_blob(&blob));
        Ok(object)
    }

    /// Deletes an object, if `condition` likes what is there; one that is not there is no error.
    pub(crate) fn delete(
        &self,
        bucket: &str,
        key: &str,
        condition: impl FnOnce(Option<&Object>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.check_bucket(bucket)?;
        let unused = self.journal.write(|transaction| {
            condition(find(transaction, bucket, key)?.as_ref())?;
            let blob: Option<String> = transaction
                .prepare_cached("DELETE FROM object WHERE bucket = ? AND key = ? RETURNING blob")?
                .query_row([bucket, key], |row| row.get(0))
                .optional()?;
            match blob {
                Some(blob) if !is_used(transaction, &blob)? => Ok::<_, StoreError>(Some(blob)),
                _ => Ok(None),
            }
        })?;
        unused.into_iter().for_each(|blob| self.remove_blob(&blob));
        Ok(())
    }

    pub(super) fn blob_path(&self, name: &str) -> PathBuf {
        self.blobs.join(name)
    }

    /// Files that stay behind are found at the next start.
    pub(super) fn remove_blob(&self, name: &str) {
        let removed = fs::remove_file(self.blobs.join(name));
        if let Err(error) =
            removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        {
            tracing::warn!(blob = name, %error, "bytes that nothing uses stay behind");
        }
    }
}

fn find(connection: &Connection, bucket: &str, key: &str) -> Result<Option<Object>, StoreError> {
    let found = connection
        .prepare_cached("SELECT key, blob, size, etag, modified, attributes FROM object WHERE bucket = ? AND key = ?")?
        .query_row([bucket, key], object)
        .optional()?;
    Ok(found)
}

/// Reads the columns `key, blob, size, etag, modified, attributes`.
pub(super) fn object(row: &rusqlite::Row<'_>) -> rusqlite::Result<Object> {
    let attributes: String = row.get(5)?;
    let attributes = serde_json::from_str(&attributes)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(5, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(Object {
        key: row.get(0)?,
        blob: row.get(1)?,
        size: row.get(2)?,
        etag: row.get(3)?,
        modified: row.get(4)?,
        attributes,
    })
}

fn is_used(connection: &Connection, blob: &str) -> rusqlite::Result<bool> {
    let mut objects = connection.prepare_cached("SELECT 1 FROM object WHERE blob = ?")?;
    let mut parts = connection.prepare_cached("SELECT 1 FROM part WHERE blob = ?")?;
    Ok(objects.exists([blob])? || parts.exists([blob])?)
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::faults::Faults;
    use crate::stack::{Rule, Stack};

    pub(crate) fn store() -> (tempfile::TempDir, Arc<ObjectStore>) {
        let folder = tempfile::tempdir().unwrap();
        let store = reopen(folder.path());
        store.create_bucket("b").unwrap();
        (folder, store)
    }

    fn reopen(folder: &Path) -> Arc<ObjectStore> {
        let rule =
            Rule { name: "r".into(), pattern: serde_json::json!({"source": ["aws.s3"]}), functions: vec!["f".into()] };
        let events =
            Events::new(&Stack { rules: vec![rule], ..Stack::default() }, Clock::default(), Faults::default()).unwrap();
        let journal = Arc::new(Journal::open(&folder.join("journal.db"), Clock::default()).unwrap());
        Arc::new(ObjectStore::open(folder, journal, events).unwrap())
    }

    pub(crate) async fn put(store: &Arc<ObjectStore>, key: &str, body: &str) -> Object {
        let body = futures::stream::iter([Ok::<_, io::Error>(Bytes::copy_from_slice(body.as_bytes()))]);
        let blob = store.receive(body, |_| ()).await.unwrap();
        store.commit("b", key, blob, Attributes::default(), "PutObject", |_| Ok(())).unwrap()
    }

    fn blobs(folder: &tempfile::TempDir) -> usize {
        fs::read_dir(folder.path().join("blobs")).unwrap().count()
    }

    #[tokio::test]
    async fn an_object_and_its_event_survive_together() {
        let (folder, store) = store();
        let etag = put(&store, "k", "hello").await.etag;
        assert_eq!(etag, "5d41402abc4b2a76b9719d911017c592");
        fs::write(folder.path().join("blobs/left-behind-by-a-kill"), "x").unwrap();
        drop(store);
        let store = reopen(folder.path());
        assert_eq!(blobs(&folder), 1, "bytes without an object were kept");
        assert_eq!(store.read("b", "k").await.unwrap().1, "hello");
        let event = crate::queue::receive(&store.journal, "lambda/f").unwrap().unwrap();
        assert!(event.body.contains(&etag));
    }

    #[tokio::test]
    async fn copies_share_bytes_until_the_last_one_goes() {
        let (folder, store) = store();
        let object = put(&store, "k", "hello").await;
        store.copy(("b", "k"), "b", "copy", None, |_| Ok(())).unwrap();
        assert_eq!(blobs(&folder), 1);
        put(&store, "k", "other").await;
        assert_eq!(blobs(&folder), 2);
        assert_eq!(store.read("b", "copy").await.unwrap().1, "hello");
        let refused = store.copy(("b", "k"), "b", "copy", None, |now| match now.etag == object.etag {
            true => Ok(()),
            false => Err(StoreError::PreconditionFailed),
        });
        assert!(matches!(refused, Err(StoreError::PreconditionFailed)));
        store.delete("b", "copy", |_| Ok(())).unwrap();
        store.delete("b", "copy", |_| Ok(())).unwrap();
        assert_eq!(blobs(&folder), 1);
    }

    #[tokio::test]
    async fn a_reader_keeps_the_bytes_it_opened() {
        let (_folder, store) = store();
        put(&store, "k", "old").await;
        let (_, mut file) = store.open_object("b", "k").await.unwrap();
        put(&store, "k", "new").await;
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut file, &mut text).await.unwrap();
        assert_eq!(text, "old");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_leaves_nothing() {
        let (folder, store) = store();
        let body = futures::stream::iter([Ok(Bytes::from_static(b"half")), Err("gone")]);
        assert!(matches!(store.receive(body, |_| ()).await, Err(StoreError::BadBody(_))));
        assert_eq!(blobs(&folder), 0);
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let (_folder, store) = store();
        assert!(matches!(store.head("b", "k"), Err(StoreError::NoSuchKey(_))));
        assert!(matches!(store.head("c", "k"), Err(StoreError::NoSuchBucket(_))));
        let put = store.put("c", "k", Bytes::new(), Attributes::default()).await;
        assert!(matches!(put, Err(StoreError::NoSuchBucket(_))));
        put_then_delete_bucket(&store).await;
    }

    async fn put_then_delete_bucket(store: &Arc<ObjectStore>) {
        put(store, "k", "x").await;
        assert!(matches!(store.delete_bucket("b"), Err(StoreError::BucketNotEmpty(_))));
        store.delete("b", "k", |_| Ok(())).unwrap();
        store.delete_bucket("b").unwrap();
        assert!(store.buckets().unwrap().is_empty());
    }
}
