//! ListObjects, ListObjectsV2 and ListObjectVersions.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    ChecksumType, CommonPrefix, ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass, ObjectVersion, ObjectVersionStorageClass,
    OptionalObjectAttributes,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::{length, owner, timestamp};
use crate::s3::checksums::Checksum;
use crate::s3::conditions::etag;
use crate::s3::listing::{ListQuery, Listing};
use crate::s3::members::{check_owner, check_payer};
use crate::s3::object::Object as Stored;
use crate::s3::store::ObjectStore;
use crate::s3::url_encoding::Encoding;

/// The most keys of a page.
fn page_size(max_keys: Option<i32>) -> S3Result<usize> {
    match usize::try_from(max_keys.unwrap_or(1000)) {
        Ok(keys) => Ok(keys.min(1000)),
        Err(_) => Err(s3_error!(InvalidArgument, "Argument maxKeys must be an integer between 0 and 2147483647")),
    }
}

/// The one optional attribute is `RestoreStatus`, and no object is restored.
fn check_optional(attributes: Option<&[OptionalObjectAttributes]>) -> S3Result {
    match attributes.unwrap_or_default().iter().find(|name| name.as_str() != "RestoreStatus") {
        None => Ok(()),
        Some(other) => Err(s3_error!(
            InvalidArgument,
            "x-amz-optional-object-attributes is {}: RestoreStatus would work",
            other.as_str()
        )),
    }
}

fn kind(checksum: Option<&Checksum>) -> Option<ChecksumType> {
    Checksum::shown(checksum).checksum_type
}

/// Keys and common prefixes as an answer shows them.
fn shown(listing: Listing, encoding: Encoding, with_owner: bool) -> (Vec<Object>, Vec<CommonPrefix>) {
    let object = |stored: Stored| Object {
        e_tag: Some(etag(&stored)),
        last_modified: Some(timestamp(stored.modified)),
        size: Some(length(stored.size)),
        storage_class: Some(match &stored.attributes.storage_class {
            Some(class) => class.clone().into(),
            None => ObjectStorageClass::from_static(ObjectStorageClass::STANDARD),
        }),
        checksum_type: kind(stored.attributes.checksum.as_ref()),
        checksum_algorithm: stored.attributes.checksum.as_ref().map(|checksum| vec![checksum.algorithm_shown()]),
        key: Some(encoding.text(stored.key)),
        owner: with_owner.then(owner),
        ..Default::default()
    };
    let objects = listing.objects.into_iter().map(object).collect();
    (objects, prefixes(listing.common_prefixes, encoding))
}

fn prefixes(prefixes: Vec<String>, encoding: Encoding) -> Vec<CommonPrefix> {
    prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(encoding.text(prefix)) }).collect()
}

/// A delimiter, unless it is empty.
fn delimiter(delimiter: Option<String>) -> Option<String> {
    delimiter.filter(|text| !text.is_empty())
}

pub(super) async fn list_objects(
    store: &Arc<ObjectStore>,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let ListObjectsInput {
        bucket,
        delimiter: asked_delimiter,
        encoding_type,
        expected_bucket_owner,
        marker,
        max_keys,
        optional_object_attributes,
        prefix,
        request_payer,
    } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    check_optional(optional_object_attributes.as_deref())?;
    let encoding = Encoding::of(encoding_type.as_ref())?;
    let (delimiter, max_keys) = (delimiter(asked_delimiter), page_size(max_keys)?);
    let (prefix, marker) = (prefix.unwrap_or_default(), marker.unwrap_or_default());
    let query = ListQuery { prefix: &prefix, delimiter: delimiter.as_deref(), after: &marker, max_keys };
    let mut listing = store.list(&bucket, &query)?;
    let next = listing.next.take();
    let is_truncated = next.is_some();
    let (contents, common_prefixes) = shown(listing, encoding, true);
    Ok(S3Response::new(ListObjectsOutput {
        max_keys: i32::try_from(max_keys).ok(),
        is_truncated: Some(is_truncated),
        // Without a delimiter, the last key is the next marker.
        next_marker: next.filter(|_| delimiter.is_some()).map(|next| encoding.text(next)),
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        name: Some(bucket),
        prefix: Some(encoding.text(prefix)),
        marker: Some(encoding.text(marker)),
        delimiter: delimiter.map(|delimiter| encoding.text(delimiter)),
        encoding_type: encoding.shown(),
        ..Default::default()
    }))
}

pub(super) async fn list_objects_v2(
    store: &Arc<ObjectStore>,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let ListObjectsV2Input {
        bucket,
        continuation_token,
        delimiter: asked_delimiter,
        encoding_type,
        expected_bucket_owner,
        fetch_owner,
        max_keys,
        optional_object_attributes,
        prefix,
        request_payer,
        start_after,
    } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    check_optional(optional_object_attributes.as_deref())?;
    let encoding = Encoding::of(encoding_type.as_ref())?;
    let (delimiter, max_keys) = (delimiter(asked_delimiter), page_size(max_keys)?);
    let prefix = prefix.unwrap_or_default();
    let after = match &continuation_token {
        Some(token) if !token.is_empty() => token_key(token)?,
        _ => start_after.clone().unwrap_or_default(),
    };
    let query = ListQuery { prefix: &prefix, delimiter: delimiter.as_deref(), after: &after, max_keys };
    let mut listing = store.list(&bucket, &query)?;
    let next = listing.next.take();
    let (contents, common_prefixes) = shown(listing, encoding, fetch_owner.unwrap_or(false));
    Ok(S3Response::new(ListObjectsV2Output {
        key_count: i32::try_from(contents.len() + common_prefixes.len()).ok(),
        max_keys: i32::try_from(max_keys).ok(),
        is_truncated: Some(next.is_some()),
        next_continuation_token: next.map(|next| token_of(&next)),
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        name: Some(bucket),
        prefix: Some(encoding.text(prefix)),
        delimiter: delimiter.map(|delimiter| encoding.text(delimiter)),
        continuation_token,
        start_after: start_after.map(|key| encoding.text(key)),
        encoding_type: encoding.shown(),
        ..Default::default()
    }))
}

/// A continuation token: the last key, in letters that need no encoding.
pub(super) fn token_of(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// The key of a continuation token.
pub(super) fn token_key(token: &str) -> S3Result<String> {
    let key = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    key.filter(|key| !key.is_empty())
        .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

pub(super) async fn list_object_versions(
    store: &Arc<ObjectStore>,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let ListObjectVersionsInput {
        bucket,
        delimiter: asked_delimiter,
        encoding_type,
        expected_bucket_owner,
        key_marker,
        max_keys,
        optional_object_attributes,
        prefix,
        request_payer,
        version_id_marker,
    } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    check_optional(optional_object_attributes.as_deref())?;
    if version_id_marker.is_some() && key_marker.is_none() {
        return Err(s3_error!(InvalidArgument, "A version-id marker cannot be specified without a key marker."));
    }
    crate::s3::members::check_version(version_id_marker.as_deref())?;
    let encoding = Encoding::of(encoding_type.as_ref())?;
    let (delimiter, max_keys) = (delimiter(asked_delimiter), page_size(max_keys)?);
    let (prefix, marker) = (prefix.unwrap_or_default(), key_marker.unwrap_or_default());
    let query = ListQuery { prefix: &prefix, delimiter: delimiter.as_deref(), after: &marker, max_keys };
    let listing = store.list(&bucket, &query)?;
    let version = |stored: Stored| ObjectVersion {
        e_tag: Some(etag(&stored)),
        is_latest: Some(true),
        last_modified: Some(timestamp(stored.modified)),
        size: Some(length(stored.size)),
        storage_class: Some(match &stored.attributes.storage_class {
            Some(class) => class.clone().into(),
            None => ObjectVersionStorageClass::from_static(ObjectVersionStorageClass::STANDARD),
        }),
        checksum_type: kind(stored.attributes.checksum.as_ref()),
        checksum_algorithm: stored.attributes.checksum.as_ref().map(|checksum| vec![checksum.algorithm_shown()]),
        key: Some(encoding.text(stored.key)),
        owner: Some(owner()),
        version_id: Some("null".to_owned()),
        ..Default::default()
    };
    Ok(S3Response::new(ListObjectVersionsOutput {
        max_keys: i32::try_from(max_keys).ok(),
        is_truncated: Some(listing.next.is_some()),
        next_version_id_marker: listing.next.as_ref().map(|_| "null".to_owned()),
        next_key_marker: listing.next.map(|next| encoding.text(next)),
        versions: Some(listing.objects.into_iter().map(version).collect()),
        common_prefixes: Some(prefixes(listing.common_prefixes, encoding)),
        name: Some(bucket),
        prefix: Some(encoding.text(prefix)),
        key_marker: Some(encoding.text(marker)),
        version_id_marker: Some(version_id_marker.unwrap_or_default()),
        delimiter: delimiter.map(|delimiter| encoding.text(delimiter)),
        encoding_type: encoding.shown(),
        ..Default::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_any_key() {
        for key in ["a", "b/\u{1}\r", "ä &<"] {
            assert_eq!(token_key(&token_of(key)).unwrap(), key);
        }
        assert!(token_key("").is_err() && token_key("a b").is_err() && token_key("_w").is_err());
    }
}
