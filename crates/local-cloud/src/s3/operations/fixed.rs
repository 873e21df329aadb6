//! Reads of configurations that no bucket can have here. Tools ask them without being told to, so each answers what is true.

use std::sync::Arc;

use http::StatusCode;
use s3s::dto::{
    EventBridgeConfiguration, GetBucketAclInput, GetBucketAclOutput, GetBucketLoggingInput, GetBucketLoggingOutput,
    GetBucketNotificationConfigurationInput, GetBucketNotificationConfigurationOutput, GetBucketPolicyInput,
    GetBucketPolicyOutput, GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, GetBucketReplicationInput,
    GetBucketReplicationOutput, GetBucketRequestPaymentInput, GetBucketRequestPaymentOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, GetBucketWebsiteInput, GetBucketWebsiteOutput, GetObjectAclInput, GetObjectAclOutput,
    GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, GetPublicAccessBlockInput,
    GetPublicAccessBlockOutput, Grant, Grantee, Payer, Permission, Type,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::owner;
use crate::ACCOUNT;
use crate::s3::members::{check_owner, check_payer, check_version, custom};
use crate::s3::store::ObjectStore;

/// The owner alone has every right.
fn grants() -> Vec<Grant> {
    let grantee = Grantee {
        display_name: None,
        email_address: None,
        id: Some(ACCOUNT.to_owned()),
        type_: Type::from_static(Type::CANONICAL_USER),
        uri: None,
    };
    vec![Grant { grantee: Some(grantee), permission: Some(Permission::from_static(Permission::FULL_CONTROL)) }]
}

pub(super) async fn get_bucket_acl(
    store: &Arc<ObjectStore>,
    request: S3Request<GetBucketAclInput>,
) -> S3Result<S3Response<GetBucketAclOutput>> {
    let GetBucketAclInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    store.check_bucket(&bucket)?;
    Ok(S3Response::new(GetBucketAclOutput { grants: Some(grants()), owner: Some(owner()) }))
}

pub(super) async fn get_object_acl(
    store: &Arc<ObjectStore>,
    request: S3Request<GetObjectAclInput>,
) -> S3Result<S3Response<GetObjectAclOutput>> {
    let GetObjectAclInput { bucket, expected_bucket_owner, key, request_payer, version_id } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    check_version(version_id.as_deref())?;
    store.head(&bucket, &key)?;
    Ok(S3Response::new(GetObjectAclOutput { grants: Some(grants()), owner: Some(owner()), ..Default::default() }))
}

/// Every bucket sends its events to EventBridge, and to nothing else.
pub(super) async fn get_bucket_notification_configuration(
    store: &Arc<ObjectStore>,
    request: S3Request<GetBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<GetBucketNotificationConfigurationOutput>> {
    let GetBucketNotificationConfigurationInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    store.check_bucket(&bucket)?;
    let event_bridge_configuration = Some(EventBridgeConfiguration::default());
    Ok(S3Response::new(GetBucketNotificationConfigurationOutput { event_bridge_configuration, ..Default::default() }))
}

pub(super) async fn get_bucket_request_payment(
    store: &Arc<ObjectStore>,
    request: S3Request<GetBucketRequestPaymentInput>,
) -> S3Result<S3Response<GetBucketRequestPaymentOutput>> {
    let GetBucketRequestPaymentInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    store.check_bucket(&bucket)?;
    Ok(S3Response::new(GetBucketRequestPaymentOutput { payer: Some(Payer::from_static(Payer::BUCKET_OWNER)) }))
}

/// Answers without content, or with an error for a configuration that must exist to be read.
macro_rules! absent {
    ($($name:ident($input:ident) -> $output:ident: $answer:expr,)*) => {
        $(pub(super) async fn $name(
            store: &Arc<ObjectStore>,
            request: S3Request<$input>,
        ) -> S3Result<S3Response<$output>> {
            let $input { bucket, expected_bucket_owner } = request.input;
            check_owner(expected_bucket_owner.as_deref())?;
            store.check_bucket(&bucket)?;
            let answer: S3Result<$output> = $answer;
            answer.map(S3Response::new)
        })*
    };
}

absent! {
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput:
        Ok(GetBucketVersioningOutput::default()),
    get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput:
        Ok(GetBucketLoggingOutput::default()),
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput:
        Err(s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist")),
    get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput:
        Err(s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist")),
    get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput:
        Err(s3_error!(ReplicationConfigurationNotFoundError, "The replication configuration was not found")),
    get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput:
        Err(s3_error!(NoSuchWebsiteConfiguration, "The specified bucket does not have a website configuration")),
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput:
        Err(custom(
            "NoSuchPublicAccessBlockConfiguration",
            StatusCode::NOT_FOUND,
            "The public access block configuration was not found",
        )),
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput:
        Err(s3_error!(
            ObjectLockConfigurationNotFoundError,
            "Object Lock configuration does not exist for this bucket"
        )),
}
