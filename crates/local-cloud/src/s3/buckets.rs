//! Buckets.

use rusqlite::params;

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

    /// Deletes a bucket, which must be empty.
    pub(crate) fn delete_bucket(&self, name: &str) -> Result<(), StoreError> {
        self.check_bucket(name)?;
        self.journal.write(|transaction| {
            let full = transaction.prepare("SELECT 1 FROM object WHERE bucket = ?")?.exists([name])?;
            if full {
                return Err(StoreError::BucketNotEmpty(name.to_owned()));
            }
            transaction.execute("DELETE FROM bucket WHERE name = ?", [name])?;
            transaction.execute("DELETE FROM bucket_setting WHERE bucket = ?", [name])?;
            Ok(())
        })
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
        let known = self
            .journal
            .read(|connection| connection.prepare_cached("SELECT 1 FROM bucket WHERE name = ?")?.exists([name]))?;
        if known { Ok(()) } else { Err(StoreError::NoSuchBucket(name.to_owned())) }
    }
}
