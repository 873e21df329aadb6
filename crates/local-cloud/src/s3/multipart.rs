//! Multipart uploads, which SDKs use for files over 8 MB.

use std::fs::File;
use std::io;

use md5::{Digest, Md5};
use rusqlite::{OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::file::Draft;
use super::object::{Attributes, Blob, Object};
use super::store::ObjectStore;
use super::store_error::StoreError;
use crate::digest::hex;

impl ObjectStore {
    pub(crate) fn begin_upload(&self, bucket: &str, key: &str, attributes: &Attributes) -> Result<String, StoreError> {
        self.check_bucket(bucket)?;
        let id = Uuid::new_v4().simple().to_string();
        let attributes = serde_json::to_string(attributes).map_err(io::Error::other)?;
        self.journal.write(|transaction| {
            transaction
                .execute("INSERT INTO multipart_upload VALUES (?, ?, ?, ?)", params![id, bucket, key, attributes])
        })?;
        Ok(id)
    }

    /// Stores one part. It replaces a part of the same number.
    pub(crate) fn add_part(&self, target: (&str, &str), id: &str, number: i32, blob: &Blob) -> Result<(), StoreError> {
        let added = self.journal.write(|transaction| {
            upload(transaction, target, id)?;
            let replaced = part(transaction, id, number)?;
            transaction.execute(
                "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?)",
                params![id, number, blob.name, blob.size, blob.etag],
            )?;
            Ok(replaced)
        });
        match added {
            Ok(replaced) => {
                replaced.into_iter().for_each(|part| self.discard(&part.name));
                Ok(())
            }
            Err(error) => {
                self.remove_blob(&blob.name);
                Err(error)
            }
        }
    }

    /// Makes one object of the parts `(number, ETag)`, in the given order. As in S3, its ETag is the MD5 of the parts' MD5s, followed
    /// by the number of parts.
    pub(crate) fn complete_upload(
        &self,
        target: (&str, &str),
        id: &str,
        parts: &[(i32, String)],
    ) -> Result<Object, StoreError> {
        let (attributes, blobs) = self.journal.write(|transaction| {
            let attributes = upload(transaction, target, id)?;
            let mut blobs = Vec::with_capacity(parts.len());
            for (number, etag) in parts {
                match part(transaction, id, *number)? {
                    Some(blob) if blob.etag == etag.trim_matches('"') => blobs.push(blob),
                    _ => return Err(StoreError::InvalidPart(format!("there is no part {number} of ETag {etag}"))),
                }
            }
            Ok((attributes, blobs))
        })?;
        if blobs.is_empty() {
            return Err(StoreError::InvalidPart("an upload has at least one part".to_owned()));
        }
        let whole = self.concatenate(&blobs)?;
        let name = whole.name.clone();
        let completed = self.journal.write(|transaction| {
            let mut unused = forget(transaction, target, id)?;
            let (object, replaced) =
                self.replace(transaction, target.0, target.1, whole, attributes, "CompleteMultipartUpload")?;
            unused.extend(replaced);
            Ok::<_, StoreError>((object, unused))
        });
        let (object, unused) = completed.inspect_err(|_| self.remove_blob(&name))?;
        unused.iter().for_each(|blob| self.discard(blob));
        Ok(object)
    }

    fn concatenate(&self, parts: &[Blob]) -> Result<Blob, StoreError> {
        let draft = Draft::new(self.blobs.clone());
        let mut whole = File::create(draft.path())?;
        let mut size = 0;
        let mut md5 = Md5::new();
        for part in parts {
            size += io::copy(&mut File::open(self.blobs.file(&part.name))?, &mut whole)?;
            let digits = part.etag.as_bytes().chunks_exact(2);
            let digest = digits.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
            md5.update(digest.collect::<Vec<u8>>());
        }
        let draft = draft.written(&whole)?;
        Ok(Blob { name: draft.keep(), size, etag: format!("{}-{}", hex(&md5.finalize()), parts.len()) })
    }

    /// Deletes an upload and its parts.
    pub(crate) fn abort_upload(&self, target: (&str, &str), id: &str) -> Result<(), StoreError> {
        let blobs = self.journal.write(|transaction| forget(transaction, target, id))?;
        blobs.iter().for_each(|blob| self.discard(blob));
        Ok(())
    }
}

/// Deletes an upload. Returns the names of its parts' bytes, which are unused now.
fn forget(transaction: &Transaction<'_>, target: (&str, &str), id: &str) -> Result<Vec<String>, StoreError> {
    upload(transaction, target, id)?;
    let blobs = transaction
        .prepare("DELETE FROM part WHERE upload = ? RETURNING blob")?
        .query_map([id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    transaction.execute("DELETE FROM multipart_upload WHERE id = ?", [id])?;
    Ok(blobs)
}

fn upload(transaction: &Transaction<'_>, target: (&str, &str), id: &str) -> Result<Attributes, StoreError> {
    let attributes: Option<String> = transaction
        .prepare_cached("SELECT attributes FROM multipart_upload WHERE id = ? AND bucket = ? AND key = ?")?
        .query_row([id, target.0, target.1], |row| row.get(0))
        .optional()?;
    let attributes = attributes.ok_or_else(|| StoreError::NoSuchUpload(id.to_owned()))?;
    Ok(serde_json::from_str(&attributes).map_err(io::Error::other)?)
}

fn part(transaction: &Transaction<'_>, id: &str, number: i32) -> Result<Option<Blob>, StoreError> {
    let found = transaction
        .prepare_cached("SELECT blob, size, etag FROM part WHERE upload = ? AND number = ?")?
        .query_row(params![id, number], |row| Ok(Blob { name: row.get(0)?, size: row.get(1)?, etag: row.get(2)? }))
        .optional()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::store::tests::store;
    use super::*;

    #[tokio::test]
    async fn parts_become_one_object() {
        let (folder, store) = store();
        let id = store.begin_upload("b", "k", &Attributes::default()).unwrap();
        let mut parts = Vec::new();
        for (number, text) in [(1, "hello "), (2, "wurld"), (2, "world")] {
            let body = futures::stream::iter([Ok::<_, io::Error>(Bytes::from_static(text.as_bytes()))]);
            let blob = store.receive(body, |_| ()).await.unwrap();
            store.add_part(("b", "k"), &id, number, &blob).unwrap();
            parts.retain(|(known, _)| *known != number);
            parts.push((number, blob.etag));
        }
        let wrong = [(1, "nope".to_owned())];
        assert!(matches!(store.complete_upload(("b", "k"), &id, &wrong), Err(StoreError::InvalidPart(_))));
        let object = store.complete_upload(("b", "k"), &id, &parts).unwrap();
        assert!(object.etag.ends_with("-2"), "{}", object.etag);
        assert_eq!(store.read("b", "k").await.unwrap().1, "hello world");
        assert!(matches!(store.abort_upload(("b", "k"), &id), Err(StoreError::NoSuchUpload(_))));
        store.journal.durable().await.unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("blobs")).unwrap().count(), 1);
    }
}
