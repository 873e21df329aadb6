//! DeleteObject and DeleteObjects.

use std::sync::Arc;

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETagCondition,
    Error, ObjectIdentifier,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use crate::s3::conditions::Deletion;
use crate::s3::members::{check_owner, check_payer, check_version, refuse};
use crate::s3::store::ObjectStore;

/// The most keys of one call.
const MOST: usize = 1000;

/// No object is retained, so both answers are right: there is nothing to bypass.
fn check_bypass(_bypass: Option<bool>) {}

pub(super) async fn delete_object(
    store: &Arc<ObjectStore>,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let DeleteObjectInput {
        bucket,
        bypass_governance_retention,
        expected_bucket_owner,
        if_match,
        if_match_last_modified_time,
        if_match_size,
        key,
        mfa,
        request_payer,
        version_id,
    } = request.input;
    refuse(&[("x-amz-mfa", mfa.is_some())])?;
    check_bypass(bypass_governance_retention);
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    check_version(version_id.as_deref())?;
    let condition = Deletion { if_match, last_modified: if_match_last_modified_time, size: if_match_size };
    store.delete(&bucket, &key, |now| condition.check(&key, now))?;
    Ok(S3Response::new(DeleteObjectOutput { version_id, ..Default::default() }))
}

pub(super) async fn delete_objects(
    store: &Arc<ObjectStore>,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let DeleteObjectsInput {
        bucket,
        bypass_governance_retention,
        checksum_algorithm,
        delete,
        expected_bucket_owner,
        mfa,
        request_payer,
    } = request.input;
    refuse(&[("x-amz-mfa", mfa.is_some())])?;
    check_bypass(bypass_governance_retention);
    // The checksum of the document was compared when it was read.
    checksum_algorithm.map(|name| crate::s3::checksums::Algorithm::parse(name.as_str())).transpose()?;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    store.check_bucket(&bucket)?;
    if delete.objects.is_empty() || delete.objects.len() > MOST {
        return Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema: {} keys, and 1 to {MOST} would work",
            delete.objects.len()
        ));
    }
    let (mut deleted, mut errors) = (Vec::with_capacity(delete.objects.len()), Vec::new());
    for object in delete.objects {
        let ObjectIdentifier { e_tag, key, last_modified_time, size, version_id } = object;
        let condition = Deletion { if_match: e_tag.map(ETagCondition::ETag), last_modified: last_modified_time, size };
        let outcome = check_version(version_id.as_deref()).and_then(|()| {
            if key.is_empty() {
                return Err(s3_error!(UserKeyMustBeSpecified, "a key is empty"));
            }
            Ok(store.delete(&bucket, &key, |now| condition.check(&key, now))?)
        });
        match outcome {
            Ok(()) => deleted.push(DeletedObject { key: Some(key), version_id, ..Default::default() }),
            Err(error) => errors.push(failed(&error, key, version_id)),
        }
    }
    let deleted = (!delete.quiet.unwrap_or(false)).then_some(deleted);
    let errors = (!errors.is_empty()).then_some(errors);
    Ok(S3Response::new(DeleteObjectsOutput { deleted, errors, ..Default::default() }))
}

fn failed(error: &S3Error, key: String, version_id: Option<String>) -> Error {
    Error {
        code: Some(error.code().as_str().to_owned()),
        key: Some(key),
        message: error.message().map(str::to_owned),
        version_id,
    }
}
