//! Copies and deletions of objects, and changes of what is known about them.

use std::io;

use rusqlite::{OptionalExtension, params};

use super::customer_key::check_key;
use super::object::{Attributes, Blob, Object, find, is_used};
use super::store::ObjectStore;
use super::store_error::StoreError;

impl ObjectStore {
    /// Copies an object that is not encrypted with a key of the client; the copy shares the bytes of its source. `attributes` are those of the copy, of the source and the object
    /// that would be replaced. It may refuse.
    pub(crate) fn copy(
        &self,
        source: (&str, &str),
        bucket: &str,
        key: &str,
        attributes: impl FnOnce(&Object, Option<&Object>) -> Result<Attributes, StoreError>,
    ) -> Result<Object, StoreError> {
        self.check_bucket(source.0)?;
        self.check_bucket(bucket)?;
        let (object, unused) = self.journal.write(|transaction| {
            let found = find(transaction, source.0, source.1)?;
            let original = found.ok_or_else(|| StoreError::NoSuchKey(source.1.to_owned()))?;
            check_key(original.attributes.seal.as_ref(), None)?;
            let attributes = attributes(&original, find(transaction, bucket, key)?.as_ref())?;
            let blob = Blob { name: original.blob, size: original.size, etag: original.etag, seal: None };
            self.replace(transaction, bucket, key, blob, attributes, "CopyObject")
        })?;
        unused.into_iter().for_each(|blob| self.discard(&blob));
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
        unused.into_iter().for_each(|blob| self.discard(&blob));
        Ok(())
    }

    /// Changes the attributes of an object. Its bytes, its ETag and its time stay, and no event is sent.
    pub(crate) fn change(
        &self,
        bucket: &str,
        key: &str,
        change: impl FnOnce(&mut Attributes),
    ) -> Result<(), StoreError> {
        self.check_bucket(bucket)?;
        self.journal.write(|transaction| {
            let found = find(transaction, bucket, key)?;
            let mut object = found.ok_or_else(|| StoreError::NoSuchKey(key.to_owned()))?;
            change(&mut object.attributes);
            let attributes = serde_json::to_string(&object.attributes).map_err(io::Error::other)?;
            transaction
                .prepare_cached("UPDATE object SET attributes = ? WHERE bucket = ? AND key = ?")?
                .execute(params![attributes, bucket, key])?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::{kept, put, store};
    use super::*;

    #[tokio::test]
    async fn copies_share_bytes_until_the_last_one_is_deleted() {
        let (_folder, store) = store();
        let object = put(&store, "k", "hello").await;
        store.copy(("b", "k"), "b", "copy", |original, _| Ok(original.attributes.clone())).unwrap();
        assert_eq!(kept(&store).await, 1);
        put(&store, "k", "other").await;
        assert_eq!(kept(&store).await, 2);
        assert_eq!(store.read("b", "copy").await.unwrap().1, "hello");
        let refused = store.copy(("b", "k"), "b", "copy", |now, _| match now.etag == object.etag {
            true => Ok(Attributes::default()),
            false => Err(StoreError::PreconditionFailed),
        });
        assert!(matches!(refused, Err(StoreError::PreconditionFailed)));
        store.delete("b", "copy", |_| Ok(())).unwrap();
        store.delete("b", "copy", |_| Ok(())).unwrap();
        assert_eq!(kept(&store).await, 1);
    }

    #[tokio::test]
    async fn a_change_keeps_everything_else() {
        let (_folder, store) = store();
        let before = put(&store, "k", "hello").await;
        store.change("b", "k", |attributes| attributes.tags = vec![("a".into(), "1".into())]).unwrap();
        let after = store.head("b", "k").unwrap();
        assert_eq!(after.attributes.tags, [("a".to_owned(), "1".to_owned())]);
        assert_eq!((after.etag, after.modified, after.blob), (before.etag, before.modified, before.blob));
        assert!(matches!(store.change("b", "none", |_| ()), Err(StoreError::NoSuchKey(_))));
    }
}
