//! Configurations of buckets that are kept: CORS, which is honoured, encryption by default, which is recorded, and lifecycle, whose
//! rules are not carried out.

use std::sync::Arc;

use s3s::dto::{
    BucketLifecycleConfiguration, CORSConfiguration, DeleteBucketCorsInput, DeleteBucketCorsOutput,
    DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput,
    GetBucketCorsInput, GetBucketCorsOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput,
    GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput, PutBucketCorsInput,
    PutBucketCorsOutput, PutBucketEncryptionInput, PutBucketEncryptionOutput, PutBucketLifecycleConfigurationInput,
    PutBucketLifecycleConfigurationOutput, ServerSideEncryptionConfiguration,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::s3::cors;
use crate::s3::documents::check_declared;
use crate::s3::encryption;
use crate::s3::lifecycle;
use crate::s3::members::{check_owner, custom, refuse};
use crate::s3::store::ObjectStore;

pub(super) async fn get_bucket_cors(
    store: &Arc<ObjectStore>,
    request: S3Request<GetBucketCorsInput>,
) -> S3Result<S3Response<GetBucketCorsOutput>> {
    let GetBucketCorsInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    match store.setting::<CORSConfiguration>(&bucket)? {
        Some(CORSConfiguration { cors_rules }) => {
            Ok(S3Response::new(GetBucketCorsOutput { cors_rules: Some(cors_rules) }))
        }
        None => Err(s3_error!(NoSuchCORSConfiguration, "The CORS configuration does not exist")),
    }
}

pub(super) async fn put_bucket_cors(
    store: &Arc<ObjectStore>,
    request: S3Request<PutBucketCorsInput>,
) -> S3Result<S3Response<PutBucketCorsOutput>> {
    let PutBucketCorsInput { bucket, cors_configuration, checksum_algorithm, content_md5, expected_bucket_owner } =
        request.input;
    check_declared(checksum_algorithm.as_ref(), content_md5.as_deref())?;
    check_owner(expected_bucket_owner.as_deref())?;
    cors::check(&cors_configuration)?;
    store.set(&bucket, &cors_configuration)?;
    Ok(S3Response::new(PutBucketCorsOutput::default()))
}

pub(super) async fn delete_bucket_cors(
    store: &Arc<ObjectStore>,
    request: S3Request<DeleteBucketCorsInput>,
) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
    let DeleteBucketCorsInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    store.unset::<CORSConfiguration>(&bucket)?;
    Ok(S3Response::new(DeleteBucketCorsOutput::default()))
}

pub(super) async fn get_bucket_encryption(
    store: &Arc<ObjectStore>,
    request: S3Request<GetBucketEncryptionInput>,
) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
    let GetBucketEncryptionInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    let configuration = store.setting::<ServerSideEncryptionConfiguration>(&bucket)?;
    if configuration.is_none() {
        return Err(custom(
            "ServerSideEncryptionConfigurationNotFoundError",
            http::StatusCode::NOT_FOUND,
            "The server side encryption configuration was not found",
        ));
    }
    Ok(S3Response::new(GetBucketEncryptionOutput { server_side_encryption_configuration: configuration }))
}

pub(super) async fn put_bucket_encryption(
    store: &Arc<ObjectStore>,
    request: S3Request<PutBucketEncryptionInput>,
) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
    let PutBucketEncryptionInput {
        bucket,
        checksum_algorithm,
        content_md5,
        expected_bucket_owner,
        server_side_encryption_configuration,
    } = request.input;
    check_declared(checksum_algorithm.as_ref(), content_md5.as_deref())?;
    check_owner(expected_bucket_owner.as_deref())?;
    encryption::check(&server_side_encryption_configuration)?;
    store.set(&bucket, &server_side_encryption_configuration)?;
    Ok(S3Response::new(PutBucketEncryptionOutput::default()))
}

pub(super) async fn delete_bucket_encryption(
    store: &Arc<ObjectStore>,
    request: S3Request<DeleteBucketEncryptionInput>,
) -> S3Result<S3Response<DeleteBucketEncryptionOutput>> {
    let DeleteBucketEncryptionInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    store.unset::<ServerSideEncryptionConfiguration>(&bucket)?;
    Ok(S3Response::new(DeleteBucketEncryptionOutput::default()))
}

pub(super) async fn get_bucket_lifecycle_configuration(
    store: &Arc<ObjectStore>,
    request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
    let GetBucketLifecycleConfigurationInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    match store.setting::<BucketLifecycleConfiguration>(&bucket)? {
        Some(BucketLifecycleConfiguration { rules }) => {
            Ok(S3Response::new(GetBucketLifecycleConfigurationOutput { rules: Some(rules), ..Default::default() }))
        }
        None => Err(s3_error!(NoSuchLifecycleConfiguration, "The lifecycle configuration does not exist")),
    }
}

pub(super) async fn put_bucket_lifecycle_configuration(
    store: &Arc<ObjectStore>,
    request: S3Request<PutBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
    let PutBucketLifecycleConfigurationInput {
        bucket,
        checksum_algorithm,
        expected_bucket_owner,
        lifecycle_configuration,
        transition_default_minimum_object_size,
    } = request.input;
    check_declared(checksum_algorithm.as_ref(), None)?;
    check_owner(expected_bucket_owner.as_deref())?;
    let size = transition_default_minimum_object_size.is_some();
    refuse(&[("x-amz-transition-default-minimum-object-size", size)])?;
    let mut configuration = lifecycle_configuration.ok_or_else(|| {
        s3_error!(MissingRequestBodyError, "Request body is empty: a LifecycleConfiguration would work")
    })?;
    lifecycle::complete(&mut configuration)?;
    store.set(&bucket, &configuration)?;
    Ok(S3Response::new(PutBucketLifecycleConfigurationOutput::default()))
}

pub(super) async fn delete_bucket_lifecycle(
    store: &Arc<ObjectStore>,
    request: S3Request<DeleteBucketLifecycleInput>,
) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
    let DeleteBucketLifecycleInput { bucket, expected_bucket_owner } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    store.unset::<BucketLifecycleConfiguration>(&bucket)?;
    Ok(S3Response::new(DeleteBucketLifecycleOutput::default()))
}
