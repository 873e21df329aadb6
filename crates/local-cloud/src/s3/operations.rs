//! The operations of S3, on the object store. Each takes its input apart member by member, so that no member is passed over: it is
//! honoured, or refused by name.

mod buckets;
mod copying;
mod deleting;
mod fixed;
mod listings;
mod lists_of_uploads;
mod reading;
mod settings;
mod tagging;
mod uploads;
mod writing;

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result};

use super::store::ObjectStore;
use crate::ACCOUNT;

pub(super) struct Operations(pub(super) Arc<ObjectStore>);

/// Has each operation done by the function of its name.
macro_rules! operations {
    ($($module:ident: $($name:ident($input:ident) -> $output:ident,)*;)*) => {
        #[async_trait::async_trait]
        impl s3s::S3 for Operations {
            $($(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                $module::$name(&self.0, request).await
            })*)*
        }
    };
}

operations! {
    buckets:
        create_bucket(CreateBucketInput) -> CreateBucketOutput,
        delete_bucket(DeleteBucketInput) -> DeleteBucketOutput,
        head_bucket(HeadBucketInput) -> HeadBucketOutput,
        get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput,
        list_buckets(ListBucketsInput) -> ListBucketsOutput,;
    writing:
        put_object(PutObjectInput) -> PutObjectOutput,;
    reading:
        get_object(GetObjectInput) -> GetObjectOutput,
        head_object(HeadObjectInput) -> HeadObjectOutput,
        get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput,;
    copying:
        copy_object(CopyObjectInput) -> CopyObjectOutput,
        upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput,;
    deleting:
        delete_object(DeleteObjectInput) -> DeleteObjectOutput,
        delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput,;
    listings:
        list_objects(ListObjectsInput) -> ListObjectsOutput,
        list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output,
        list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput,;
    uploads:
        create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput,
        upload_part(UploadPartInput) -> UploadPartOutput,
        complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput,
        abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput,;
    lists_of_uploads:
        list_parts(ListPartsInput) -> ListPartsOutput,
        list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput,;
    tagging:
        get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput,
        put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput,
        delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput,
        get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput,
        put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput,
        delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput,;
    settings:
        get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput,
        put_bucket_cors(PutBucketCorsInput) -> PutBucketCorsOutput,
        delete_bucket_cors(DeleteBucketCorsInput) -> DeleteBucketCorsOutput,
        get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput,
        put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput,
        delete_bucket_encryption(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput,
        get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput,
        put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput) -> PutBucketLifecycleConfigurationOutput,
        delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput,;
    fixed:
        get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput,
        get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput,
        get_object_acl(GetObjectAclInput) -> GetObjectAclOutput,
        get_bucket_notification_configuration(GetBucketNotificationConfigurationInput) -> GetBucketNotificationConfigurationOutput,
        get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput,
        get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput,
        get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput,
        get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput,
        get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput,
        get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput,
        get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput,
        get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput,;
}

/// Milliseconds since 1970 as S3's time.
fn timestamp(millis: i64) -> Timestamp {
    let since = std::time::Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    Timestamp::from(std::time::SystemTime::UNIX_EPOCH + since)
}

/// A size as S3's number.
fn length(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// The owner of every bucket and object.
fn owner() -> Owner {
    Owner { display_name: None, id: Some(ACCOUNT.to_owned()) }
}

/// The URL of an object, as its writer addressed it.
fn url<T>(request: &S3Request<T>, bucket: &str, key: &str) -> String {
    let host = request.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let key = super::url_encoding::Encoding::Url.text(key);
    // The bucket is in the host name, or the first part of the path.
    if host.starts_with(&format!("{bucket}.")) {
        format!("http://{host}/{key}")
    } else {
        format!("http://{host}/{bucket}/{key}")
    }
}

#[cfg(test)]
mod tests {
    /// The sources of the operations.
    const SOURCES: [&str; 11] = [
        include_str!("operations/buckets.rs"),
        include_str!("operations/copying.rs"),
        include_str!("operations/deleting.rs"),
        include_str!("operations/fixed.rs"),
        include_str!("operations/listings.rs"),
        include_str!("operations/lists_of_uploads.rs"),
        include_str!("operations/reading.rs"),
        include_str!("operations/settings.rs"),
        include_str!("operations/tagging.rs"),
        include_str!("operations/uploads.rs"),
        include_str!("operations/writing.rs"),
    ];

    /// The operations whose input is not taken apart member by member, with `problem`'s words: the compiler checks that the pattern has
    /// every member, and that every member is used, unless the pattern says `..` or `_`.
    fn passed_over(source: &str) -> Vec<String> {
        let mut found = Vec::new();
        for function in source.split("pub(super) async fn ").skip(1) {
            let name = function.split('(').next().unwrap_or_default();
            let input = function.split("S3Request<").nth(1).and_then(|rest| rest.split('>').next()).unwrap_or_default();
            let pattern = function.split(&format!("let {input} {{")).nth(1).and_then(|rest| rest.split('}').next());
            match pattern {
                None => found.push(format!("{name} does not take {input} apart")),
                Some(pattern) if pattern.contains("..") => found.push(format!("{name} passes over members")),
                Some(pattern) if pattern.contains(": _") => found.push(format!("{name} names a member and drops it")),
                Some(_) => {}
            }
        }
        found
    }

    #[test]
    fn no_member_of_an_input_is_passed_over() {
        let count = |what: &str| SOURCES.iter().map(|source| source.matches(what).count()).sum::<usize>();
        // One macro writes several functions, of which each has a line.
        let functions = count("pub(super) async fn ") - count("async fn $name") + count("Input) -> ");
        let own = include_str!("operations.rs");
        let declared = own.matches("Output,\n").count() + own.matches("Output,;\n").count();
        assert_eq!(functions, declared, "an operation is in none of the sources");
        assert_eq!(SOURCES.iter().flat_map(|source| passed_over(source)).collect::<Vec<_>>(), Vec::<String>::new());
    }

    #[test]
    fn a_member_that_is_passed_over_is_found() {
        let source = |pattern: &str| {
            format!(
                "pub(super) async fn get(store: &S, request: S3Request<GetInput>) {{ let {pattern} = request.input; }}"
            )
        };
        assert!(passed_over(&source("GetInput { bucket, key }")).is_empty());
        for bad in ["GetInput { bucket, .. }", "GetInput { bucket, key: _ }", "input"] {
            assert_eq!(passed_over(&source(bad)).len(), 1, "{bad}");
        }
    }
}
