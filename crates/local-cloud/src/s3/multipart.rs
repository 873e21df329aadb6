//! Multipart uploads, which SDKs use for files over 8 MB.

use std::fs::File;
use std::io::{self, Write as _};

use crc32fast::Hasher;
use md5::{Digest, Md5};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use s3s::checksum::ChecksumHasher;
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::buckets::check_bucket;
use super::checksums::{Algorithm, Checksum};
use super::conditions::Write;
use super::customer_key::{CustomerKey, check_upload_key};
use super::file::Draft;
use super::object::{Attributes, Blob, Object, ObjectPart, find};
use super::seal::{Opener, Seal, Sealer};
use super::store::ObjectStore;
use super::store_error::StoreError;
use crate::digest::hex;

/// The least bytes of every part but the last.
const LEAST_PART: u64 = 5 << 20;

/// What is known of an upload from its beginning.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Upload {
    /// Milliseconds since 1970.
    #[serde(default)]
    pub(crate) initiated: i64,
    /// The checksum that was asked for.
    #[serde(default)]
    pub(crate) wanted: Option<Algorithm>,
    /// Whether the object's checksum is that of its parts' checksums.
    #[serde(default)]
    pub(crate) composite: bool,
    #[serde(flatten)]
    pub(crate) attributes: Attributes,
}

/// A part of an upload.
#[derive(Clone, Debug)]
pub(crate) struct UploadPart {
    pub(crate) number: i32,
    pub(crate) blob: Blob,
    /// Milliseconds since 1970.
    pub(crate) modified: i64,
    pub(crate) checksum: Option<Checksum>,
}

/// A part as the request that completes an upload names it.
#[derive(Clone, Debug)]
pub(crate) struct NamedPart {
    pub(crate) number: i32,
    pub(crate) etag: String,
    pub(crate) checksum: Option<(Algorithm, String)>,
}

/// What the request that completes an upload expects.
#[derive(Clone, Default)]
pub(crate) struct Completion {
    pub(super) parts: Vec<NamedPart>,
    pub(super) conditions: Write,
    /// The checksum of the whole object.
    pub(super) checksum: Option<(Algorithm, String)>,
    /// Whether that checksum is said to be composite.
    pub(super) composite: Option<bool>,
    pub(super) size: Option<i64>,
    /// The key that the parts are encrypted with.
    pub(super) key: Option<CustomerKey>,
}

impl ObjectStore {
    /// Begins an upload. Returns its id.
    pub(crate) fn begin_upload(&self, bucket: &str, key: &str, mut upload: Upload) -> Result<String, StoreError> {
        let id = Uuid::new_v4().simple().to_string();
        upload.initiated = self.journal.clock().now_millis();
        let upload = serde_json::to_string(&upload).map_err(io::Error::other)?;
        self.journal.write(|transaction| {
            check_bucket(transaction, bucket)?;
            transaction
                .execute("INSERT INTO multipart_upload VALUES (?, ?, ?, ?)", params![id, bucket, key, upload])?;
            Ok::<_, StoreError>(())
        })?;
        Ok(id)
    }

    /// An upload that has begun and not ended.
    pub(crate) fn upload(&self, target: (&str, &str), id: &str) -> Result<Upload, StoreError> {
        self.check_bucket(target.0)?;
        self.journal.read(|connection| upload(connection, target, id))
    }

    /// The parts of an upload, by number.
    pub(crate) fn parts(&self, target: (&str, &str), id: &str) -> Result<(Upload, Vec<UploadPart>), StoreError> {
        self.check_bucket(target.0)?;
        self.journal.read(|connection| Ok((upload(connection, target, id)?, parts(connection, id)?)))
    }

    /// Stores one part. It replaces a part of the same number. Returns its time, in milliseconds since 1970.
    pub(crate) fn add_part(
        &self,
        target: (&str, &str),
        id: &str,
        number: i32,
        blob: &Blob,
        checksum: Option<&Checksum>,
    ) -> Result<i64, StoreError> {
        let modified = self.journal.clock().now_millis();
        let added = self.journal.write(|transaction| {
            upload(transaction, target, id)?;
            let replaced: Option<String> = transaction
                .prepare_cached("SELECT blob FROM part WHERE upload = ? AND number = ?")?
                .query_row(params![id, number], |row| row.get(0))
                .optional()?;
            let checksum = checksum.map(serde_json::to_string).transpose().map_err(io::Error::other)?;
            let seal = blob.seal.as_ref().map(serde_json::to_string).transpose().map_err(io::Error::other)?;
            transaction.execute(
                "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                params![id, number, blob.name, blob.size, blob.etag, modified, checksum, seal],
            )?;
            Ok(replaced)
        });
        match added {
            Ok(replaced) => {
                replaced.into_iter().for_each(|part| self.discard(&part));
                Ok(modified)
            }
            Err(error) => {
                self.remove_blob(&blob.name);
                Err(error)
            }
        }
    }

    /// Makes one object of the named parts. As in S3, its ETag is the MD5 of the parts' MD5s, followed by the number of parts. The
    /// same call again finds the object that the first one made.
    pub(crate) fn complete_upload(
        &self,
        target: (&str, &str),
        id: &str,
        completion: &Completion,
    ) -> Result<Object, StoreError> {
        self.check_bucket(target.0)?;
        loop {
            let (upload, parts) = match self.parts(target, id) {
                Err(StoreError::NoSuchUpload(id)) => return self.completed(target, id, completion),
                found => found?,
            };
            check_upload_key(upload.attributes.seal.as_ref(), completion.key.as_ref())?;
            let chosen = choose(&upload, parts, completion)?;
            let etag = etag(chosen.iter().map(|part| part.blob.etag.as_str()));
            let algorithm = upload.wanted.unwrap_or(Algorithm::Crc64nvme);
            let hasher = (!upload.composite).then(|| algorithm.hasher());
            let (draft, seal, hasher) = match self.concatenate(&chosen, completion.key.as_ref(), hasher) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Another request has replaced a part, or has completed the upload.
                    let now = self.parts(target, id).map(|(_, parts)| parts).unwrap_or_default();
                    let is_there = |part: &UploadPart| now.iter().any(|now| now.blob.name == part.blob.name);
                    if chosen.iter().all(is_there) {
                        return Err(error.into());
                    }
                    continue;
                }
                written => written?,
            };
            let checksum = match hasher {
                Some(hasher) => Checksum::of(algorithm, hasher),
                None => algorithm.composite(
                    chosen.iter().map(|part| part.checksum.as_ref().map_or("", |checksum| checksum.value.as_str())),
                )?,
            };
            let size = chosen.iter().map(|part| part.blob.size).sum();
            check_whole(&checksum, size, completion)?;
            let part = |part: &UploadPart| ObjectPart {
                number: part.number,
                size: part.blob.size,
                checksum: part.checksum.clone().filter(|_| upload.wanted.is_some()),
            };
            let mut attributes = upload.attributes;
            attributes.parts = chosen.iter().map(part).collect();
            attributes.checksum = Some(checksum);
            attributes.upload = Some(id.to_owned());
            let whole = Blob { name: draft.keep(), size, etag, seal };
            let name = whole.name.clone();
            let completed = self.journal.write(|transaction| {
                completion.conditions.check(target.1, find(transaction, target.0, target.1)?.as_ref())?;
                let mut unused = forget(transaction, target, id)?;
                let (object, replaced) =
                    self.replace(transaction, target.0, target.1, whole, attributes, "CompleteMultipartUpload")?;
                unused.extend(replaced);
                Ok::<_, StoreError>((object, unused))
            });
            match completed {
                Ok((object, unused)) => {
                    unused.iter().for_each(|blob| self.discard(blob));
                    return Ok(object);
                }
                Err(error) => {
                    self.remove_blob(&name);
                    // Another request may have completed it meanwhile.
                    if !matches!(error, StoreError::NoSuchUpload(_)) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// The object that an earlier call made of an upload.
    fn completed(&self, target: (&str, &str), id: String, completion: &Completion) -> Result<Object, StoreError> {
        match self.head(target.0, target.1) {
            Ok(object)
                if object.attributes.upload.as_deref() == Some(id.as_str())
                    && etag(completion.parts.iter().map(|part| part.etag.as_str())) == object.etag =>
            {
                Ok(object)
            }
            Ok(_) | Err(StoreError::NoSuchKey(_)) => Err(StoreError::NoSuchUpload(id)),
            Err(error) => Err(error),
        }
    }

    /// Writes the bytes of all parts to one file. They are encrypted anew if there is a key.
    fn concatenate(
        &self,
        parts: &[UploadPart],
        key: Option<&CustomerKey>,
        hasher: Option<ChecksumHasher>,
    ) -> io::Result<(Draft, Option<Seal>, Option<ChecksumHasher>)> {
        let draft = Draft::new(self.blobs.clone());
        let seal = key.map(Seal::new).transpose()?;
        let sealer = key.zip(seal.as_ref()).map(|(key, seal)| seal.sealer(key)).transpose()?;
        let mut whole = Summed { file: File::create(draft.path())?, checksum: Hasher::new(), hasher, sealer };
        for part in parts {
            let mut file = File::open(self.blobs.file(&part.blob.name))?;
            match part.blob.seal.as_ref().zip(key) {
                None => _ = io::copy(&mut file, &mut whole)?,
                Some((seal, key)) => {
                    let size = part.blob.size;
                    io::copy(&mut file, &mut Opened { opener: seal.opener(key, size, &(0..size))?, to: &mut whole })?;
                }
            }
        }
        let (draft, hasher) = whole.finish(draft)?;
        Ok((draft, seal, hasher))
    }

    /// Deletes an upload and its parts, unless `condition` refuses.
    pub(crate) fn abort_upload(
        &self,
        target: (&str, &str),
        id: &str,
        condition: impl FnOnce(&Upload) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.check_bucket(target.0)?;
        let blobs = self.journal.write(|transaction| {
            condition(&upload(transaction, target, id)?)?;
            forget(transaction, target, id)
        })?;
        blobs.iter().for_each(|blob| self.discard(blob));
        Ok(())
    }

    /// All uploads of a bucket whose keys begin with a prefix, by key and time.
    pub(crate) fn uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<(String, String, Upload)>, StoreError> {
        self.check_bucket(bucket)?;
        let mut uploads = self.journal.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT key, id, attributes FROM multipart_upload WHERE bucket = ?")?;
            let rows = statement.query_map([bucket], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?)))?;
            Ok::<_, StoreError>(rows.collect::<Result<Vec<(String, String, String)>, _>>()?)
        })?;
        uploads.retain(|(key, _, _)| key.starts_with(prefix));
        let read = |(key, id, text): (String, String, String)| {
            Ok::<_, StoreError>((key, id, serde_json::from_str::<Upload>(&text).map_err(io::Error::other)?))
        };
        let mut uploads = uploads.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        uploads.sort_by(|(a, a_id, a_upload), (b, b_id, b_upload)| {
            (a, a_upload.initiated, a_id).cmp(&(b, b_upload.initiated, b_id))
        });
        Ok(uploads)
    }
}

/// The named parts, if they are all there and in order.
fn choose(upload: &Upload, mut parts: Vec<UploadPart>, completion: &Completion) -> S3Result<Vec<UploadPart>> {
    if completion.parts.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    if completion.parts.windows(2).any(|pair| pair[0].number >= pair[1].number) {
        return Err(s3_error!(
            InvalidPartOrder,
            "The list of parts was not in ascending order. Parts must be ordered by part number."
        ));
    }
    let mut chosen = Vec::with_capacity(completion.parts.len());
    for (at, named) in completion.parts.iter().enumerate() {
        let found = parts.iter().position(|part| part.number == named.number && part.blob.etag == named.etag);
        let Some(found) = found else {
            return Err(s3_error!(
                InvalidPart,
                "there is no part {} with the ETag {}: upload it, or name the ETag that its upload answered",
                named.number,
                named.etag
            ));
        };
        let part = parts.swap_remove(found);
        check_part(upload, &part, named)?;
        if at + 1 < completion.parts.len() && part.blob.size < LEAST_PART {
            return Err(s3_error!(
                EntityTooSmall,
                "Your proposed upload is smaller than the minimum allowed size: part {} has {} bytes, and every part but the last has at least {LEAST_PART}",
                part.number,
                part.blob.size
            ));
        }
        chosen.push(part);
    }
    Ok(chosen)
}

/// Compares the checksum that a request names for a part with the part's own.
fn check_part(upload: &Upload, part: &UploadPart, named: &NamedPart) -> S3Result {
    let own = part.checksum.as_ref();
    match (&named.checksum, upload.wanted) {
        (None, Some(wanted)) if upload.composite => Err(s3_error!(
            InvalidRequest,
            "The upload was created using a {} checksum. The complete request must include the checksum for each part. It was missing for part {} in the request.",
            wanted.name().to_ascii_lowercase(),
            part.number
        )),
        (None, _) => Ok(()),
        (Some((algorithm, value)), _) => match own {
            Some(own) if own.algorithm == *algorithm && own.value == *value => Ok(()),
            _ => Err(s3_error!(InvalidPart, "the {} of part {} is not {value}", algorithm.name(), part.number)),
        },
    }
}

/// Compares what a request expects of the whole object with the object.
fn check_whole(checksum: &Checksum, size: u64, completion: &Completion) -> S3Result {
    if let Some(expected) = completion.size
        && u64::try_from(expected) != Ok(size)
    {
        return Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header value {expected} does not match what was computed: {size}"
        ));
    }
    if completion.composite.is_some_and(|composite| composite != checksum.composite) {
        return Err(s3_error!(InvalidRequest, "x-amz-checksum-type is not that of the upload"));
    }
    match &completion.checksum {
        None => Ok(()),
        Some((algorithm, value)) => {
            // A composite checksum may come without the number of its parts.
            let own = checksum.value.split('-').next().unwrap_or_default();
            if *algorithm != checksum.algorithm {
                Err(s3_error!(
                    InvalidRequest,
                    "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                    checksum.algorithm.name().to_ascii_lowercase(),
                    algorithm.name().to_ascii_lowercase()
                ))
            } else if *value == checksum.value || value == own {
                Ok(())
            } else {
                Err(s3_error!(
                    BadDigest,
                    "The {} you specified did not match the calculated checksum.",
                    algorithm.name()
                ))
            }
        }
    }
}

/// The MD5 of the parts' MD5s, and their number.
fn etag<'a>(parts: impl ExactSizeIterator<Item = &'a str>) -> String {
    let (mut md5, count) = (Md5::new(), parts.len());
    for part in parts {
        let digits = part.as_bytes().chunks_exact(2);
        let digest = digits.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        md5.update(digest.collect::<Vec<u8>>());
    }
    format!("{}-{count}", hex(&md5.finalize()))
}

/// A file, which is encrypted if there is a sealer, and its two checksums: that of the file, and S3's of what was written to it.
struct Summed {
    file: File,
    checksum: Hasher,
    hasher: Option<ChecksumHasher>,
    sealer: Option<Sealer>,
}

impl Summed {
    fn store(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.checksum.update(bytes);
        Ok(())
    }

    fn finish(mut self, draft: Draft) -> io::Result<(Draft, Option<ChecksumHasher>)> {
        if let Some(sealer) = self.sealer.take() {
            self.store(&sealer.finish()?)?;
        }
        Ok((draft.written(&self.file, self.checksum.finalize())?, self.hasher))
    }
}

impl io::Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        match self.sealer.as_mut().map(|sealer| sealer.seal(bytes)) {
            Some(sealed) => self.store(&sealed?)?,
            None => self.store(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Opens the encrypted bytes of a part that are written to it.
struct Opened<'a> {
    opener: Opener,
    to: &'a mut Summed,
}

impl io::Write for Opened<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write_all(&self.opener.open(bytes)?)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
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

fn upload(connection: &Connection, target: (&str, &str), id: &str) -> Result<Upload, StoreError> {
    let upload: Option<String> = connection
        .prepare_cached("SELECT attributes FROM multipart_upload WHERE id = ? AND bucket = ? AND key = ?")?
        .query_row([id, target.0, target.1], |row| row.get(0))
        .optional()?;
    let upload = upload.ok_or_else(|| StoreError::NoSuchUpload(id.to_owned()))?;
    Ok(serde_json::from_str(&upload).map_err(io::Error::other)?)
}

fn parts(connection: &Connection, id: &str) -> Result<Vec<UploadPart>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, blob, size, etag, modified, checksum, seal FROM part WHERE upload = ? ORDER BY number",
    )?;
    Ok(statement.query_map([id], part)?.collect::<Result<_, _>>()?)
}

fn part(row: &Row<'_>) -> rusqlite::Result<UploadPart> {
    let (checksum, seal): (Option<String>, Option<String>) = (row.get(5)?, row.get(6)?);
    let seal = seal.and_then(|text| serde_json::from_str(&text).ok());
    Ok(UploadPart {
        number: row.get(0)?,
        blob: Blob { name: row.get(1)?, size: row.get(2)?, etag: row.get(3)?, seal },
        modified: row.get(4)?,
        checksum: checksum.and_then(|text| serde_json::from_str(&text).ok()),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use s3s::dto::ETagCondition;

    use super::super::store::tests::{kept, put, store};
    use super::*;

    async fn part(store: &ObjectStore, id: &str, number: i32, bytes: Vec<u8>) -> NamedPart {
        let body = futures::stream::iter([Ok::<_, io::Error>(Bytes::from(bytes))]);
        let blob = store.receive(body).await.unwrap();
        store.add_part(("b", "k"), id, number, &blob, None).unwrap();
        NamedPart { number, etag: blob.etag, checksum: None }
    }

    #[tokio::test]
    async fn parts_become_one_object() {
        let (_folder, store) = store();
        let id = store.begin_upload("b", "k", Upload::default()).unwrap();
        let first = part(&store, &id, 1, vec![b'x'; 5 << 20]).await;
        part(&store, &id, 2, b"wurld".to_vec()).await;
        let second = part(&store, &id, 2, b"world".to_vec()).await;
        let complete = |parts: &[&NamedPart]| {
            let parts = parts.iter().map(|part| (*part).clone()).collect();
            store.complete_upload(("b", "k"), &id, &Completion { parts, ..Completion::default() })
        };
        let wrong = NamedPart { number: 1, etag: "nope".into(), checksum: None };
        for bad in [&[&wrong][..], &[&second, &first], &[]] {
            assert!(matches!(complete(bad), Err(StoreError::Refused(_))), "{bad:?}");
        }
        let object = complete(&[&first, &second]).unwrap();
        assert!(object.etag.ends_with("-2"), "{}", object.etag);
        assert_eq!(object.attributes.parts.iter().map(|part| part.size).collect::<Vec<_>>(), [5 << 20, 5]);
        assert!(store.read("b", "k").await.unwrap().1.ends_with(b"xworld"));
        assert_eq!(complete(&[&first, &second]).unwrap().modified, object.modified, "a repeated call finds the object");
        assert!(matches!(complete(&[&first]), Err(StoreError::NoSuchUpload(_))));
        assert!(matches!(store.abort_upload(("b", "k"), &id, |_| Ok(())), Err(StoreError::NoSuchUpload(_))));
        assert_eq!(kept(&store).await, 1);
    }

    #[tokio::test]
    async fn a_small_part_is_the_last_one() {
        let (_folder, store) = store();
        let id = store.begin_upload("b", "k", Upload::default()).unwrap();
        let parts = vec![part(&store, &id, 1, vec![1; 5]).await, part(&store, &id, 2, vec![2; 5]).await];
        let refused = store.complete_upload(("b", "k"), &id, &Completion { parts, ..Completion::default() });
        assert!(refused.unwrap_err().to_string().contains("smaller than the minimum"));
    }

    #[tokio::test]
    async fn a_condition_is_checked_when_the_parts_become_an_object() {
        let (_folder, store) = store();
        let id = store.begin_upload("b", "k", Upload::default()).unwrap();
        let parts = vec![part(&store, &id, 1, b"new".to_vec()).await];
        put(&store, "k", "old").await;
        let conditions = Write { if_match: None, if_none_match: Some(ETagCondition::Any) };
        let completion = Completion { parts, conditions, ..Completion::default() };
        let refused = store.complete_upload(("b", "k"), &id, &completion);
        assert!(matches!(refused, Err(StoreError::PreconditionFailed)));
        assert_eq!(store.read("b", "k").await.unwrap().1, "old");
        store.delete("b", "k", |_| Ok(())).unwrap();
        store.complete_upload(("b", "k"), &id, &completion).unwrap();
        assert_eq!(store.read("b", "k").await.unwrap().1, "new");
    }

    #[tokio::test]
    async fn uploads_of_an_earlier_version_can_be_completed() {
        let (_folder, store) = store();
        let earlier = r#"{"content_type":"text/plain","metadata":{"a":"b"}}"#;
        let insert = "INSERT INTO multipart_upload VALUES ('u', 'b', 'k', ?)";
        store.journal.write(|transaction| transaction.execute(insert, [earlier])).unwrap();
        let parts = vec![part(&store, "u", 1, b"x".to_vec()).await];
        let completion = Completion { parts, ..Completion::default() };
        let object = store.complete_upload(("b", "k"), "u", &completion).unwrap();
        assert_eq!(object.attributes.content_type.as_deref(), Some("text/plain"));
        assert_eq!(object.attributes.metadata["a"], "b");
    }
}
