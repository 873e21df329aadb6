//! The comparison of the journal with the files of bodies, at a start.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::file;
use super::object::{Object, object};
use super::seal::sealed_size;
use super::store::ObjectStore;
use super::store_error::StoreError;
use crate::events::ObjectCreated;
use crate::recovery::Recovery;

/// The bytes that the journal expects: a file's name and its size on the disk, and whom they belong to.
struct Expected {
    blob: String,
    size: u64,
    owner: String,
}

impl ObjectStore {
    /// Compares the journal with the files, and writes what it finds to `recovery`.
    ///
    /// Files that belong to no object were left behind by a kill if the journal `is_whole` and misses nothing, and are removed. Else
    /// they are kept, in a folder of their own. A file comes back from there when a journal that knows it was put back.
    pub(crate) fn recover(&self, is_whole: bool, recovery: &mut Recovery) -> Result<(), StoreError> {
        let quarantine = self.quarantine();
        let mut files = sizes(self.blobs.path())?;
        let expected = self.journal.read(expected)?;
        let (mut lost, mut used) = (Vec::new(), HashSet::new());
        for bytes in &expected {
            let aside = quarantine.join(&bytes.blob);
            if files.get(&bytes.blob) == Some(&bytes.size) {
                used.insert(&bytes.blob);
            } else if fs::metadata(&aside).is_ok_and(|found| found.len() == bytes.size) {
                fs::rename(&aside, self.blobs.file(&bytes.blob))?;
                files.insert(bytes.blob.clone(), bytes.size);
                used.insert(&bytes.blob);
            } else {
                lost.push(bytes);
            }
        }
        let is_whole = is_whole && lost.is_empty();
        self.forget(lost.iter().map(|bytes| bytes.blob.as_str()))?;
        for name in files.keys().filter(|name| !used.contains(name)) {
            let path = self.blobs.file(name);
            if is_whole {
                file::remove(&path);
            } else {
                fs::create_dir_all(&quarantine)?;
                fs::rename(&path, quarantine.join(name))?;
                recovery.kept += 1;
            }
        }
        recovery.lost.extend(lost.into_iter().map(|bytes| bytes.owner.clone()));
        recovery.quarantine = quarantine;
        Ok(())
    }

    fn quarantine(&self) -> PathBuf {
        self.blobs.path().with_file_name("quarantine")
    }

    /// Keeps damaged bytes, and removes their objects and parts, so that they can be made again.
    pub(super) fn set_aside(&self, blob: &str) -> Result<(), StoreError> {
        self.forget([blob])?;
        fs::create_dir_all(self.quarantine())?;
        Ok(fs::rename(self.blobs.file(blob), self.quarantine().join(blob))?)
    }

    /// Removes the objects and parts with these bytes.
    fn forget<'a>(&self, blobs: impl IntoIterator<Item = &'a str>) -> Result<(), StoreError> {
        self.journal.write(|transaction| {
            for blob in blobs {
                transaction.execute("DELETE FROM object WHERE blob = ?", params![blob])?;
                transaction.execute("DELETE FROM part WHERE blob = ?", params![blob])?;
            }
            Ok(())
        })
    }

    /// Sends the event of every object again, as it was; with a name, as one of a replay. Returns the number of objects.
    pub(crate) fn announce(&self, replay: Option<&str>) -> Result<usize, StoreError> {
        self.journal.write(|transaction| {
            let objects: Vec<(String, i64, Object)> = transaction
                .prepare(
                    "SELECT key, blob, size, etag, modified, attributes, bucket, sequencer FROM object ORDER BY sequencer",
                )?
                .query_map([], |row| Ok((row.get(6)?, row.get(7)?, object(row)?)))?
                .collect::<Result<_, _>>()?;
            for (bucket, sequencer, object) in &objects {
                let sequencer = *sequencer;
                let (key, etag, size) = (&object.key, &object.etag, object.size);
                let created = ObjectCreated { bucket, key, etag, size, sequencer, reason: "PutObject", replay };
                self.events.object_created(transaction, &created)?;
            }
            Ok(objects.len())
        })
    }
}

fn sizes(folder: &Path) -> io::Result<HashMap<String, u64>> {
    let mut sizes = HashMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // All names are ASCII.
        sizes.insert(entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len());
    }
    Ok(sizes)
}

fn expected(connection: &Connection) -> Result<Vec<Expected>, StoreError> {
    let mut objects = connection
        .prepare("SELECT blob, size, bucket || '/' || key, attributes ->> '$.seal' FROM object ORDER BY bucket, key")?;
    let mut parts = connection.prepare(
        "SELECT blob, size, 'part ' || number || ' of an upload of ' || bucket || '/' || key, seal
         FROM part JOIN multipart_upload ON multipart_upload.id = part.upload",
    )?;
    let mut expected = Vec::new();
    for statement in [&mut objects, &mut parts] {
        let rows = statement.query_map([], |row| {
            let (size, seal): (u64, Option<String>) = (row.get(1)?, row.get(3)?);
            let size = if seal.is_some() { sealed_size(size) } else { size };
            Ok(Expected { blob: row.get(0)?, size, owner: row.get(2)? })
        })?;
        for row in rows {
            expected.push(row?);
        }
    }
    Ok(expected)
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::{put, reopen, store};
    use super::*;

    fn count(folder: &Path, name: &str) -> usize {
        fs::read_dir(folder.join(name)).map_or(0, Iterator::count)
    }

    #[tokio::test]
    async fn bytes_of_no_object_are_removed_only_if_the_journal_is_whole() {
        for is_whole in [true, false] {
            let (folder, store) = store();
            put(&store, "k", "hello").await;
            fs::write(folder.path().join("blobs/left-behind"), "x").unwrap();
            let mut found = Recovery::default();
            store.recover(is_whole, &mut found).unwrap();
            assert_eq!((found.is_empty(), found.kept), (is_whole, usize::from(!is_whole)));
            assert_eq!(count(folder.path(), "blobs"), 1);
            assert_eq!(count(folder.path(), "quarantine"), usize::from(!is_whole));
        }
    }

    #[tokio::test]
    async fn an_object_without_its_bytes_is_named_and_no_longer_listed() {
        let (folder, store) = store();
        let cut = put(&store, "cut", "hello").await;
        let missing = put(&store, "missing", "hello").await;
        put(&store, "whole", "hello").await;
        fs::write(folder.path().join("blobs").join(cut.blob), "hell").unwrap();
        fs::remove_file(folder.path().join("blobs").join(missing.blob)).unwrap();
        fs::write(folder.path().join("blobs/left-behind"), "x").unwrap();
        let mut found = Recovery::default();
        store.recover(true, &mut found).unwrap();
        assert_eq!(found.lost, ["b/cut", "b/missing"]);
        assert_eq!(count(folder.path(), "quarantine"), 2, "a journal that misses bytes is not whole");
        assert!(matches!(store.head("b", "cut"), Err(StoreError::NoSuchKey(_))));
        assert_eq!(store.read("b", "whole").await.unwrap().1, "hello");
    }

    #[tokio::test]
    async fn an_object_whose_bytes_were_changed_is_set_aside_when_it_is_read() {
        let (folder, store) = store();
        let object = put(&store, "k", "hello").await;
        fs::write(folder.path().join("blobs").join(object.blob), "jello").unwrap();
        assert!(matches!(store.read("b", "k").await, Err(StoreError::Io(_))));
        assert!(matches!(store.read("b", "k").await, Err(StoreError::NoSuchKey(_))));
        assert_eq!(count(folder.path(), "quarantine"), 1);
        put(&store, "k", "hello").await;
        assert_eq!(store.read("b", "k").await.unwrap().1, "hello");
    }

    #[tokio::test]
    async fn bytes_come_back_with_a_journal_that_knows_them() {
        let (folder, store) = store();
        let object = put(&store, "k", "hello").await;
        fs::create_dir(folder.path().join("quarantine")).unwrap();
        let aside = folder.path().join("quarantine").join(&object.blob);
        fs::rename(folder.path().join("blobs").join(&object.blob), aside).unwrap();
        let mut found = Recovery::default();
        store.recover(true, &mut found).unwrap();
        assert!(found.is_empty(), "{found}");
        assert_eq!(store.read("b", "k").await.unwrap().1, "hello");
    }

    #[tokio::test]
    async fn all_objects_are_announced_again_in_their_order() {
        let (folder, store) = store();
        put(&store, "z", "hello").await;
        put(&store, "a", "hello").await;
        drop(store);
        let store = reopen(folder.path());
        let object = || {
            let event = crate::queue::receive(&store.journal, "lambda/f").unwrap()?;
            let event: serde_json::Value = serde_json::from_str(&event.body).unwrap();
            Some(event["detail"]["object"].clone())
        };
        let first: Vec<_> = std::iter::from_fn(object).collect();
        assert_eq!(store.announce(None).unwrap(), 2);
        let again: Vec<_> = std::iter::from_fn(object).collect();
        assert_eq!(again, first);
        assert_eq!(again[0]["key"], "z");
    }
}
