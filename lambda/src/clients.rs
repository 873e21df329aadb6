use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::RequestChecksumCalculation;

/// The SDK clients, made once per process. `AWS_ENDPOINT_URL` directs all of them to another cloud.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Amazon S3.
    pub s3: aws_sdk_s3::Client,
    /// Amazon DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Amazon SageMaker Runtime.
    pub sagemaker: aws_sdk_sagemakerruntime::Client,
}

impl Clients {
    /// Clients with the environment's configuration.
    pub async fn from_env() -> Self {
        Self::new(&aws_config::load_defaults(BehaviorVersion::latest()).await)
    }

    /// Clients with this configuration.
    pub fn new(config: &SdkConfig) -> Self {
        // The signature hashes the bodies already, and a presigned URL would require a checksum from the client.
        let s3 = aws_sdk_s3::config::Builder::from(config)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3),
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            sagemaker: aws_sdk_sagemakerruntime::Client::new(config),
        }
    }
}
