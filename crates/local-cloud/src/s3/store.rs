//! The object store: bytes in files that never change, everything else in the journal.
//!
//! `s3s-fs` writes bytes, metadata and ETag to three files, one after the other. Two concurrent uploads of one key, or a kill
//! between two of the files, leave the bytes of one upload under the ETag of another. Here an object is one row, and its event is
//! written in the same transaction.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use md5::{Digest, Md5};
use rusqlite::{OptionalExtension, Transaction, params};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::object::{Attributes, Blob, Object, find, is_used};
use super::store_error::StoreError;
use crate::digest::hex;
use crate::error::CloudError;
use crate::events::{Events, ObjectCreated};
use crate::journal::Journal;

/// A file that is removed unless it is kept: its writer may fail, or be dropped half-way.
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
    /// Opens the store in `folder`, and deletes bytes that belong to no object.
    pub(crate) fn open(folder: &Path, journal: Arc<Journal>, events: Events) -> Result<Self, CloudError> {
        let blobs = folder.join("blobs");
        let store = Self { blobs, journal, events };
        fs::create_dir_all(&store.blobs).map_err(|error| store.unusable(error.into()))?;
        store.collect_garbage().map_err(|error| store.unusable(error))?;
        Ok(store)
    }

    /// The error of a start that failed at this store. It names the journal or the folder of bytes.
    pub(crate) fn unusable(&self, error: StoreError) -> CloudError {
        let folder = |source| CloudError::DataFolder { path: self.blobs.clone(), source };
        match error {
            StoreError::Journal(source) => self.journal.unusable(source),
            StoreError::Io(source) => folder(source),
            other => folder(io::Error::other(other)),
        }
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

    /// Writes a body to a new file. `observe` gets every chunk.
    pub(crate) async fn receive<E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        mut observe: impl FnMut(&[u8]),
    ) -> Result<Blob, StoreError> {
        let draft = Draft::new(self);
        let mut file = tokio::fs::File::create(self.blob_path(&draft.name)).await?;
        let mut md5 = Md5::new();
        let mut size = 0;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| StoreError::BadBody(error.into()))?;
            md5.update(&chunk);
            observe(&chunk);
            size += chunk.len() as u64;
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        Ok(Blob { name: draft.keep(), size, etag: hex(&md5.finalize()) })
    }

    /// Stores the output of a service. Its ETag is unique but not an MD5, as with objects that a service encrypts: hashing a large
    /// output would take longer than writing it.
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

    /// Makes received bytes an object, and writes its events in the same transaction. `condition` may refuse, given the object that
    /// would be replaced.
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

    /// Writes an object and its events. Returns the object, and the replaced bytes if nothing uses them any more.
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
        // Microseconds, but strictly increasing.
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

    /// An object with its bytes as an open file, which a later overwrite does not change.
    pub(crate) async fn open_object(&self, bucket: &str, key: &str) -> Result<(Object, tokio::fs::File), StoreError> {
        loop {
            let object = self.head(bucket, key)?;
            match tokio::fs::File::open(self.blobs.join(&object.blob)).await {
                Ok(file) => return Ok((object, file)),
                // The object was replaced between the two steps.
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

    /// An object with all its bytes.
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

    /// Copies an object; the copy shares the bytes of its source.
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

    /// Deletes an object, unless `condition` refuses. A missing object is not an error.
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

    /// Removes bytes. A file that cannot be removed is collected at the next start.
    pub(super) fn remove_blob(&self, name: &str) {
        let removed = fs::remove_file(self.blobs.join(name));
        if let Err(error) =
            removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        {
            tracing::warn!(blob = name, %error, "unused bytes cannot be removed");
        }
    }
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
    async fn an_object_and_its_event_survive_a_restart_together() {
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
    async fn copies_share_bytes_until_the_last_one_is_deleted() {
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
    async fn a_body_that_breaks_off_leaves_no_file() {
        let (folder, store) = store();
        let body = futures::stream::iter([Ok(Bytes::from_static(b"half")), Err("gone")]);
        assert!(matches!(store.receive(body, |_| ()).await, Err(StoreError::BadBody(_))));
        assert_eq!(blobs(&folder), 0);
    }

    #[tokio::test]
    async fn missing_objects_and_buckets_are_named() {
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
