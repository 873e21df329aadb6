use aws_config::BehaviorVersion;
use aws_sdk_s3::config::RequestChecksumCalculation;

/// The SDK clients, made once per process. `AWS_ENDPOINT_URL` points all of them at another cloud.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) sagemaker: aws_sdk_sagemakerruntime::Client,
}

impl Clients {
    pub(crate) async fn from_env() -> Self {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        // The bodies are hashed by the signature already; presigned URLs would demand a checksum of the client.
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            sagemaker: aws_sdk_sagemakerruntime::Client::new(&config),
        }
    }
}
