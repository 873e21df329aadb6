//! The operations of S3, on the object store.

use std::io;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, ETAG, HeaderValue};
use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::checksums::{check_md5, checksums};
use super::listing::{ListQuery, Listing};
use super::object::{Attributes, Object as Stored};
use super::store::ObjectStore;
use super::store_error::StoreError;
use crate::REGION;

pub(super) struct Operations(pub(super) Arc<ObjectStore>);

fn timestamp(millis: i64) -> Timestamp {
    let since = std::time::Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    Timestamp::from(std::time::SystemTime::UNIX_EPOCH + since)
}

fn etag(object: &Stored) -> ETag {
    ETag::Strong(object.etag.clone())
}

fn holds(condition: &ETagCondition, object: &Stored) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(expected) => etag(object).weak_cmp(expected),
    }
}

/// `If-Match` and `If-None-Match` of a read.
fn check_read(if_match: Option<&ETagCondition>, if_none_match: Option<&ETagCondition>, object: &Stored) -> S3Result {
    if if_match.is_some_and(|condition| !holds(condition, object)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if if_none_match.is_some_and(|condition| holds(condition, object)) {
        // A cache needs these to renew its entry.
        let mut headers = http::HeaderMap::new();
        let cache_control = object.attributes.cache_control.clone();
        for (name, value) in [(ETAG, Some(format!("\"{}\"", object.etag))), (CACHE_CONTROL, cache_control)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
        let mut error = S3Error::new(S3ErrorCode::NotModified);
        error.set_headers(headers);
        return Err(error);
    }
    Ok(())
}

/// The bounds of a range, and its `Content-Range`.
fn ranged(range: Option<Range>, size: u64) -> S3Result<(std::ops::Range<u64>, Option<String>)> {
    match range {
        None => Ok((0..size, None)),
        Some(range) => {
            let bytes = range.check(size)?;
            let text = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
            Ok((bytes, Some(text)))
        }
    }
}

fn length(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn user_metadata(attributes: &Attributes) -> Option<Metadata> {
    (!attributes.metadata.is_empty()).then(|| attributes.metadata.clone().into_iter().collect())
}

fn listed(listing: Listing) -> (ObjectList, CommonPrefixList, Option<String>) {
    let object = |stored: Stored| Object {
        e_tag: Some(etag(&stored)),
        last_modified: Some(timestamp(stored.modified)),
        size: Some(length(stored.size)),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        key: Some(stored.key),
        ..Default::default()
    };
    let prefix = |prefix| CommonPrefix { prefix: Some(prefix) };
    let objects = listing.objects.into_iter().map(object).collect();
    (objects, listing.common_prefixes.into_iter().map(prefix).collect(), listing.next)
}

fn page_size(max_keys: Option<i32>) -> S3Result<usize> {
    match usize::try_from(max_keys.unwrap_or(1000)) {
        Ok(keys) => Ok(keys.min(1000)),
        Err(_) => Err(s3_error!(InvalidArgument, "max-keys is negative")),
    }
}

#[async_trait::async_trait]
impl s3s::S3 for Operations {
    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let bucket = request.input.bucket;
        self.0.create_bucket(&bucket)?;
        Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{bucket}")) }))
    }

    async fn delete_bucket(&self, request: S3Request<DeleteBucketInput>) -> S3Result<S3Response<DeleteBucketOutput>> {
        self.0.delete_bucket(&request.input.bucket)?;
        Ok(S3Response::new(DeleteBucketOutput {}))
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.0.check_bucket(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput { bucket_region: Some(REGION.to_owned()), ..Default::default() }))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.0.check_bucket(&request.input.bucket)?;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn list_buckets(&self, _request: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let bucket = |(name, created)| Bucket {
            name: Some(name),
            creation_date: Some(timestamp(created)),
            ..Default::default()
        };
        let buckets = self.0.buckets()?.into_iter().map(bucket).collect();
        Ok(S3Response::new(ListBucketsOutput { buckets: Some(buckets), ..Default::default() }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        self.0.check_bucket(&input.bucket)?;
        let body = input.body.ok_or_else(|| s3_error!(IncompleteBody, "there is no body"))?;
        let mut checksums = checksums!(input);
        let blob = self.0.receive(body, |chunk| checksums.hasher.update(chunk)).await?;
        let verified =
            checksums.verify().and_then(|found| check_md5(input.content_md5.as_deref(), &blob.etag).map(|()| found));
        let found = verified.inspect_err(|_| self.0.remove_blob(&blob.name))?;
        let attributes = Attributes {
            content_type: input.content_type,
            cache_control: input.cache_control,
            content_disposition: input.content_disposition,
            content_encoding: input.content_encoding,
            content_language: input.content_language,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
        };
        let object = self.0.commit(&input.bucket, &input.key, blob, attributes, "PutObject", |_, now| {
            let may_replace =
                input.if_match.as_ref().is_none_or(|condition| now.is_some_and(|now| holds(condition, now)));
            let may_create =
                input.if_none_match.as_ref().is_none_or(|condition| !now.is_some_and(|now| holds(condition, now)));
            if may_replace && may_create { Ok(()) } else { Err(StoreError::PreconditionFailed) }
        })?;
        tracing::info!(
            target: "hop", service = "S3", action = "PutObject",
            detail = %format_args!("{}/{}, {} bytes", input.bucket, input.key, object.size)
        );
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(etag(&object)),
            checksum_crc32: found.checksum_crc32,
            checksum_crc32c: found.checksum_crc32c,
            checksum_sha1: found.checksum_sha1,
            checksum_sha256: found.checksum_sha256,
            checksum_crc64nvme: found.checksum_crc64nvme,
            ..Default::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let range = |object: &Stored| {
            check_read(input.if_match.as_ref(), input.if_none_match.as_ref(), object)?;
            Ok::<_, S3Error>(ranged(input.range, object.size)?.0)
        };
        let (object, contents) = self.0.open_range(&input.bucket, &input.key, range).await?;
        let (bytes, content_range) = ranged(input.range, object.size)?;
        let content_length = bytes.end - bytes.start;
        let attributes = object.attributes.clone();
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(contents.stream())),
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(length(content_length)),
            content_range,
            e_tag: Some(etag(&object)),
            last_modified: Some(timestamp(object.modified)),
            metadata: user_metadata(&attributes),
            content_type: input.response_content_type.or(attributes.content_type),
            cache_control: input.response_cache_control.or(attributes.cache_control),
            content_disposition: input.response_content_disposition.or(attributes.content_disposition),
            content_encoding: attributes.content_encoding,
            content_language: attributes.content_language,
            ..Default::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let object = self.0.head(&input.bucket, &input.key)?;
        check_read(input.if_match.as_ref(), input.if_none_match.as_ref(), &object)?;
        let (bytes, content_range) = ranged(input.range, object.size)?;
        let attributes = object.attributes.clone();
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(length(bytes.end - bytes.start)),
            content_range,
            e_tag: Some(etag(&object)),
            last_modified: Some(timestamp(object.modified)),
            metadata: user_metadata(&attributes),
            content_type: attributes.content_type,
            cache_control: attributes.cache_control,
            content_disposition: attributes.content_disposition,
            content_encoding: attributes.content_encoding,
            content_language: attributes.content_language,
            ..Default::default()
        }))
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = request.input;
        let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
            return Err(s3_error!(NotImplemented, "only buckets can be copied from"));
        };
        let replaces = input.metadata_directive.as_ref().is_some_and(|way| way.as_str() == MetadataDirective::REPLACE);
        let attributes = replaces.then(|| Attributes {
            content_type: input.content_type.clone(),
            cache_control: input.cache_control.clone(),
            content_disposition: input.content_disposition.clone(),
            content_encoding: input.content_encoding.clone(),
            content_language: input.content_language.clone(),
            metadata: input.metadata.clone().unwrap_or_default().into_iter().collect(),
        });
        let object = self.0.copy((bucket, key), &input.bucket, &input.key, attributes, |original| {
            let matches = input.copy_source_if_match.as_ref().is_none_or(|condition| holds(condition, original));
            let differs = input.copy_source_if_none_match.as_ref().is_none_or(|condition| !holds(condition, original));
            if matches && differs { Ok(()) } else { Err(StoreError::PreconditionFailed) }
        })?;
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: Some(etag(&object)),
                last_modified: Some(timestamp(object.modified)),
                ..Default::default()
            }),
            ..Default::default()
        }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        self.0.delete(&input.bucket, &input.key, |object| {
            let matches =
                input.if_match.as_ref().is_none_or(|condition| object.is_some_and(|now| holds(condition, now)));
            if matches { Ok(()) } else { Err(StoreError::PreconditionFailed) }
        })?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        let mut deleted = Vec::with_capacity(input.delete.objects.len());
        for object in input.delete.objects {
            self.0.delete(&input.bucket, &object.key, |_| Ok(()))?;
            deleted.push(DeletedObject { key: Some(object.key), ..Default::default() });
        }
        let deleted = (!input.delete.quiet.unwrap_or(false)).then_some(deleted);
        Ok(S3Response::new(DeleteObjectsOutput { deleted, ..Default::default() }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let max_keys = page_size(input.max_keys)?;
        let after = input.continuation_token.as_deref().or(input.start_after.as_deref()).unwrap_or_default();
        let query = ListQuery {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref(),
            after,
            max_keys,
        };
        let (contents, common_prefixes, next) = listed(self.0.list(&input.bucket, &query)?);
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(contents.len() + common_prefixes.len()).ok(),
            max_keys: i32::try_from(max_keys).ok(),
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            ..Default::default()
        }))
    }

    async fn list_objects(&self, request: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = request.input;
        let max_keys = page_size(input.max_keys)?;
        let query = ListQuery {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref(),
            after: input.marker.as_deref().unwrap_or_default(),
            max_keys,
        };
        let (contents, common_prefixes, next) = listed(self.0.list(&input.bucket, &query)?);
        Ok(S3Response::new(ListObjectsOutput {
            max_keys: i32::try_from(max_keys).ok(),
            is_truncated: Some(next.is_some()),
            next_marker: next,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            name: Some(input.bucket),
            prefix: input.prefix,
            marker: input.marker,
            delimiter: input.delimiter,
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let attributes = Attributes {
            content_type: input.content_type,
            cache_control: input.cache_control,
            content_disposition: input.content_disposition,
            content_encoding: input.content_encoding,
            content_language: input.content_language,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
        };
        let id = self.0.begin_upload(&input.bucket, &input.key, &attributes)?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let body = input.body.ok_or_else(|| s3_error!(IncompleteBody, "there is no body"))?;
        let mut checksums = checksums!(input);
        let blob = self.0.receive(body, |chunk| checksums.hasher.update(chunk)).await?;
        let found = checksums.verify().inspect_err(|_| self.0.remove_blob(&blob.name))?;
        self.0.add_part((&input.bucket, &input.key), &input.upload_id, input.part_number, &blob)?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(blob.etag)),
            checksum_crc32: found.checksum_crc32,
            checksum_crc32c: found.checksum_crc32c,
            checksum_crc64nvme: found.checksum_crc64nvme,
            ..Default::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let part = |part: CompletedPart| Some((part.part_number?, part.e_tag?.into_value()));
        let parts: Option<Vec<_>> =
            input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default().into_iter().map(part).collect();
        let parts = parts.ok_or_else(|| s3_error!(MalformedXML, "every part has a number and an ETag"))?;
        let store = Arc::clone(&self.0);
        let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id);
        let object = tokio::task::spawn_blocking(move || store.complete_upload((&bucket, &key), &id, &parts))
            .await
            .map_err(|error| StoreError::Io(io::Error::other(error)))??;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(etag(&object)),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        self.0.abort_upload((&input.bucket, &input.key), &input.upload_id)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}
