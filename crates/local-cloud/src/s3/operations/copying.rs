//! CopyObject and UploadPartCopy.

use std::ops::Range;
use std::sync::Arc;

use futures::StreamExt;
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, CopySource, MetadataDirective,
    TaggingDirective, UploadPartCopyInput, UploadPartCopyOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::timestamp;
use super::uploads::check_number;
use crate::s3::checksums::{Algorithm, Checksum, set_checksums};
use crate::s3::conditions::{Read, etag};
use crate::s3::contents::Contents;
use crate::s3::customer_key::{CustomerKey, check_upload_key, set_customer_key};
use crate::s3::encryption::{requested, set_encryption};
use crate::s3::headers;
use crate::s3::members::{check_owner, check_payer, check_version, refuse_acl, refuse_lock};
use crate::s3::object::{Attributes, Blob, Object};
use crate::s3::store::ObjectStore;
use crate::s3::store_error::StoreError;
use crate::s3::tags;

/// The most bytes of one copy.
const MOST: u64 = 5 << 30;

/// Bucket and key of a source.
fn source(source: &CopySource) -> S3Result<(&str, &str)> {
    match source {
        CopySource::Bucket { bucket, key, version_id } => {
            check_version(version_id.as_deref())?;
            Ok((bucket, key))
        }
        _ => Err(s3_error!(
            NotImplemented,
            "x-amz-copy-source of an access point is not implemented by the local cloud: bucket/key would work"
        )),
    }
}

/// Whether a directive says `REPLACE`.
fn replaces(name: &str, directive: Option<&str>) -> S3Result<bool> {
    match directive {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(s3_error!(InvalidArgument, "Unknown {name}: {other}. COPY and REPLACE would work")),
    }
}

/// Writes copied bytes to a new file, encrypted if there is a key.
async fn receive_copy(
    store: &ObjectStore,
    contents: Contents,
    key: Option<&CustomerKey>,
    algorithm: Algorithm,
) -> S3Result<(Blob, Checksum)> {
    let mut hasher = algorithm.hasher();
    let body = std::pin::pin!(contents.stream().map(|chunk| chunk.map_err(StoreError::from)));
    let (blob, _) = store.receive_sealed(body, key, |chunk| hasher.update(chunk)).await?;
    Ok((blob, Checksum::of(algorithm, hasher)))
}

/// The checksum of an object's bytes.
async fn checksum(store: &ObjectStore, source: (&str, &str), algorithm: Algorithm) -> S3Result<(Object, Checksum)> {
    let (object, contents) = store.open_range(source.0, source.1, |object| Ok::<_, StoreError>(0..object.size)).await?;
    let mut hasher = algorithm.hasher();
    let mut stream = std::pin::pin!(contents.stream());
    while let Some(chunk) = stream.next().await {
        hasher.update(&chunk.map_err(StoreError::from)?);
    }
    Ok((object, Checksum::of(algorithm, hasher)))
}

pub(super) async fn copy_object(
    store: &Arc<ObjectStore>,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let CopyObjectInput {
        acl,
        bucket,
        bucket_key_enabled,
        cache_control,
        checksum_algorithm,
        content_disposition,
        content_encoding,
        content_language,
        content_type,
        copy_source,
        copy_source_if_match,
        copy_source_if_modified_since,
        copy_source_if_none_match,
        copy_source_if_unmodified_since,
        copy_source_sse_customer_algorithm,
        copy_source_sse_customer_key,
        copy_source_sse_customer_key_md5,
        expected_bucket_owner,
        expected_source_bucket_owner,
        expires,
        grant_full_control,
        grant_read,
        grant_read_acp,
        grant_write_acp,
        key,
        metadata,
        metadata_directive,
        object_lock_legal_hold_status,
        object_lock_mode,
        object_lock_retain_until_date,
        request_payer,
        sse_customer_algorithm,
        sse_customer_key,
        sse_customer_key_md5,
        ssekms_encryption_context,
        ssekms_key_id,
        server_side_encryption,
        storage_class,
        tagging,
        tagging_directive,
        website_redirect_location,
    } = request.input;
    refuse_acl!(acl, grant_full_control, grant_read, grant_read_acp, grant_write_acp)?;
    refuse_lock!(object_lock_legal_hold_status, object_lock_mode, object_lock_retain_until_date)?;
    let customer_key = CustomerKey::of(sse_customer_algorithm, sse_customer_key, sse_customer_key_md5)?;
    let source_key = CustomerKey::of(
        copy_source_sse_customer_algorithm,
        copy_source_sse_customer_key,
        copy_source_sse_customer_key_md5,
    )?;
    check_owner(expected_bucket_owner.as_deref())?;
    check_owner(expected_source_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    let source = source(&copy_source)?;
    let replaces_metadata = replaces("metadata directive", metadata_directive.as_ref().map(MetadataDirective::as_str))?;
    let replaces_tags = replaces("tagging directive", tagging_directive.as_ref().map(TaggingDirective::as_str))?;
    let tags = tags::parse(tagging.as_deref())?;
    let storage_class = headers::storage_class(storage_class)?;
    let metadata = headers::metadata(metadata)?;
    let asked = requested(server_side_encryption, ssekms_key_id, ssekms_encryption_context, bucket_key_enabled)?;
    let changes = replaces_metadata
        || storage_class.is_some()
        || website_redirect_location.is_some()
        || asked.is_some()
        || customer_key.is_some()
        || source_key.is_some()
        || checksum_algorithm.is_some();
    if source == (bucket.as_str(), key.as_str()) && !changes {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."
        ));
    }
    let encryption = store.encryption(&bucket, asked, customer_key.as_ref())?;
    let algorithm = checksum_algorithm.map(|name| Algorithm::parse(name.as_str())).transpose()?;
    let conditions = source_conditions(
        (copy_source_if_match, copy_source_if_none_match),
        (copy_source_if_modified_since, copy_source_if_unmodified_since),
    );
    // `s3s` has no members for these two.
    let own = crate::s3::conditions::Write::of(&request.headers)?;
    let replacing = replaces_metadata.then(|| Attributes {
        content_type,
        cache_control,
        content_disposition,
        content_encoding: headers::content_encoding(content_encoding),
        content_language,
        expires: headers::expires(&request.headers, &request.extensions, expires.as_ref()),
        metadata,
        ..Attributes::default()
    });
    let check_source = |original: &Object| {
        conditions.check_source(original)?;
        if original.size > MOST {
            return Err(StoreError::from(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy source: {MOST}"
            )));
        }
        Ok(())
    };
    let copied = |before: Attributes| Attributes {
        tags: if replaces_tags { tags } else { before.tags.clone() },
        storage_class,
        website_redirect_location,
        encryption,
        checksum: before.checksum.clone(),
        // A copy with the ETag of its source has its parts, too.
        parts: before.parts.clone(),
        upload: None,
        seal: None,
        ..replacing.unwrap_or(before)
    };
    let object = if customer_key.is_some() || source_key.is_some() {
        let chosen = |original: &Object| check_source(original).map(|()| 0..original.size);
        let (original, contents) = store.open_sealed(source.0, source.1, source_key.as_ref(), chosen).await?;
        let like = original.attributes.checksum.as_ref().map(|checksum| checksum.algorithm);
        let algorithm = algorithm.or(like).unwrap_or(Algorithm::Crc64nvme);
        let (blob, checksum) = receive_copy(store, contents, customer_key.as_ref(), algorithm).await?;
        let attributes = Attributes { checksum: Some(checksum), parts: Vec::new(), ..copied(original.attributes) };
        store.commit(&bucket, &key, blob, attributes, "CopyObject", |_, now| own.check(&key, now))?
    } else {
        let computed = match algorithm {
            Some(algorithm) => Some(checksum(store, source, algorithm).await?),
            None => None,
        };
        store.copy(source, &bucket, &key, |original, now| {
            check_source(original)?;
            own.check(&key, now)?;
            let mut attributes = copied(original.attributes.clone());
            if let Some((read, checksum)) = computed {
                if read.blob != original.blob {
                    return Err(s3_error!(OperationAborted, "the source was replaced meanwhile: try again").into());
                }
                attributes.checksum = Some(checksum);
            }
            Ok(attributes)
        })?
    };
    let mut result = CopyObjectResult {
        e_tag: Some(etag(&object)),
        last_modified: Some(timestamp(object.modified)),
        ..Default::default()
    };
    result.checksum_type = set_checksums!(result, object.attributes.checksum.as_ref());
    let mut output = CopyObjectOutput { copy_object_result: Some(result), ..Default::default() };
    set_encryption!(output, &object.attributes.encryption);
    set_customer_key!(output, &customer_key);
    output.ssekms_encryption_context = object.attributes.encryption.and_then(|encryption| encryption.context);
    Ok(S3Response::new(output))
}

type Condition = Option<s3s::dto::ETagCondition>;
type Date = Option<s3s::dto::Timestamp>;

fn source_conditions((if_match, if_none_match): (Condition, Condition), (since, until): (Date, Date)) -> Read {
    Read { if_match, if_none_match, if_modified_since: since, if_unmodified_since: until }
}

/// Reads `bytes=FIRST-LAST` of a source of `size` bytes.
fn part_range(range: Option<&str>, size: u64) -> S3Result<Range<u64>> {
    let Some(text) = range else { return Ok(0..size) };
    let bounds = text.strip_prefix("bytes=").and_then(|bounds| bounds.split_once('-'));
    let number = |digits: &str| -> Option<u64> {
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let bounds = bounds.and_then(|(first, last)| Some((number(first)?, number(last)?)));
    let (first, last) = bounds.filter(|(first, last)| first <= last && *last < u64::MAX).ok_or_else(|| {
        s3_error!(InvalidArgument, "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy, and is {text}")
    })?;
    if last < size {
        return Ok(first..last + 1);
    }
    Err(s3_error!(InvalidRange, "Range specified is not valid for source object of size: {size}"))
}

pub(super) async fn upload_part_copy(
    store: &Arc<ObjectStore>,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let UploadPartCopyInput {
        bucket,
        copy_source,
        copy_source_if_match,
        copy_source_if_modified_since,
        copy_source_if_none_match,
        copy_source_if_unmodified_since,
        copy_source_range,
        copy_source_sse_customer_algorithm,
        copy_source_sse_customer_key,
        copy_source_sse_customer_key_md5,
        expected_bucket_owner,
        expected_source_bucket_owner,
        key,
        part_number,
        request_payer,
        sse_customer_algorithm,
        sse_customer_key,
        sse_customer_key_md5,
        upload_id,
    } = request.input;
    let customer_key = CustomerKey::of(sse_customer_algorithm, sse_customer_key, sse_customer_key_md5)?;
    let source_key = CustomerKey::of(
        copy_source_sse_customer_algorithm,
        copy_source_sse_customer_key,
        copy_source_sse_customer_key_md5,
    )?;
    check_owner(expected_bucket_owner.as_deref())?;
    check_owner(expected_source_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    check_number(part_number)?;
    let source = source(&copy_source)?;
    let conditions = source_conditions(
        (copy_source_if_match, copy_source_if_none_match),
        (copy_source_if_modified_since, copy_source_if_unmodified_since),
    );
    let upload = store.upload((&bucket, &key), &upload_id)?;
    check_upload_key(upload.attributes.seal.as_ref(), customer_key.as_ref())?;
    let chosen = |object: &Object| {
        conditions.check_source(object)?;
        let range = part_range(copy_source_range.as_deref(), object.size)?;
        if range.end - range.start > MOST {
            return Err(s3_error!(EntityTooLarge, "a part has at most {MOST} bytes"));
        }
        Ok::<_, S3Error>(range)
    };
    let (_, contents) = store.open_sealed(source.0, source.1, source_key.as_ref(), chosen).await?;
    let algorithm = upload.wanted.unwrap_or(Algorithm::Crc64nvme);
    let (blob, checksum) = receive_copy(store, contents, customer_key.as_ref(), algorithm).await?;
    let modified = store.add_part((&bucket, &key), &upload_id, part_number, &blob, Some(&checksum))?;
    let mut result = CopyPartResult {
        e_tag: Some(s3s::dto::ETag::Strong(blob.etag)),
        last_modified: Some(timestamp(modified)),
        ..Default::default()
    };
    let _kind = set_checksums!(result, upload.wanted.and(Some(&checksum)));
    let mut output = UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() };
    set_encryption!(output, &upload.attributes.encryption);
    set_customer_key!(output, &customer_key);
    Ok(S3Response::new(output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_parts_have_both_ends_and_lie_within_the_source() {
        assert_eq!(part_range(None, 5).unwrap(), 0..5);
        assert_eq!(part_range(Some("bytes=0-4"), 5).unwrap(), 0..5);
        assert_eq!(part_range(Some("bytes=2-2"), 5).unwrap(), 2..3);
        for bad in [
            "bytes=0-5",
            "bytes=3-1",
            "bytes=0-",
            "bytes=-2",
            "0-2",
            "bytes=+0-2",
            "bytes=0-2,3-4",
            "bytes=hello-world",
        ] {
            assert!(part_range(Some(bad), 5).is_err(), "{bad}");
        }
    }
}
