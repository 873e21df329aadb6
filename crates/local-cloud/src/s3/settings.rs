//! Configurations of buckets. They are kept as the XML documents that they came in.

use rusqlite::{OptionalExtension, params};
use s3s::dto::{BucketLifecycleConfiguration, CORSConfiguration, ServerSideEncryptionConfiguration, Tagging};
use s3s::xml::{Deserialize, Deserializer, Serialize, Serializer};

use super::encryption;
use super::object::Encryption;
use super::store::ObjectStore;
use super::store_error::StoreError;

/// A configuration of a bucket.
pub(super) trait Setting: Serialize + for<'xml> Deserialize<'xml> {
    /// Its name in the journal.
    const KIND: &'static str;
}

impl Setting for CORSConfiguration {
    const KIND: &'static str = "cors";
}

impl Setting for BucketLifecycleConfiguration {
    const KIND: &'static str = "lifecycle";
}

impl Setting for ServerSideEncryptionConfiguration {
    const KIND: &'static str = "encryption";
}

impl Setting for Tagging {
    const KIND: &'static str = "tagging";
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Io(std::io::Error::other(error))
}

impl ObjectStore {
    /// Sets a configuration of a bucket.
    pub(super) fn set<S: Setting>(&self, bucket: &str, setting: &S) -> Result<(), StoreError> {
        self.check_bucket(bucket)?;
        let mut document = Vec::new();
        setting.serialize(&mut Serializer::new(&mut document)).map_err(unreadable)?;
        let document = String::from_utf8(document).map_err(unreadable)?;
        self.journal.write(|transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO bucket_setting VALUES (?, ?, ?)",
                params![bucket, S::KIND, document],
            )?;
            Ok(())
        })
    }

    /// A configuration of a bucket, if there is one.
    pub(super) fn setting<S: Setting>(&self, bucket: &str) -> Result<Option<S>, StoreError> {
        self.check_bucket(bucket)?;
        let document: Option<String> = self.journal.read(|connection| {
            connection
                .prepare_cached("SELECT document FROM bucket_setting WHERE bucket = ? AND kind = ?")?
                .query_row([bucket, S::KIND], |row| row.get(0))
                .optional()
        })?;
        let read = |document: String| S::deserialize(&mut Deserializer::new(document.as_bytes())).map_err(unreadable);
        document.map(read).transpose()
    }

    /// Removes a configuration of a bucket. A missing one is no error.
    pub(super) fn unset<S: Setting>(&self, bucket: &str) -> Result<(), StoreError> {
        self.check_bucket(bucket)?;
        self.journal.write(|transaction| {
            transaction.execute("DELETE FROM bucket_setting WHERE bucket = ? AND kind = ?", [bucket, S::KIND])?;
            Ok(())
        })
    }

    /// The encryption of an object whose request asks for none.
    pub(super) fn default_encryption(&self, bucket: &str) -> Result<Option<Encryption>, StoreError> {
        let configuration = self.setting::<ServerSideEncryptionConfiguration>(bucket)?;
        Ok(configuration.as_ref().and_then(encryption::of_bucket))
    }
}

#[cfg(test)]
mod tests {
    use s3s::dto::Tag;

    use super::super::store::tests::{reopen, store};
    use super::*;

    #[tokio::test]
    async fn a_setting_survives_a_restart_and_goes_with_its_bucket() {
        let (folder, store) = store();
        assert!(store.setting::<Tagging>("b").unwrap().is_none());
        let tags = Tagging { tag_set: vec![Tag { key: Some("a".into()), value: Some("<1>".into()) }] };
        store.set("b", &tags).unwrap();
        drop(store);
        let store = reopen(folder.path());
        assert!(store.setting::<Tagging>("b").unwrap() == Some(tags.clone()));
        assert!(store.setting::<CORSConfiguration>("b").unwrap().is_none());
        store.delete_bucket("b").unwrap();
        assert!(matches!(store.setting::<Tagging>("b"), Err(StoreError::NoSuchBucket(_))));
        store.create_bucket("b").unwrap();
        assert!(store.setting::<Tagging>("b").unwrap().is_none());
        store.set("b", &tags).unwrap();
        store.unset::<Tagging>("b").unwrap();
        assert!(store.setting::<Tagging>("b").unwrap().is_none());
    }
}
