//! Tags of objects and of buckets.

use std::sync::Arc;

use s3s::dto::{
    DeleteBucketTaggingInput, DeleteBucketTaggingOutput, DeleteObjectTaggingInput, DeleteObjectTaggingOutput,
    GetBucketTaggingInput, GetBucketTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    PutBucketTaggingInput, PutBucketTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tagging,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::s3::documents::check_declared;
use crate::s3::members::{check_owner, check_payer, check_version};
use crate::s3::store::ObjectStore;
use crate::s3::tags;

pub(super) async fn get_object_tagging(
    store: &Arc<ObjectStore>,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let GetObjectTaggingInput { bucket, expected_bucket_owner, key, request_payer, version_id } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    check_version(version_id.as_deref())?;
    let tag_set = tags::shown(store.head(&bucket, &key)?.attributes.tags);
    Ok(S3Response::new(GetObjectTaggingOutput { tag_set, version_id }))
}

pub(super) async fn put_object_tagging(
    store: &Arc<ObjectStore>,
    request: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let PutObjectTaggingInput {
        bucket,
        checksum_algorithm,
        content_md5,
        expected_bucket_owner,
        key,
        request_payer,
        tagging,
        version_id,
    } = request.input;
    check_declared(checksum_algorithm.as_ref(), content_md5.as_deref())?;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    check_version(version_id.as_deref())?;
    let tags = tags::read(tagging.tag_set, tags::MOST_OF_OBJECT)?;
    store.change(&bucket, &key, |attributes| attributes.tags = tags)?;
    Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
}

pub(super) async fn delete_object_tagging(
    store: &Arc<ObjectStore>,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let DeleteObjectTaggingInput { bucket, expected_bucket_owner, key, version_id } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    check_version(version_id.as_deref())?;
    store.change(&bucket, &key, |attributes| attributes.tags.clear())?;
    Ok(S3Response::new(DeleteObjectTaggingOutput { version_id }))
}

pub(super) async fn get_bucket_tagging(
    store: &Arc<ObjectStore>,
    request: S3Request<GetBucketTaggingInput>,
) -> S3Result<S3Response<GetBucketTaggingOutput>> {
    let GetBucketTaggingInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    match store.setting::<Tagging>(&bucket)? {
        Some(Tagging { tag_set }) => Ok(S3Response::new(GetBucketTaggingOutput { tag_set })),
        None => Err(s3_error!(NoSuchTagSet, "The TagSet does not exist")),
    }
}

pub(super) async fn put_bucket_tagging(
    store: &Arc<ObjectStore>,
    request: S3Request<PutBucketTaggingInput>,
) -> S3Result<S3Response<PutBucketTaggingOutput>> {
    let PutBucketTaggingInput { bucket, checksum_algorithm, content_md5, expected_bucket_owner, tagging } =
        request.input;
    check_declared(checksum_algorithm.as_ref(), content_md5.as_deref())?;
    check_owner(expected_bucket_owner.as_deref())?;
    let tags = tags::read(tagging.tag_set, tags::MOST_OF_BUCKET)?;
    store.set(&bucket, &Tagging { tag_set: tags::shown(tags) })?;
    Ok(S3Response::new(PutBucketTaggingOutput::default()))
}

pub(super) async fn delete_bucket_tagging(
    store: &Arc<ObjectStore>,
    request: S3Request<DeleteBucketTaggingInput>,
) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
    let DeleteBucketTaggingInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    store.unset::<Tagging>(&bucket)?;
    Ok(S3Response::new(DeleteBucketTaggingOutput::default()))
}
