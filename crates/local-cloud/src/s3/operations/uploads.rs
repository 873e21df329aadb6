//! Multipart uploads: CreateMultipartUpload, UploadPart, CompleteMultipartUpload and AbortMultipartUpload.

use std::io;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ETag, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::url;
use crate::s3::bodies::Described;
use crate::s3::checksums::{Algorithm, BodyChecksum, Named, set_checksums};
use crate::s3::conditions::{Write, etag, initiated_at};
use crate::s3::customer_key::{ALGORITHM, CustomerKey, check_upload_key, set_customer_key};
use crate::s3::encryption::{requested, set_encryption};
use crate::s3::headers;
use crate::s3::members::{check_owner, check_payer, refuse_acl, refuse_lock};
use crate::s3::multipart::{Completion, NamedPart, Upload};
use crate::s3::object::Attributes;
use crate::s3::seal::Seal;
use crate::s3::store::ObjectStore;
use crate::s3::store_error::StoreError;
use crate::s3::tags;

/// # Errors
/// A part of an upload has a number from 1 to 10000.
pub(super) fn check_number(number: i32) -> S3Result {
    if (1..=10_000).contains(&number) {
        Ok(())
    } else {
        Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"))
    }
}

/// Whether an upload's checksum is composite: by its type, or else by the nature of its algorithm.
fn is_composite(algorithm: Option<Algorithm>, kind: Option<&ChecksumType>) -> S3Result<bool> {
    let kind = kind.map(ChecksumType::as_str);
    match (algorithm, kind) {
        (None, None) | (Some(Algorithm::Crc64nvme), None | Some("FULL_OBJECT")) => Ok(false),
        (None, Some(_)) => Err(s3_error!(
            InvalidRequest,
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
        )),
        (Some(algorithm), Some("FULL_OBJECT")) if algorithm.takes_full_object() => Ok(false),
        (Some(algorithm), None | Some("COMPOSITE")) if algorithm != Algorithm::Crc64nvme => Ok(true),
        (Some(algorithm), Some(kind @ ("FULL_OBJECT" | "COMPOSITE"))) => Err(s3_error!(
            InvalidRequest,
            "The {kind} checksum type cannot be used with the {} checksum algorithm.",
            algorithm.name().to_ascii_lowercase()
        )),
        (_, Some(other)) => Err(s3_error!(
            InvalidRequest,
            "Value for x-amz-checksum-type header is invalid: {other}. COMPOSITE and FULL_OBJECT would work"
        )),
        (Some(_), None) => Ok(true),
    }
}

pub(super) async fn create_multipart_upload(
    store: &Arc<ObjectStore>,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let CreateMultipartUploadInput {
        acl,
        bucket,
        bucket_key_enabled,
        cache_control,
        checksum_algorithm,
        checksum_type,
        content_disposition,
        content_encoding,
        content_language,
        content_type,
        expected_bucket_owner,
        expires,
        grant_full_control,
        grant_read,
        grant_read_acp,
        grant_write_acp,
        key,
        metadata,
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
        website_redirect_location,
    } = request.input;
    refuse_acl!(acl, grant_full_control, grant_read, grant_read_acp, grant_write_acp)?;
    refuse_lock!(object_lock_legal_hold_status, object_lock_mode, object_lock_retain_until_date)?;
    let customer_key = CustomerKey::of(sse_customer_algorithm, sse_customer_key, sse_customer_key_md5)?;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    let wanted = checksum_algorithm.as_ref().map(|name| Algorithm::parse(name.as_str())).transpose()?;
    let composite = is_composite(wanted, checksum_type.as_ref())?;
    store.check_bucket(&bucket)?;
    let asked = requested(server_side_encryption, ssekms_key_id, ssekms_encryption_context, bucket_key_enabled)?;
    let attributes = Attributes {
        content_type,
        cache_control,
        content_disposition,
        content_encoding: headers::content_encoding(content_encoding),
        content_language,
        expires: headers::expires(&request.headers, &request.extensions, expires.as_ref()),
        website_redirect_location,
        storage_class: headers::storage_class(storage_class)?,
        encryption: store.encryption(&bucket, asked, customer_key.as_ref())?,
        seal: customer_key.as_ref().map(Seal::new).transpose().map_err(StoreError::from)?,
        metadata: headers::metadata(metadata)?,
        tags: tags::parse(tagging.as_deref())?,
        ..Attributes::default()
    };
    let encryption = attributes.encryption.clone();
    let id = store.begin_upload(&bucket, &key, Upload { initiated: 0, wanted, composite, attributes })?;
    let kind = if composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
    let mut output = CreateMultipartUploadOutput {
        bucket: Some(bucket),
        key: Some(key),
        upload_id: Some(id),
        checksum_algorithm: wanted.map(|wanted| ChecksumAlgorithm::from_static(wanted.name())),
        checksum_type: wanted.map(|_| ChecksumType::from_static(kind)),
        ..Default::default()
    };
    set_encryption!(output, &encryption);
    set_customer_key!(output, &customer_key);
    output.ssekms_encryption_context = encryption.and_then(|encryption| encryption.context);
    Ok(S3Response::new(output))
}

pub(super) async fn upload_part(
    store: &Arc<ObjectStore>,
    mut request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let input = std::mem::take(&mut request.input);
    let UploadPartInput {
        body,
        bucket,
        checksum_algorithm,
        checksum_crc32,
        checksum_crc32c,
        checksum_crc64nvme,
        checksum_sha1,
        checksum_sha256,
        content_length,
        content_md5,
        expected_bucket_owner,
        key,
        part_number,
        request_payer,
        sse_customer_algorithm,
        sse_customer_key,
        sse_customer_key_md5,
        upload_id,
    } = input;
    let customer_key = CustomerKey::of(sse_customer_algorithm, sse_customer_key, sse_customer_key_md5)?;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    check_number(part_number)?;
    let upload = store.upload((&bucket, &key), &upload_id)?;
    check_upload_key(upload.attributes.seal.as_ref(), customer_key.as_ref())?;
    let body = body.ok_or_else(|| s3_error!(IncompleteBody, "there is no body"))?;
    let named = Named {
        crc32: checksum_crc32,
        crc32c: checksum_crc32c,
        crc64nvme: checksum_crc64nvme,
        sha1: checksum_sha1,
        sha256: checksum_sha256,
    };
    let checksum = BodyChecksum::new(&request, named, checksum_algorithm.as_ref(), upload.wanted)?;
    let described = Described { checksum, length: content_length, md5: content_md5 };
    let (blob, checksum) = store.receive_described(body, customer_key.as_ref(), described).await?;
    store.add_part((&bucket, &key), &upload_id, part_number, &blob, Some(&checksum))?;
    let mut output = UploadPartOutput { e_tag: Some(ETag::Strong(blob.etag)), ..Default::default() };
    let _kind = set_checksums!(output, Some(&checksum));
    set_encryption!(output, &upload.attributes.encryption);
    set_customer_key!(output, &customer_key);
    Ok(S3Response::new(output))
}

fn named_part(part: CompletedPart) -> S3Result<NamedPart> {
    let CompletedPart {
        checksum_crc32,
        checksum_crc32c,
        checksum_crc64nvme,
        checksum_sha1,
        checksum_sha256,
        e_tag,
        part_number,
    } = part;
    let named = Named {
        crc32: checksum_crc32,
        crc32c: checksum_crc32c,
        crc64nvme: checksum_crc64nvme,
        sha1: checksum_sha1,
        sha256: checksum_sha256,
    };
    match (part_number, e_tag) {
        (Some(number), Some(etag)) => {
            check_number(number)?;
            Ok(NamedPart { number, etag: etag.into_value().trim_matches('"').to_owned(), checksum: named.one()? })
        }
        _ => Err(s3_error!(MalformedXML, "every part has a PartNumber and an ETag")),
    }
}

pub(super) async fn complete_multipart_upload(
    store: &Arc<ObjectStore>,
    mut request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let input = std::mem::take(&mut request.input);
    let CompleteMultipartUploadInput {
        bucket,
        checksum_crc32,
        checksum_crc32c,
        checksum_crc64nvme,
        checksum_sha1,
        checksum_sha256,
        checksum_type,
        expected_bucket_owner,
        if_match,
        if_none_match,
        key,
        mpu_object_size,
        multipart_upload,
        request_payer,
        sse_customer_algorithm,
        sse_customer_key,
        sse_customer_key_md5,
        upload_id,
    } = input;
    let customer_key = CustomerKey::of(sse_customer_algorithm, sse_customer_key, sse_customer_key_md5)?;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    let parts = multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let composite = match checksum_type.as_ref().map(ChecksumType::as_str) {
        None => None,
        Some("COMPOSITE") => Some(true),
        Some("FULL_OBJECT") => Some(false),
        Some(other) => {
            return Err(s3_error!(InvalidRequest, "Value for x-amz-checksum-type header is invalid: {other}"));
        }
    };
    let named = Named {
        crc32: checksum_crc32,
        crc32c: checksum_crc32c,
        crc64nvme: checksum_crc64nvme,
        sha1: checksum_sha1,
        sha256: checksum_sha256,
    };
    let completion = Completion {
        parts: parts.into_iter().map(named_part).collect::<S3Result<_>>()?,
        conditions: Write { if_match, if_none_match },
        checksum: named.one()?,
        composite,
        size: mpu_object_size,
        key: customer_key.clone(),
    };
    let object = tokio::task::spawn_blocking({
        let (store, bucket, key) = (Arc::clone(store), bucket.clone(), key.clone());
        move || store.complete_upload((&bucket, &key), &upload_id, &completion)
    });
    let object = object.await.map_err(|error| StoreError::Io(io::Error::other(error)))??;
    let mut output = CompleteMultipartUploadOutput {
        location: Some(url(&request, &bucket, &key)),
        bucket: Some(bucket),
        key: Some(key),
        e_tag: Some(etag(&object)),
        ..Default::default()
    };
    output.checksum_type = set_checksums!(output, object.attributes.checksum.as_ref());
    set_encryption!(output, &object.attributes.encryption);
    // `s3s` has no members for these two.
    let mut headers = HeaderMap::new();
    if let Some(key) = customer_key {
        headers.insert("x-amz-server-side-encryption-customer-algorithm", HeaderValue::from_static(ALGORITHM));
        if let Ok(md5) = HeaderValue::from_str(key.md5()) {
            headers.insert("x-amz-server-side-encryption-customer-key-md5", md5);
        }
    }
    Ok(S3Response::with_headers(output, headers))
}

pub(super) async fn abort_multipart_upload(
    store: &Arc<ObjectStore>,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let AbortMultipartUploadInput {
        bucket,
        expected_bucket_owner,
        if_match_initiated_time,
        key,
        request_payer,
        upload_id,
    } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    store.abort_upload((&bucket, &key), &upload_id, |upload| {
        Ok(if_match_initiated_time.map_or(Ok(()), |expected| initiated_at(upload.initiated, &expected))?)
    })?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_checksums() {
        let kind = |algorithm, kind: Option<&'static str>| {
            is_composite(algorithm, kind.map(ChecksumType::from_static).as_ref()).ok()
        };
        assert_eq!(kind(None, None), Some(false));
        assert_eq!(kind(Some(Algorithm::Sha256), None), Some(true));
        assert_eq!(kind(Some(Algorithm::Crc32), None), Some(true));
        assert_eq!(kind(Some(Algorithm::Crc32), Some("FULL_OBJECT")), Some(false));
        assert_eq!(kind(Some(Algorithm::Crc64nvme), None), Some(false));
        for (algorithm, bad) in
            [(Algorithm::Sha1, "FULL_OBJECT"), (Algorithm::Crc64nvme, "COMPOSITE"), (Algorithm::Sha1, "X")]
        {
            assert_eq!(kind(Some(algorithm), Some(bad)), None, "{algorithm:?} {bad}");
        }
        assert_eq!(kind(None, Some("COMPOSITE")), None);
    }
}
