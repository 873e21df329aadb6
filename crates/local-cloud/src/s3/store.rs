//! The object store: bytes in files that never change, everything else in the journal.
//!
//! `s3s-fs` writes bytes, metadata and ETag to three files, one after the other. Two concurrent uploads of one key, or a kill
//! between two of the files, leave the bytes of one upload under the ETag of another. Here an object is one row, and its event is
//! written in the same transaction.

use std::error::Error;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use md5::{Digest, Md5};
use rusqlite::{Transaction, params};
use uuid::Uuid;

use super::buckets::check_bucket;
use super::contents::Contents;
use super::customer_key::{CustomerKey, check_key};
use super::file::{self, Draft, Folder};
use super::intake::{self, Arrived, Intake, blocking};
use super::object::{Attributes, Blob, Object, find, is_used};
use super::pieces::{Pieces, Whole};
use super::recent::Recent;
use super::seal::{Seal, sealed_range};
use super::store_error::StoreError;
use crate::digest::hex;
use crate::disk_space::DiskSpace;
use crate::error::CloudError;
use crate::events::{Events, ObjectCreated};
use crate::journal::Journal;

/// How often the memory of a store that has nothing to do is freed.
const IDLE: Duration = Duration::from_secs(60);

/// The output of a service. It is whole in memory until it is an object.
pub(crate) struct Output {
    whole: Whole,
    /// Its file, if it could be written.
    file: Option<Draft>,
}

impl Output {
    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.whole.len()
    }
}

pub(crate) struct ObjectStore {
    pub(super) blobs: Folder,
    pub(super) journal: Arc<Journal>,
    pub(super) events: Events,
    disk: Arc<DiskSpace>,
    pieces: Arc<Pieces>,
    recent: Recent,
    /// Whether the memory was used since it was last asked.
    used: AtomicBool,
}

impl ObjectStore {
    /// Opens the store in `folder`. [`recover`](Self::recover) compares it with the journal.
    pub(crate) fn open(
        folder: &Path,
        journal: Arc<Journal>,
        events: Events,
        disk: Arc<DiskSpace>,
    ) -> Result<Self, CloudError> {
        let path = folder.join("blobs");
        let blobs = Folder::create(path.clone(), journal.durability())
            .map_err(|source| CloudError::DataFolder { path, source })?;
        let (pieces, recent, used) = (Arc::default(), Recent::default(), AtomicBool::default());
        Ok(Self { blobs, journal, events, disk, pieces, recent, used })
    }

    /// The error of a start that failed at this store. It names the journal or the folder of bytes.
    pub(crate) fn unusable(&self, error: StoreError) -> CloudError {
        let folder = |source| CloudError::DataFolder { path: self.blobs.path().to_owned(), source };
        match error {
            StoreError::Journal(source) => self.journal.unusable(source),
            StoreError::Io(source) => folder(source),
            other => folder(io::Error::other(other)),
        }
    }

    /// Writes a body to a new file.
    pub(crate) async fn receive<E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Blob, StoreError> {
        Ok(self.receive_sealed(body, None, |_| ()).await?.0)
    }

    /// Writes a body to a new file, encrypted if there is a key. `observe` gets every chunk. Returns the MD5 of the body in hex digits,
    /// too: it is the ETag of a body that is not encrypted.
    pub(super) async fn receive_sealed<E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        key: Option<&CustomerKey>,
        mut observe: impl FnMut(&[u8]),
    ) -> Result<(Blob, String), StoreError> {
        self.disk.check()?;
        let seal = key.map(Seal::new).transpose()?;
        let mut sealer = key.zip(seal.as_ref()).map(|(key, seal)| seal.sealer(key)).transpose()?;
        let mut intake = Intake::of_upload(&self.pieces, self.blobs.clone());
        let (mut md5, mut size) = (Md5::new(), 0);
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(StoreError::of_body)?;
            md5.update(&chunk);
            size += chunk.len() as u64;
            observe(&chunk);
            match &mut sealer {
                Some(sealer) => intake.add(&sealer.seal(&chunk)?).await?,
                None => intake.add(&chunk).await?,
            }
        }
        if let Some(sealer) = sealer {
            intake.add(&sealer.finish()?).await?;
        }
        let Arrived { file, whole } = intake.finish().await;
        let (name, md5) = (self.keep(file?, whole), hex(&md5.finalize()));
        // An MD5 would say something of the bytes.
        let etag = if seal.is_some() { Uuid::new_v4().simple().to_string() } else { md5.clone() };
        Ok((Blob { name, size, etag, seal }, md5))
    }

    /// Makes the memory ready for the output of a service that has begun to work. Returns at once.
    pub(crate) fn prepare(&self) {
        self.used.store(true, Ordering::Relaxed);
        if self.pieces.wants_preparing() {
            let pieces = Arc::clone(&self.pieces);
            // The output does not wait for it.
            drop(tokio::task::spawn_blocking(move || pieces.prepare()));
        }
    }

    /// Takes in the output of a service, and writes its file meanwhile. A file that cannot be written is no error yet: [`put`](Self::put)
    /// tries again.
    pub(crate) async fn take_in<E>(&self, mut body: impl Stream<Item = Result<Bytes, E>> + Unpin) -> Result<Output, E> {
        let mut intake = Intake::of_output(&self.pieces, self.blobs.clone());
        while let Some(chunk) = body.next().await {
            // A failure of the disk shows at the end.
            let _ = intake.add(&chunk?).await;
        }
        Ok(intake.finish().await.into_output())
    }

    /// An output that is in memory already.
    pub(crate) fn output(&self, bytes: &[u8]) -> Output {
        Output { whole: Whole::of(bytes, &self.pieces), file: None }
    }

    /// Stores the output of a service. Its ETag is unique but not an MD5, as with objects that a service encrypts: hashing a large
    /// output would take longer than writing it. `also` writes in the same transaction.
    pub(crate) async fn put(
        &self,
        bucket: &str,
        key: &str,
        output: &mut Output,
        attributes: Attributes,
        also: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<Object, StoreError> {
        let file = match output.file.take() {
            Some(file) => file,
            None => intake::write(&output.whole, self.blobs.clone()).await?,
        };
        let name = self.keep(file, Some(output.whole.clone()));
        let etag = format!("{}-1", name.split('.').next().unwrap_or(&name).replace('-', ""));
        let blob = Blob { name, size: output.len(), etag, seal: None };
        self.commit(bucket, key, blob, attributes, "PutObject", |transaction, _| Ok(also(transaction)?))
    }

    /// Keeps a file, and its bytes in memory if it is large. Returns its name.
    fn keep(&self, file: Draft, whole: Option<Whole>) -> String {
        self.used.store(true, Ordering::Relaxed);
        if let Some(whole) = whole.filter(|whole| whole.pieces().len() > 1) {
            self.recent.insert(file.name(), whole);
        }
        file.keep()
    }

    /// Frees the memory when nothing was stored or read for a while. Never returns.
    pub(crate) async fn free_when_idle(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(IDLE);
        loop {
            ticks.tick().await;
            self.free_if_idle();
        }
    }

    fn free_if_idle(&self) {
        if !self.used.swap(false, Ordering::Relaxed) {
            self.recent.clear();
            self.pieces.free();
        }
    }

    /// Makes received bytes an object, and writes its events in the same transaction. `within` may refuse, given the object that would
    /// be replaced, and may write too.
    pub(crate) fn commit(
        &self,
        bucket: &str,
        key: &str,
        blob: Blob,
        attributes: Attributes,
        reason: &str,
        within: impl FnOnce(&Transaction<'_>, Option<&Object>) -> Result<(), StoreError>,
    ) -> Result<Object, StoreError> {
        let name = blob.name.clone();
        let committed = self.journal.write(|transaction| {
            // Before `within`, whose conditions would name an object as missing.
            check_bucket(transaction, bucket)?;
            within(transaction, find(transaction, bucket, key)?.as_ref())?;
            self.replace(transaction, bucket, key, blob, attributes, reason)
        });
        match committed {
            Ok((object, replaced)) => {
                replaced.into_iter().for_each(|blob| self.discard(&blob));
                Ok(object)
            }
            Err(error) => {
                self.remove_blob(&name);
                Err(error)
            }
        }
    }

    /// Writes an object and its events. Returns the object, and the replaced bytes if nothing uses them any more. The bucket may have
    /// been deleted since the request began: that is an error.
    pub(super) fn replace(
        &self,
        transaction: &Transaction<'_>,
        bucket: &str,
        key: &str,
        blob: Blob,
        attributes: Attributes,
        reason: &str,
    ) -> Result<(Object, Option<String>), StoreError> {
        check_bucket(transaction, bucket)?;
        let before = find(transaction, bucket, key)?;
        let object = Object {
            key: key.to_owned(),
            blob: blob.name,
            size: blob.size,
            etag: blob.etag,
            modified: self.journal.clock().now_millis(),
            attributes: Attributes { seal: blob.seal, ..attributes },
        };
        let attributes = serde_json::to_string(&object.attributes).map_err(io::Error::other)?;
        // Microseconds, but strictly increasing.
        let sequencer: i64 = transaction
            .prepare_cached("UPDATE sequencer SET last = max(last + 1, ?) RETURNING last")?
            .query_row([self.journal.clock().now_millis() * 1000], |row| row.get(0))?;
        transaction.prepare_cached("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?.execute(
            params![bucket, key, object.blob, object.size, object.etag, object.modified, attributes, sequencer],
        )?;
        let created =
            ObjectCreated { bucket, key, etag: &object.etag, size: object.size, sequencer, reason, replay: None };
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

    /// An object and the bytes of the range that `range` chooses, which a later overwrite does not change. `range` may refuse.
    pub(crate) async fn open_range<E: From<StoreError>>(
        &self,
        bucket: &str,
        key: &str,
        range: impl Fn(&Object) -> Result<Range<u64>, E>,
    ) -> Result<(Object, Contents), E> {
        self.open_sealed(bucket, key, None, range).await
    }

    /// The same for an object that may be encrypted with a key of the client.
    pub(super) async fn open_sealed<E: From<StoreError>>(
        &self,
        bucket: &str,
        key: &str,
        customer_key: Option<&CustomerKey>,
        range: impl Fn(&Object) -> Result<Range<u64>, E>,
    ) -> Result<(Object, Contents), E> {
        loop {
            let object = self.head(bucket, key)?;
            let seal = object.attributes.seal.as_ref();
            check_key(seal, customer_key).map_err(StoreError::from)?;
            let range = range(&object)?;
            self.used.store(true, Ordering::Relaxed);
            let opener = seal.zip(customer_key).map(|(seal, key)| seal.opener(key, object.size, &range));
            let opener = opener.transpose().map_err(StoreError::from)?;
            let range = if seal.is_some() { sealed_range(object.size, &range) } else { range };
            if let Some(whole) = self.recent.get(&object.blob) {
                return Ok((object, Contents::in_memory(&whole, &range).opened(opener)));
            }
            match Contents::in_file(self.blobs.file(&object.blob), range, Arc::clone(&self.pieces)).await {
                Ok(contents) => return Ok((object, contents.opened(opener))),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(bucket, key, %error, "an object is damaged");
                    self.set_aside(&object.blob)?;
                    return Err(StoreError::from(error).into());
                }
                Err(error) => self.check_replaced(bucket, key, &object, error)?,
            }
        }
    }

    /// An object with its bytes as an open file, which a later overwrite does not change.
    pub(crate) async fn open_file(&self, bucket: &str, key: &str) -> Result<(Object, File), StoreError> {
        loop {
            let object = self.head(bucket, key)?;
            check_key(object.attributes.seal.as_ref(), None)?;
            let path = self.blobs.file(&object.blob);
            match blocking(move || File::open(path)).await {
                Ok(file) => return Ok((object, file)),
                Err(error) => self.check_replaced(bucket, key, &object, error)?,
            }
        }
    }

    /// Whether the file of an object is missing because the object was replaced after it was found. Any other failure is an error.
    fn check_replaced(&self, bucket: &str, key: &str, object: &Object, error: io::Error) -> Result<(), StoreError> {
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        if is_missing && self.head(bucket, key)?.blob != object.blob { Ok(()) } else { Err(error.into()) }
    }

    /// An object with all its bytes.
    pub(crate) async fn read(&self, bucket: &str, key: &str) -> Result<(Object, Bytes), StoreError> {
        let (object, contents) = self.open_range(bucket, key, |object| Ok::<_, StoreError>(0..object.size)).await?;
        Ok((object, contents.collect().await?))
    }

    /// Removes bytes that no object ever had.
    pub(super) fn remove_blob(&self, name: &str) {
        self.recent.remove(name);
        file::remove(&self.blobs.file(name));
    }

    /// Removes the bytes of an object that was deleted or replaced, once the disk knows that it was: else a power cut could leave the
    /// object without its bytes.
    pub(super) fn discard(&self, name: &str) {
        self.recent.remove(name);
        let path = self.blobs.file(name);
        self.journal.once_durable(move || file::remove(&path));
    }
}

impl Arrived {
    /// The output of a service, all of which was held.
    fn into_output(self) -> Output {
        let file =
            self.file.inspect_err(|error| tracing::error!(%error, "an output cannot be written: to be tried again"));
        Output { whole: self.whole.unwrap_or_default(), file: file.ok() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;
    use crate::clock::Clock;
    use crate::durability::Durability;
    use crate::faults::Faults;
    use crate::stack::{Rule, Stack};

    pub(crate) fn store() -> (tempfile::TempDir, Arc<ObjectStore>) {
        let folder = tempfile::tempdir().unwrap();
        let store = reopen(folder.path());
        store.create_bucket("b").unwrap();
        (folder, store)
    }

    pub(crate) fn reopen(folder: &Path) -> Arc<ObjectStore> {
        let rule =
            Rule { name: "r".into(), pattern: serde_json::json!({"source": ["aws.s3"]}), functions: vec!["f".into()] };
        let events =
            Events::new(&Stack { rules: vec![rule], ..Stack::default() }, Clock::default(), Faults::default()).unwrap();
        let journal =
            Arc::new(Journal::open(&folder.join("journal.db"), Clock::default(), Durability::PowerCut).unwrap());
        Arc::new(ObjectStore::open(folder, journal, events, DiskSpace::open(folder)).unwrap())
    }

    pub(crate) async fn put(store: &Arc<ObjectStore>, key: &str, body: &str) -> Object {
        let body = futures::stream::iter([Ok::<_, io::Error>(Bytes::copy_from_slice(body.as_bytes()))]);
        let blob = store.receive(body).await.unwrap();
        store.commit("b", key, blob, Attributes::default(), "PutObject", |_, _| Ok(())).unwrap()
    }

    /// The number of files once the discarded ones are removed.
    pub(crate) async fn kept(store: &ObjectStore) -> usize {
        store.journal.once_durable(|| ());
        let (done, removed) = tokio::sync::oneshot::channel();
        store.journal.once_durable(|| _ = done.send(()));
        removed.await.unwrap();
        fs::read_dir(store.blobs.path()).unwrap().count()
    }

    fn blobs(folder: &tempfile::TempDir) -> usize {
        fs::read_dir(folder.path().join("blobs")).unwrap().count()
    }

    #[tokio::test]
    async fn an_object_and_its_event_survive_a_restart_together() {
        let (folder, store) = store();
        let etag = put(&store, "k", "hello").await.etag;
        assert_eq!(etag, "5d41402abc4b2a76b9719d911017c592");
        drop(store);
        let store = reopen(folder.path());
        assert_eq!(store.read("b", "k").await.unwrap().1, "hello");
        let event = crate::queue::receive(&store.journal, "lambda/f").unwrap().unwrap();
        assert!(event.body.contains(&etag));
    }

    #[tokio::test]
    async fn a_reader_keeps_the_bytes_it_opened() {
        let (_folder, store) = store();
        for size in [3, 10 << 20] {
            let (old, new) = ("o".repeat(size), "n".repeat(size));
            put(&store, "k", &old).await;
            let (_, mut file) = store.open_file("b", "k").await.unwrap();
            let all = |object: &Object| Ok::<_, StoreError>(0..object.size);
            let (_, held) = store.open_range("b", "k", all).await.unwrap();
            store.recent.clear();
            let (_, read) = store.open_range("b", "k", all).await.unwrap();
            put(&store, "k", &new).await;
            let mut text = String::new();
            io::Read::read_to_string(&mut file, &mut text).unwrap();
            assert!(text == old && held.collect().await.unwrap() == old && read.collect().await.unwrap() == old);
            assert!(store.read("b", "k").await.unwrap().1 == new);
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_leaves_no_file() {
        let (folder, store) = store();
        let body = futures::stream::iter([Ok(Bytes::from_static(b"half")), Err("gone")]);
        assert!(matches!(store.receive(body).await, Err(StoreError::BadBody(_))));
        assert_eq!(blobs(&folder), 0);
    }

    #[tokio::test]
    async fn missing_objects_and_buckets_are_named() {
        let (_folder, store) = store();
        assert!(matches!(store.head("b", "k"), Err(StoreError::NoSuchKey(_))));
        assert!(matches!(store.head("c", "k"), Err(StoreError::NoSuchBucket(_))));
        let mut output = store.output(b"");
        let put = store.put("c", "k", &mut output, Attributes::default(), |_| Ok(())).await;
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
    async fn output(store: &Arc<ObjectStore>, bytes: &[u8]) -> Output {
        let chunks: Vec<_> =
            bytes.chunks(300_000).map(|chunk| Ok::<_, io::Error>(Bytes::copy_from_slice(chunk))).collect();
        store.take_in(futures::stream::iter(chunks)).await.unwrap()
    }

    #[tokio::test]
    async fn a_large_output_is_read_from_memory_and_from_its_file() {
        let (folder, store) = store();
        let bytes: Vec<u8> = (0..9_876_543).map(|n| (n % 251) as u8).collect();
        let mut output = output(&store, &bytes).await;
        let object = store.put("b", "k", &mut output, Attributes::default(), |_| Ok(())).await.unwrap();
        let path = folder.path().join("blobs").join(&object.blob);
        assert!(fs::read(&path).unwrap() == bytes, "the file is there before the object is");
        let some = |_: &Object| Ok::<_, StoreError>(1_000_000..9_000_000);
        for from in ["memory", "its file"] {
            let (_, contents) = store.open_range("b", "k", some).await.unwrap();
            assert!(contents.collect().await.unwrap() == bytes[1_000_000..9_000_000], "from {from}");
            store.recent.clear();
        }
        drop(store);
        let store = reopen(folder.path());
        assert!(store.read("b", "k").await.unwrap().1 == bytes[..]);
        store.delete("b", "k", |_| Ok(())).unwrap();
        assert_eq!(kept(&store).await, 0);
    }

    #[tokio::test]
    async fn an_output_whose_file_cannot_be_written_is_kept_until_it_can() {
        let (folder, store) = store();
        let bytes = vec![5; 5 << 20];
        let hidden = folder.path().join("hidden");
        fs::rename(folder.path().join("blobs"), &hidden).unwrap();
        let mut output = output(&store, &bytes).await;
        let attributes = Attributes::default();
        let failed = store.put("b", "k", &mut output, attributes.clone(), |_| Ok(())).await;
        assert!(matches!(failed, Err(StoreError::Io(_))));
        fs::rename(&hidden, folder.path().join("blobs")).unwrap();
        // A transaction that fails takes the file with it.
        let refused = |_: &Transaction<'_>| Err(rusqlite::Error::InvalidQuery);
        assert!(store.put("b", "k", &mut output, attributes.clone(), refused).await.is_err());
        assert_eq!(blobs(&folder), 0);
        store.put("b", "k", &mut output, attributes, |_| Ok(())).await.unwrap();
        assert!(store.read("b", "k").await.unwrap().1 == bytes);
    }

    #[tokio::test]
    async fn an_output_that_breaks_off_leaves_no_file() {
        let (folder, store) = store();
        let mut chunks: Vec<_> = (0..30).map(|_| Ok(Bytes::from(vec![1; 200_000]))).collect();
        chunks.push(Err("gone"));
        assert_eq!(store.take_in(futures::stream::iter(chunks)).await.err(), Some("gone"));
        // The thread that writes may still be at work.
        let removed = async {
            while blobs(&folder) > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), removed).await.unwrap();
    }

    #[tokio::test]
    async fn memory_is_freed_when_nothing_was_done_for_a_while() {
        let (_folder, store) = store();
        let object = put(&store, "k", &"x".repeat(3 << 20)).await;
        store.free_if_idle();
        assert!(store.recent.get(&object.blob).is_some());
        store.free_if_idle();
        assert!(store.recent.get(&object.blob).is_none());
    }
}
