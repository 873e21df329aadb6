//! PutObject.

use std::sync::Arc;

use s3s::dto::{PutObjectInput, PutObjectOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::s3::bodies::Described;
use crate::s3::checksums::{BodyChecksum, Named, set_checksums};
use crate::s3::conditions::{Write, etag};
use crate::s3::customer_key::{CustomerKey, set_customer_key};
use crate::s3::encryption::{requested, set_encryption};
use crate::s3::headers;
use crate::s3::members::{check_owner, check_payer, refuse, refuse_acl, refuse_lock};
use crate::s3::object::Attributes;
use crate::s3::store::ObjectStore;
use crate::s3::tags;

pub(super) async fn put_object(
    store: &Arc<ObjectStore>,
    mut request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let input = std::mem::take(&mut request.input);
    let PutObjectInput {
        acl,
        body,
        bucket,
        bucket_key_enabled,
        cache_control,
        checksum_algorithm,
        checksum_crc32,
        checksum_crc32c,
        checksum_crc64nvme,
        checksum_sha1,
        checksum_sha256,
        content_disposition,
        content_encoding,
        content_language,
        content_length,
        content_md5,
        content_type,
        expected_bucket_owner,
        expires,
        grant_full_control,
        grant_read,
        grant_read_acp,
        grant_write_acp,
        if_match,
        if_none_match,
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
        write_offset_bytes,
    } = input;
    refuse_acl!(acl, grant_full_control, grant_read, grant_read_acp, grant_write_acp)?;
    refuse_lock!(object_lock_legal_hold_status, object_lock_mode, object_lock_retain_until_date)?;
    let customer_key = CustomerKey::of(sse_customer_algorithm, sse_customer_key, sse_customer_key_md5)?;
    refuse(&[("x-amz-write-offset-bytes", write_offset_bytes.is_some())])?;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
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
        metadata: headers::metadata(metadata)?,
        tags: tags::parse(tagging.as_deref())?,
        ..Attributes::default()
    };
    let body = body.ok_or_else(|| s3_error!(IncompleteBody, "there is no body"))?;
    let named = Named {
        crc32: checksum_crc32,
        crc32c: checksum_crc32c,
        crc64nvme: checksum_crc64nvme,
        sha1: checksum_sha1,
        sha256: checksum_sha256,
    };
    let checksum = BodyChecksum::new(&request, named, checksum_algorithm.as_ref(), None)?;
    let conditions = Write { if_match, if_none_match };
    let described = Described { checksum, length: content_length, md5: content_md5 };
    let (blob, checksum) = store.receive_described(body, customer_key.as_ref(), described).await?;
    let attributes = Attributes { checksum: Some(checksum), ..attributes };
    let object = store.commit(&bucket, &key, blob, attributes, "PutObject", |_, now| conditions.check(&key, now))?;
    tracing::info!(
        target: "hop", service = "S3", action = "PutObject",
        detail = %format_args!("{bucket}/{key}, {} bytes", object.size)
    );
    let mut output = PutObjectOutput { e_tag: Some(etag(&object)), ..Default::default() };
    output.checksum_type = set_checksums!(output, object.attributes.checksum.as_ref());
    set_encryption!(output, &object.attributes.encryption);
    set_customer_key!(output, &customer_key);
    output.ssekms_encryption_context = object.attributes.encryption.and_then(|encryption| encryption.context);
    Ok(S3Response::new(output))
}
