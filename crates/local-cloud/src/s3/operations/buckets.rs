//! Buckets: created, deleted, found and listed.

use std::sync::Arc;

use s3s::dto::{
    Bucket, BucketCannedACL, BucketLocationConstraint, CreateBucketConfiguration, CreateBucketInput,
    CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput,
    HeadBucketInput, HeadBucketOutput, ListBucketsInput, ListBucketsOutput, ObjectOwnership,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::listings::{token_key, token_of};
use super::{owner, timestamp};
use crate::REGION;
use crate::s3::members::{check_owner, is_other_acl, refuse};
use crate::s3::store::ObjectStore;

pub(super) async fn create_bucket(
    store: &Arc<ObjectStore>,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let CreateBucketInput {
        acl,
        bucket,
        create_bucket_configuration,
        grant_full_control,
        grant_read,
        grant_read_acp,
        grant_write,
        grant_write_acp,
        object_lock_enabled_for_bucket,
        object_ownership,
    } = request.input;
    let other_owner = object_ownership.is_some_and(|who| who.as_str() != ObjectOwnership::BUCKET_OWNER_ENFORCED);
    refuse(&[
        ("x-amz-acl", is_other_acl(acl.as_ref().map(BucketCannedACL::as_str))),
        ("x-amz-grant-full-control", grant_full_control.is_some()),
        ("x-amz-grant-read", grant_read.is_some()),
        ("x-amz-grant-read-acp", grant_read_acp.is_some()),
        ("x-amz-grant-write", grant_write.is_some()),
        ("x-amz-grant-write-acp", grant_write_acp.is_some()),
        ("x-amz-bucket-object-lock-enabled", object_lock_enabled_for_bucket == Some(true)),
        ("x-amz-object-ownership", other_owner),
    ])?;
    if let Some(CreateBucketConfiguration { bucket: info, location, location_constraint }) = create_bucket_configuration
    {
        // Both are for directory buckets.
        refuse(&[("Bucket", info.is_some()), ("Location", location.is_some())])?;
        match location_constraint.as_ref().map(BucketLocationConstraint::as_str) {
            None | Some("" | REGION) => {}
            Some(other) => {
                return Err(s3_error!(
                    IllegalLocationConstraintException,
                    "The {other} location constraint is incompatible for the region specific endpoint this request was sent to: every bucket is in {REGION}"
                ));
            }
        }
    }
    // `s3s` knows the other rules of names.
    if bucket.contains(".-") || bucket.contains("-.") {
        return Err(s3_error!(InvalidBucketName, "The specified bucket is not valid: a hyphen stands beside a dot."));
    }
    // In this region, S3 answers the owner's second call like the first.
    store.create_bucket(&bucket)?;
    Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{bucket}")) }))
}

pub(super) async fn delete_bucket(
    store: &Arc<ObjectStore>,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let DeleteBucketInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    store.delete_bucket(&bucket)?;
    Ok(S3Response::new(DeleteBucketOutput::default()))
}

pub(super) async fn head_bucket(
    store: &Arc<ObjectStore>,
    request: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    let HeadBucketInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    store.check_bucket(&bucket)?;
    Ok(S3Response::new(HeadBucketOutput { bucket_region: Some(REGION.to_owned()), ..Default::default() }))
}

pub(super) async fn get_bucket_location(
    store: &Arc<ObjectStore>,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    let GetBucketLocationInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    store.check_bucket(&bucket)?;
    Ok(S3Response::new(GetBucketLocationOutput::default()))
}

pub(super) async fn list_buckets(
    store: &Arc<ObjectStore>,
    request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let ListBucketsInput { bucket_region, continuation_token, max_buckets, prefix } = request.input;
    let most = match max_buckets.map(usize::try_from) {
        None => 10_000,
        Some(Ok(most @ 1..=10_000)) => most,
        Some(_) => return Err(s3_error!(InvalidArgument, "max-buckets must be an integer between 1 and 10000")),
    };
    let after = continuation_token.as_deref().map(token_key).transpose()?.unwrap_or_default();
    let is_here = bucket_region.as_deref().is_none_or(|region| region == REGION);
    let begins = |name: &str| prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix));
    let mut left = store.buckets()?.into_iter().filter(|(name, _)| is_here && *name > after && begins(name));
    // The region is said when the answer is one of pages.
    let paged = max_buckets.is_some() || bucket_region.is_some() || prefix.is_some();
    let bucket = |(name, created): (String, i64)| Bucket {
        name: Some(name),
        creation_date: Some(timestamp(created)),
        bucket_region: paged.then(|| REGION.to_owned()),
    };
    let page: Vec<Bucket> = left.by_ref().take(most).map(bucket).collect();
    let next = left.next().and_then(|_| page.last()?.name.as_deref().map(token_of));
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(page),
        continuation_token: next,
        owner: Some(owner()),
        prefix,
    }))
}
