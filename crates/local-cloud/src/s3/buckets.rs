//! Buckets.

use rusqlite::{Connection, params};

use super::store::ObjectStore;
use super::store_error::StoreError;

impl ObjectStore {
    /// Creates a bucket, unless it exists.
    pub(crate) fn create_bucket(&self, name: &str) -> Result<(), StoreError> {
        self.journal.write(|transaction| {
            transaction.execute(
                "INSERT OR IGNORE INTO bucket VALUES (?, ?)",
                params![name, self.journal.clock().now_millis()],
            )?;
            Ok(())
        })
    }

    /// Deletes a bucket, which must be empty. Its multipart uploads end with it.
    pub(crate) fn delete_bucket(&self, name: &str) -> Result<(), StoreError> {
        let parts = self.journal.write(|transaction| {
            check_bucket(transaction, name)?;
            let full = transaction.prepare("SELECT 1 FROM object WHERE bucket = ?")?.exists([name])?;
            if full {
                return Err(StoreError::BucketNotEmpty(name.to_owned()));
            }
            transaction.execute("DELETE FROM bucket WHERE name = ?", [name])?;
            transaction.execute("DELETE FROM bucket_setting WHERE bucket = ?", [name])?;
            let parts = transaction
                .prepare(
                    "DELETE FROM part WHERE upload IN (SELECT id FROM multipart_upload WHERE bucket = ?) RETURNING blob",
                )?
                .query_map([name], |row| row.get(0))?
                .collect::<Result<Vec<String>, _>>()?;
            transaction.execute("DELETE FROM multipart_upload WHERE bucket = ?", [name])?;
            Ok::<_, StoreError>(parts)
        })?;
        parts.iter().for_each(|part| self.discard(part));
        Ok(())
    }

    /// All buckets, each with its creation in milliseconds since 1970.
    pub(crate) fn buckets(&self) -> Result<Vec<(String, i64)>, StoreError> {
        self.journal.read(|connection| {
            let mut statement = connection.prepare("SELECT name, created FROM bucket ORDER BY name")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// An error, unless the bucket exists.
    pub(crate) fn check_bucket(&self, name: &str) -> Result<(), StoreError> {
        self.journal.read(|connection| check_bucket(connection, name))
    }
}

/// An error, unless the bucket exists.
pub(super) fn check_bucket(connection: &Connection, name: &str) -> Result<(), StoreError> {
    let known = connection.prepare_cached("SELECT 1 FROM bucket WHERE name = ?")?.exists([name])?;
    if known { Ok(()) } else { Err(StoreError::NoSuchBucket(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use std::io;

    use bytes::Bytes;

    use super::super::multipart::Upload;
    use super::super::object::{Attributes, Blob};
    use super::super::store::tests::{kept, store};
    use super::*;

    async fn received(store: &ObjectStore) -> Blob {
        store.receive(futures::stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"bytes"))])).await.unwrap()
    }

    #[tokio::test]
    async fn the_uploads_of_a_bucket_end_with_it() {
        let (_folder, store) = store();
        let id = store.begin_upload("b", "k", Upload::default()).unwrap();
        let part = received(&store).await;
        store.add_part(("b", "k"), &id, 1, &part, None).unwrap();
        assert_eq!(kept(&store).await, 1);
        store.delete_bucket("b").unwrap();
        assert_eq!(kept(&store).await, 0);
        assert!(matches!(store.begin_upload("b", "k", Upload::default()), Err(StoreError::NoSuchBucket(_))));
        store.create_bucket("b").unwrap();
        assert!(store.uploads("b", "").unwrap().is_empty());
        let late = received(&store).await;
        assert!(matches!(store.add_part(("b", "k"), &id, 2, &late, None), Err(StoreError::NoSuchUpload(_))));
        assert_eq!(kept(&store).await, 0);
    }

    #[tokio::test]
    async fn no_object_is_written_to_a_bucket_that_was_deleted_meanwhile() {
        let (_folder, store) = store();
        let blob = received(&store).await;
        store.delete_bucket("b").unwrap();
        let written = store.journal.write(|transaction| {
            store.replace(transaction, "b", "k", blob, Attributes::default(), "CompleteMultipartUpload")
        });
        assert!(matches!(written, Err(StoreError::NoSuchBucket(_))));
    }
}
