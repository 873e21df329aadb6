//! The objects in S3 that invocations refer to.

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use axum::http::StatusCode;
use tokio::sync::OnceCell;

use super::wire::{Reference, refused};
use crate::handlers::pictures::shown;
use crate::refusal::Refusal;

/// The header in which S3 names a bucket's region.
const REGION: &str = "x-amz-bucket-region";

/// Amazon S3, as the environment configures it. `AWS_ENDPOINT_URL` directs it to another cloud.
#[derive(Debug, Default)]
pub struct Objects {
    /// Made at the first use: a server whose invocations are complete needs neither credentials nor a region.
    client: OnceCell<Client>,
}

impl Objects {
    /// The bytes of objects, at most `limit` in all.
    ///
    /// # Errors
    /// 404: no such object or bucket. 403: no permission. 400: a bucket in another region. 413: too many bytes. 502: S3 failed.
    pub async fn fetch(&self, references: &[Reference], limit: usize) -> Result<Vec<Vec<u8>>, Refusal> {
        let client = self
            .client
            .get_or_init(async || Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await))
            .await;
        let mut left = limit;
        let mut files = Vec::with_capacity(references.len());
        for reference in references {
            let file = read(client, reference, left, limit).await?;
            left -= file.len();
            files.push(file);
        }
        Ok(files)
    }
}

/// Reads an object of at most `left` bytes.
async fn read(client: &Client, reference: &Reference, left: usize, limit: usize) -> Result<Vec<u8>, Refusal> {
    let Reference { bucket, key } = reference;
    let too_large = || {
        let message =
            format!("with {} the objects have more than {limit} bytes: at most {limit} work", named(reference));
        refused(StatusCode::PAYLOAD_TOO_LARGE, "OBJECT_TOO_LARGE", message)
    };
    let object = client.get_object().bucket(bucket).key(key).send().await;
    let mut object = object.map_err(|error| refusal(reference, &error))?;
    let announced = object.content_length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if announced > left {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(announced);
    while let Some(some) = object.body.next().await {
        let some = some.map_err(|error| {
            let message = format!("{} breaks off after {} bytes ({error})", named(reference), bytes.len());
            refused(StatusCode::BAD_GATEWAY, "S3_FAILED", message)
        })?;
        if bytes.len() + some.len() > left {
            return Err(too_large());
        }
        bytes.extend_from_slice(&some);
    }
    Ok(bytes)
}

fn named(Reference { bucket, key }: &Reference) -> String {
    format!("s3://{}/{}", shown(bucket), shown(key))
}

fn refusal(reference: &Reference, error: &SdkError<GetObjectError>) -> Refusal {
    let name = named(reference);
    let region = error.raw_response().and_then(|response| response.headers().get(REGION));
    let status = error.raw_response().map(|response| response.status().as_u16());
    let (status, code, message) = match (error.code(), status) {
        (Some("NoSuchKey"), _) => (
            StatusCode::NOT_FOUND,
            "NO_SUCH_KEY",
            format!("{name} does not exist: the key of an object in this bucket would work"),
        ),
        (Some("NoSuchBucket"), _) => (
            StatusCode::NOT_FOUND,
            "NO_SUCH_BUCKET",
            format!("the bucket of {name} does not exist: another bucket would work"),
        ),
        (Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException"), _)
        | (_, Some(301)) => {
            let region = region.map_or_else(|| "another region".to_owned(), |region| format!("the region {region}"));
            (
                StatusCode::BAD_REQUEST,
                "OTHER_REGION",
                format!("the bucket of {name} is in {region}: a bucket in this endpoint's region would work"),
            )
        }
        (Some("AccessDenied"), _) | (_, Some(403)) => (
            StatusCode::FORBIDDEN,
            "ACCESS_DENIED",
            format!("{name} may not be read: s3:GetObject for the endpoint's execution role would work"),
        ),
        (Some("InvalidBucketName" | "KeyTooLongError" | "InvalidURI"), _) => (
            StatusCode::BAD_REQUEST,
            "BAD_REFERENCE",
            format!("{name} cannot be the name of an object: bucket/key would work"),
        ),
        (_, status) => {
            tracing::error!(object = %name, error = %DisplayErrorContext(error), "the object cannot be read");
            let status = status.map_or_else(String::new, |status| format!(" with status {status}"));
            (
                StatusCode::BAD_GATEWAY,
                "S3_FAILED",
                format!("S3 failed{status} on {name}: the server's log says why; another time may work"),
            )
        }
    };
    refused(status, code, message)
}
