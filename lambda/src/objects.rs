//! The objects in S3.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, EncodingType, MetadataDirective, Object, ObjectIdentifier};
use pipeline::event::url_decoded;

use crate::error::HandlerError;

/// `Cache-Control` of images and strips. A revision never changes, but a deletion removes it, and a face is for its own client alone:
/// with `public`, a shared cache could answer others (RFC 9111, section 3.5).
const IMMUTABLE: &str = "private, max-age=86400, immutable";
/// The most keys of one `DeleteObjects`.
const DELETED_AT_ONCE: usize = 1000;

/// A key of a list. Lists are asked for URL encoding: XML has no control characters, and one such key would end every list.
fn decoded(key: String) -> String {
    url_decoded(&key).unwrap_or(key)
}

/// An object as it was read.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The bytes, or the first of them.
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: Option<String>,
    /// The user metadata: names without `x-amz-meta-`.
    pub(crate) metadata: HashMap<String, String>,
}

/// What a presigned upload takes, if that is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UploadBody {
    /// In bytes.
    pub(crate) length: Option<i64>,
    pub(crate) media_type: Option<String>,
}

/// A part of a list.
#[derive(Debug)]
pub(crate) enum Found {
    /// An object.
    Object(Box<Object>),
    /// The beginning of keys, with the slash at its end, such as `images/ada/`.
    Folder(String),
}

impl Found {
    /// Where a list that goes on after this one begins.
    pub(crate) fn after(&self) -> String {
        match self {
            Self::Object(object) => object.key().unwrap_or_default().to_owned(),
            // The byte after the slash: `images/ada/` itself would bring the folder again.
            Self::Folder(folder) => format!("{}0", folder.trim_end_matches('/')),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Objects {
    client: aws_sdk_s3::Client,
}

impl Objects {
    pub(crate) fn new(client: aws_sdk_s3::Client) -> Self {
        Self { client }
    }

    /// A whole object; `None` if there is none.
    pub(crate) async fn read(&self, bucket: &str, key: &str) -> Result<Option<Contents>, HandlerError> {
        match self.client.get_object().bucket(bucket).key(key).send().await {
            Ok(object) => receive(object, bucket, key).await.map(Some),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(HandlerError::s3("GetObject", bucket, key)(error)),
        }
    }

    /// Reads a whole object piece by piece; `None` if there is none. The bytes of the result are empty.
    pub(crate) async fn read_each(
        &self,
        bucket: &str,
        key: &str,
        take: impl FnMut(&[u8]),
    ) -> Result<Option<Contents>, HandlerError> {
        match self.client.get_object().bucket(bucket).key(key).send().await {
            Ok(object) => receive_each(object, bucket, key, take).await.map(Some),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(HandlerError::s3("GetObject", bucket, key)(error)),
        }
    }

    /// The first bytes of the object with this ETag, none if `length` is 0; `None` if it was deleted or replaced.
    pub(crate) async fn read_beginning(
        &self,
        bucket: &str,
        key: &str,
        etag: &str,
        length: usize,
    ) -> Result<Option<Contents>, HandlerError> {
        // Only an empty object is read without a range, since S3 refuses any range of it.
        let range = length.checked_sub(1).map(|last| format!("bytes=0-{last}"));
        match self.client.get_object().bucket(bucket).key(key).if_match(etag).set_range(range).send().await {
            Ok(object) => receive(object, bucket, key).await.map(Some),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(HandlerError::s3("GetObject", bucket, key)(error)),
        }
    }

    pub(crate) async fn exists(&self, bucket: &str, key: &str) -> Result<bool, HandlerError> {
        Ok(self.etag(bucket, key).await?.is_some())
    }

    /// The ETag of an object; `None` if there is none.
    pub(crate) async fn etag(&self, bucket: &str, key: &str) -> Result<Option<String>, HandlerError> {
        match self.client.head_object().bucket(bucket).key(key).send().await {
            Ok(object) => Ok(Some(object.e_tag.unwrap_or_default())),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(HandlerError::s3("HeadObject", bucket, key)(error)),
        }
    }

    /// Whether there is an object whose key has this prefix.
    pub(crate) async fn any(&self, bucket: &str, prefix: &str) -> Result<bool, HandlerError> {
        let first = self.client.list_objects_v2().bucket(bucket).prefix(prefix).max_keys(1);
        let first = first.encoding_type(EncodingType::Url).send().await;
        Ok(first
            .map_err(HandlerError::s3("ListObjectsV2", bucket, prefix))?
            .contents
            .is_some_and(|found| !found.is_empty()))
    }

    /// Every object whose key has this prefix.
    pub(crate) async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<Object>, HandlerError> {
        let mut objects = Vec::new();
        let list = self.client.list_objects_v2().bucket(bucket).prefix(prefix).encoding_type(EncodingType::Url);
        let mut pages = list.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(HandlerError::s3("ListObjectsV2", bucket, prefix))?;
            objects.extend(page.contents.unwrap_or_default().into_iter().map(|mut object| {
                object.key = object.key.map(decoded);
                object
            }));
        }
        Ok(objects)
    }

    /// Every key with this prefix.
    pub(crate) async fn keys(&self, bucket: &str, prefix: &str) -> Result<Vec<String>, HandlerError> {
        Ok(self.list(bucket, prefix).await?.into_iter().filter_map(|object| object.key).collect())
    }

    /// The next objects and folders directly under a prefix, at most 1000, in the order of their keys. Without `by_folder`, all are
    /// objects. `after`: where to begin, from [`Found::after`].
    pub(crate) async fn page(
        &self,
        bucket: &str,
        prefix: &str,
        by_folder: bool,
        after: Option<&str>,
    ) -> Result<Vec<Found>, HandlerError> {
        let list = self.client.list_objects_v2().bucket(bucket).prefix(prefix).encoding_type(EncodingType::Url);
        let list = list.set_delimiter(by_folder.then(|| "/".to_owned())).set_start_after(after.map(str::to_owned));
        let page = list.send().await.map_err(HandlerError::s3("ListObjectsV2", bucket, prefix))?;
        let folders = page.common_prefixes.unwrap_or_default().into_iter().filter_map(|folder| folder.prefix);
        let folders = folders.map(|folder| Found::Folder(decoded(folder)));
        let objects = page.contents.unwrap_or_default().into_iter().map(|mut object| {
            object.key = object.key.map(decoded);
            Found::Object(Box::new(object))
        });
        let mut found: Vec<Found> = folders.chain(objects).collect();
        found.sort_by_key(Found::after);
        Ok(found)
    }

    /// Stores an image that never changes.
    pub(crate) async fn put_immutable(
        &self,
        bucket: &str,
        key: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<(), HandlerError> {
        let put = self.client.put_object().bucket(bucket).key(key).content_type(media_type).cache_control(IMMUTABLE);
        let put = put.body(ByteStream::from(bytes)).send().await;
        put.map_err(HandlerError::s3("PutObject", bucket, key))?;
        Ok(())
    }

    /// Has S3 copy an object to `bucket` and `key`, where it never changes. `source` is its bucket and key.
    pub(crate) async fn copy_immutable(
        &self,
        source: (&str, &str),
        bucket: &str,
        key: &str,
        media_type: &str,
    ) -> Result<(), HandlerError> {
        self.client
            .copy_object()
            .copy_source(format!("{}/{}", source.0, source.1))
            .bucket(bucket)
            .key(key)
            .metadata_directive(MetadataDirective::Replace)
            .content_type(media_type)
            .cache_control(IMMUTABLE)
            .send()
            .await
            .map_err(HandlerError::s3("CopyObject", source.0, source.1))?;
        Ok(())
    }

    /// Has S3 copy the object with this ETag within its bucket. False if it was deleted or replaced.
    pub(crate) async fn copy_if_match(
        &self,
        bucket: &str,
        source: &str,
        etag: &str,
        key: &str,
    ) -> Result<bool, HandlerError> {
        let copy = self.client.copy_object().copy_source(format!("{bucket}/{source}")).copy_source_if_match(etag);
        match copy.bucket(bucket).key(key).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(HandlerError::s3("CopyObject", bucket, source)(error)),
        }
    }

    /// Deletes an object, if there is one.
    pub(crate) async fn delete(&self, bucket: &str, key: &str) -> Result<(), HandlerError> {
        let deleted = self.client.delete_object().bucket(bucket).key(key).send().await;
        deleted.map_err(HandlerError::s3("DeleteObject", bucket, key))?;
        Ok(())
    }

    /// Deletes the object with this ETag, and keeps another one that has replaced it.
    pub(crate) async fn delete_if_match(&self, bucket: &str, key: &str, etag: &str) -> Result<(), HandlerError> {
        match self.client.delete_object().bucket(bucket).key(key).if_match(etag).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(HandlerError::s3("DeleteObject", bucket, key)(error)),
        }
    }

    pub(crate) async fn delete_all(&self, bucket: &str, keys: &[String]) -> Result<(), HandlerError> {
        for keys in keys.chunks(DELETED_AT_ONCE) {
            let identifiers: Result<Vec<_>, _> =
                keys.iter().map(|key| ObjectIdentifier::builder().key(key).build()).collect();
            let identifiers = identifiers.map_err(HandlerError::aws("s3:DeleteObjects"))?;
            let delete = Delete::builder().set_objects(Some(identifiers)).quiet(true).build();
            let delete = delete.map_err(HandlerError::aws("s3:DeleteObjects"))?;
            let deleted = self.client.delete_objects().bucket(bucket).delete(delete).send().await;
            let deleted = deleted.map_err(HandlerError::aws("s3:DeleteObjects"))?;
            if let Some(error) = deleted.errors().first() {
                return Err(HandlerError::Undeleted {
                    bucket: bucket.to_owned(),
                    key: error.key().unwrap_or_default().to_owned(),
                    message: error.message().unwrap_or_default().to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Signs a `PutObject` for a client, with the metadata that the client has to send.
    pub(crate) async fn presign_put(
        &self,
        bucket: &str,
        key: &str,
        metadata: HashMap<String, String>,
        body: &UploadBody,
        valid_for: Duration,
    ) -> Result<PresignedRequest, HandlerError> {
        let expiry = PresigningConfig::expires_in(valid_for).map_err(HandlerError::aws("presigning"))?;
        let put = self.client.put_object().bucket(bucket).key(key).set_metadata(Some(metadata));
        let put = put.set_content_length(body.length).set_content_type(body.media_type.clone());
        put.presigned(expiry).await.map_err(HandlerError::aws("presigning"))
    }
}

/// Whether S3 answers that the object does not exist, or has another ETag.
fn is_gone<E>(error: &SdkError<E>) -> bool {
    matches!(error.raw_response().map(|response| response.status().as_u16()), Some(404 | 412))
}

/// Collects a body, whose memory is reserved once, by the announced length.
async fn receive(object: GetObjectOutput, bucket: &str, key: &str) -> Result<Contents, HandlerError> {
    let length = object.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(length);
    let contents = receive_each(object, bucket, key, |piece| bytes.extend_from_slice(piece)).await?;
    Ok(Contents { bytes, ..contents })
}

/// Hands on each piece of a body.
async fn receive_each(
    object: GetObjectOutput,
    bucket: &str,
    key: &str,
    mut take: impl FnMut(&[u8]),
) -> Result<Contents, HandlerError> {
    let GetObjectOutput { mut body, content_type, metadata, .. } = object;
    while let Some(piece) = body.next().await {
        take(&piece.map_err(HandlerError::s3("GetObject", bucket, key))?);
    }
    Ok(Contents { bytes: Vec::new(), media_type: content_type, metadata: metadata.unwrap_or_default() })
}
