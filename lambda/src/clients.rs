use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::RequestChecksumCalculation;

/// The SDK clients, made once per process. `AWS_ENDPOINT_URL` points all of them at another cloud.
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
    /// Clients as the environment says.
    pub async fn from_env() -> Self {
        Self::new(&aws_config::load_defaults(BehaviorVersion::latest()).await)
    }

    /// Clients by a configuration.
    pub fn new(config: &SdkConfig) -> Self {
        // The bodies are hashed by the signature already; presigned URLs would demand a checksum of the client.
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
