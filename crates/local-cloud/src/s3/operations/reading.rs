//! GetObject, HeadObject and GetObjectAttributes.

use std::ops;
use std::sync::Arc;

use http::StatusCode;
use http::header::{EXPIRES, HeaderMap, HeaderValue};
use s3s::dto::{
    ChecksumMode, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts, GetObjectInput,
    GetObjectOutput, HeadObjectInput, HeadObjectOutput, Metadata, ObjectAttributes, ObjectPart, Range, StorageClass,
    StreamingBlob, Timestamp,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::uploads::check_number;
use super::{length, timestamp};
use crate::s3::checksums::{Checksum, set_checksums};
use crate::s3::conditions::{Read, etag};
use crate::s3::customer_key::{CustomerKey, check_key, set_customer_key};
use crate::s3::encryption::set_encryption;
use crate::s3::headers::DEFAULT_CONTENT_TYPE;
use crate::s3::members::{check_owner, check_payer, check_version, custom};
use crate::s3::object::{Attributes, Object};
use crate::s3::store::ObjectStore;

/// The bytes of an object that a read asks for.
struct Chosen {
    bytes: ops::Range<u64>,
    /// `Content-Range`, unless the whole object is read.
    content_range: Option<String>,
    parts_count: Option<i32>,
    /// That of the part, or of the whole object.
    checksum: Option<Checksum>,
}

/// # Errors
/// The object has no such bytes or no such part.
fn choose(object: &Object, range: Option<Range>, part_number: Option<i32>) -> S3Result<Chosen> {
    let size = object.size;
    let shown = |bytes: &ops::Range<u64>| format!("bytes {}-{}/{size}", bytes.start, bytes.end.saturating_sub(1));
    match (range, part_number) {
        (Some(_), Some(_)) => {
            Err(s3_error!(InvalidRequest, "Cannot specify both Range header and partNumber query parameter"))
        }
        (None, None) => {
            let checksum = object.attributes.checksum.clone();
            Ok(Chosen { bytes: 0..size, content_range: None, parts_count: None, checksum })
        }
        (Some(range), None) => {
            let bytes =
                range.check(size).map_err(|_| s3_error!(InvalidRange, "The requested range is not satisfiable"))?;
            Ok(Chosen { content_range: Some(shown(&bytes)), bytes, parts_count: None, checksum: None })
        }
        (None, Some(number)) => {
            check_number(number)?;
            let parts = &object.attributes.parts;
            let (bytes, parts_count, checksum) = if parts.is_empty() && number == 1 {
                (0..size, None, object.attributes.checksum.clone())
            } else {
                let found = parts.iter().position(|part| part.number == number).ok_or_else(|| {
                    let status = StatusCode::RANGE_NOT_SATISFIABLE;
                    custom("InvalidPartNumber", status, "The requested partnumber is not satisfiable")
                })?;
                let start = parts[..found].iter().map(|part| part.size).sum::<u64>();
                let count = i32::try_from(parts.len()).ok();
                // The value is the part's, and the type that of the whole object.
                let composite = object.attributes.checksum.as_ref().is_some_and(|whole| whole.composite);
                let checksum = parts[found].checksum.clone().map(|part| Checksum { composite, ..part });
                (start..start + parts[found].size, count, checksum)
            };
            let content_range = (size > 0).then(|| shown(&bytes));
            Ok(Chosen { bytes, content_range, parts_count, checksum })
        }
    }
}

fn user_metadata(attributes: &Attributes) -> Option<Metadata> {
    (!attributes.metadata.is_empty()).then(|| attributes.metadata.clone().into_iter().collect())
}

/// The header `Expires` of an object, unless the request asks for another.
fn kept_expires(object: &Object, asked: Option<&Timestamp>) -> HeaderMap {
    let kept = object.attributes.expires.as_ref().filter(|_| asked.is_none());
    let value = kept.and_then(|text| HeaderValue::from_str(text).ok());
    value.into_iter().map(|value| (EXPIRES, value)).collect()
}

/// What a request wants to be answered in place of what the object says.
struct Overrides {
    cache_control: Option<String>,
    content_disposition: Option<String>,
    content_encoding: Option<String>,
    content_language: Option<String>,
    content_type: Option<String>,
}

/// What GetObject and HeadObject say of an object.
macro_rules! described {
    ($output:ident, $object:expr, $bytes:expr, $overrides:expr) => {{
        let (attributes, overrides) = ($object.attributes.clone(), $overrides);
        let default_content_type = || Some(DEFAULT_CONTENT_TYPE.to_owned());
        let mut output = $output {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(length($bytes.end - $bytes.start)),
            e_tag: Some(etag(&$object)),
            last_modified: Some(timestamp($object.modified)),
            metadata: user_metadata(&attributes),
            storage_class: class(&attributes),
            content_type: overrides.content_type.or(attributes.content_type).or_else(default_content_type),
            cache_control: overrides.cache_control.or(attributes.cache_control),
            content_disposition: overrides.content_disposition.or(attributes.content_disposition),
            content_encoding: overrides.content_encoding.or(attributes.content_encoding),
            content_language: overrides.content_language.or(attributes.content_language),
            website_redirect_location: attributes.website_redirect_location,
            ..Default::default()
        };
        set_encryption!(output, &attributes.encryption);
        output
    }};
}

fn wants_checksum(mode: Option<&ChecksumMode>) -> S3Result<bool> {
    match mode.map(ChecksumMode::as_str) {
        None => Ok(false),
        Some("ENABLED") => Ok(true),
        Some(other) => Err(s3_error!(InvalidArgument, "x-amz-checksum-mode is {other}: ENABLED would work")),
    }
}

fn class(attributes: &Attributes) -> Option<StorageClass> {
    attributes.storage_class.clone().map(StorageClass::from)
}

pub(super) async fn get_object(
    store: &Arc<ObjectStore>,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let GetObjectInput {
        bucket,
        checksum_mode,
        expected_bucket_owner,
        if_match,
        if_modified_since,
        if_none_match,
        if_unmodified_since,
        key,
        part_number,
        range,
        request_payer,
        response_cache_control,
        response_content_disposition,
        response_content_encoding,
        response_content_language,
        response_content_type,
        response_expires,
        sse_customer_algorithm,
        sse_customer_key,
        sse_customer_key_md5,
        version_id,
    } = request.input;
    let customer_key = CustomerKey::of(sse_customer_algorithm, sse_customer_key, sse_customer_key_md5)?;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    check_version(version_id.as_deref())?;
    let wants_checksum = wants_checksum(checksum_mode.as_ref())?;
    let overrides = Overrides {
        cache_control: response_cache_control,
        content_disposition: response_content_disposition,
        content_encoding: response_content_encoding,
        content_language: response_content_language,
        content_type: response_content_type,
    };
    let conditions = Read { if_match, if_none_match, if_modified_since, if_unmodified_since };
    let chosen = |object: &Object| {
        conditions.check(object)?;
        Ok::<_, S3Error>(choose(object, range, part_number)?.bytes)
    };
    let (object, contents) = store.open_sealed(&bucket, &key, customer_key.as_ref(), chosen).await?;
    let Chosen { bytes, content_range, parts_count, checksum } = choose(&object, range, part_number)?;
    let headers = kept_expires(&object, response_expires.as_ref());
    let mut output = described!(GetObjectOutput, object, bytes, overrides);
    output.body = Some(StreamingBlob::wrap(contents.stream()));
    (output.content_range, output.parts_count, output.expires) = (content_range, parts_count, response_expires);
    output.tag_count = i32::try_from(object.attributes.tags.len()).ok().filter(|count| *count > 0);
    set_customer_key!(output, &customer_key);
    if wants_checksum {
        output.checksum_type = set_checksums!(output, checksum.as_ref());
    }
    Ok(S3Response::with_headers(output, headers))
}

pub(super) async fn head_object(
    store: &Arc<ObjectStore>,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let HeadObjectInput {
        bucket,
        checksum_mode,
        expected_bucket_owner,
        if_match,
        if_modified_since,
        if_none_match,
        if_unmodified_since,
        key,
        part_number,
        range,
        request_payer,
        response_cache_control,
        response_content_disposition,
        response_content_encoding,
        response_content_language,
        response_content_type,
        response_expires,
        sse_customer_algorithm,
        sse_customer_key,
        sse_customer_key_md5,
        version_id,
    } = request.input;
    let customer_key = CustomerKey::of(sse_customer_algorithm, sse_customer_key, sse_customer_key_md5)?;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    check_version(version_id.as_deref())?;
    let wants_checksum = wants_checksum(checksum_mode.as_ref())?;
    let overrides = Overrides {
        cache_control: response_cache_control,
        content_disposition: response_content_disposition,
        content_encoding: response_content_encoding,
        content_language: response_content_language,
        content_type: response_content_type,
    };
    let object = store.head(&bucket, &key)?;
    check_key(object.attributes.seal.as_ref(), customer_key.as_ref())?;
    Read { if_match, if_none_match, if_modified_since, if_unmodified_since }.check(&object)?;
    let Chosen { bytes, content_range, parts_count, checksum } = choose(&object, range, part_number)?;
    let mut headers = kept_expires(&object, response_expires.as_ref());
    // `s3s` has no member for it.
    if !object.attributes.tags.is_empty() {
        headers.insert("x-amz-tagging-count", HeaderValue::from(object.attributes.tags.len()));
    }
    let mut output = described!(HeadObjectOutput, object, bytes, overrides);
    (output.content_range, output.parts_count, output.expires) = (content_range, parts_count, response_expires);
    set_customer_key!(output, &customer_key);
    if wants_checksum {
        output.checksum_type = set_checksums!(output, checksum.as_ref());
    }
    Ok(S3Response::with_headers(output, headers))
}

pub(super) async fn get_object_attributes(
    store: &Arc<ObjectStore>,
    request: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let GetObjectAttributesInput {
        bucket,
        expected_bucket_owner,
        key,
        max_parts,
        object_attributes,
        part_number_marker,
        request_payer,
        sse_customer_algorithm,
        sse_customer_key,
        sse_customer_key_md5,
        version_id,
    } = request.input;
    let customer_key = CustomerKey::of(sse_customer_algorithm, sse_customer_key, sse_customer_key_md5)?;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    check_version(version_id.as_deref())?;
    let known = [
        ObjectAttributes::CHECKSUM,
        ObjectAttributes::ETAG,
        ObjectAttributes::OBJECT_PARTS,
        ObjectAttributes::OBJECT_SIZE,
        ObjectAttributes::STORAGE_CLASS,
    ];
    let asked: Vec<&str> =
        object_attributes.iter().flat_map(|names| names.as_str().split(',')).map(str::trim).collect();
    if asked.is_empty() || asked.iter().any(|name| !known.contains(name)) {
        return Err(s3_error!(InvalidArgument, "Invalid attribute name specified: {} would work", known.join(", ")));
    }
    let asks = |name: &str| asked.contains(&name);
    let object = store.head(&bucket, &key)?;
    check_key(object.attributes.seal.as_ref(), customer_key.as_ref())?;
    let attributes = &object.attributes;
    let parts = (!attributes.parts.is_empty()).then(|| parts_shown(attributes, max_parts, part_number_marker));
    Ok(S3Response::new(GetObjectAttributesOutput {
        last_modified: Some(timestamp(object.modified)),
        checksum: attributes
            .checksum
            .as_ref()
            .filter(|_| asks(ObjectAttributes::CHECKSUM))
            .map(|own| Checksum::shown(Some(own))),
        e_tag: asks(ObjectAttributes::ETAG).then(|| etag(&object)),
        object_parts: parts.transpose()?.filter(|_| asks(ObjectAttributes::OBJECT_PARTS)),
        object_size: asks(ObjectAttributes::OBJECT_SIZE).then(|| length(object.size)),
        storage_class: asks(ObjectAttributes::STORAGE_CLASS)
            .then(|| class(attributes).unwrap_or(StorageClass::from_static(StorageClass::STANDARD))),
        ..Default::default()
    }))
}

/// A page of an object's parts. S3 lists them only if the object has a checksum.
fn parts_shown(attributes: &Attributes, max: Option<i32>, marker: Option<i32>) -> S3Result<GetObjectAttributesParts> {
    let max = max.unwrap_or(1000);
    let most = usize::try_from(max).map_err(|_| s3_error!(InvalidArgument, "x-amz-max-parts is negative"))?.min(1000);
    let marker = marker.unwrap_or(0);
    let mut left = attributes.parts.iter().filter(|part| part.number > marker && attributes.checksum.is_some());
    let shown = |part: &crate::s3::object::ObjectPart| {
        let mut shown =
            ObjectPart { part_number: Some(part.number), size: Some(length(part.size)), ..Default::default() };
        let _kind = set_checksums!(shown, part.checksum.as_ref());
        shown
    };
    let page: Vec<ObjectPart> = left.by_ref().take(most).map(shown).collect();
    let is_truncated = left.next().is_some();
    Ok(GetObjectAttributesParts {
        is_truncated: Some(is_truncated),
        max_parts: Some(max.min(1000)),
        next_part_number_marker: page.last().and_then(|part| part.part_number).filter(|_| is_truncated).or(Some(0)),
        part_number_marker: Some(marker),
        total_parts_count: i32::try_from(attributes.parts.len()).ok(),
        parts: Some(page),
    })
}
