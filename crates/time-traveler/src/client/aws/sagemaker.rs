//! Seven operations of Amazon SageMaker and of its runtime: an endpoint is made, asked and deleted.

use aws_config::SdkConfig;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use serde_json::{Value, json};

use super::{Service, percent_encoded};

/// Amazon SageMaker, by AWS JSON.
pub(crate) struct SageMaker(Service);

impl SageMaker {
    /// # Errors
    /// Where the configuration has no region, or an endpoint that is no URL.
    pub(crate) fn new(config: &SdkConfig) -> anyhow::Result<Self> {
        Ok(Self(Service::at(config, "sagemaker", "SageMaker", "api.sagemaker")?))
    }

    /// Calls an operation, such as `CreateModel`, with its input. An operation without a result answers `null`.
    pub(crate) async fn call(&self, operation: &str, input: &Value) -> anyhow::Result<Value> {
        let request = self
            .0
            .request(Method::POST, "/")
            .header(CONTENT_TYPE, "application/x-amz-json-1.1")
            .header(HeaderName::from_static("x-amz-target"), format!("SageMaker.{operation}"))
            .body(input.to_string());
        let body = self.0.send(request).await?;
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The status of an endpoint, and why it failed.
    pub(crate) async fn status(&self, endpoint: &str) -> anyhow::Result<(String, Option<String>)> {
        let answer = self.call("DescribeEndpoint", &json!({"EndpointName": endpoint})).await?;
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        Ok((text("EndpointStatus").unwrap_or_default(), text("FailureReason")))
    }
}

/// Amazon SageMaker Runtime.
pub(crate) struct Runtime(Service);

impl Runtime {
    /// # Errors
    /// Where the configuration has no region, or an endpoint that is no URL.
    pub(crate) fn new(config: &SdkConfig) -> anyhow::Result<Self> {
        Ok(Self(Service::at(config, "sagemaker", "SageMaker Runtime", "runtime.sagemaker")?))
    }

    /// The answer of an endpoint to a body.
    pub(crate) async fn invoke(&self, endpoint: &str, body: &[u8], content_type: &str) -> anyhow::Result<Vec<u8>> {
        let request = self
            .0
            .request(Method::POST, &format!("/endpoints/{}/invocations", percent_encoded(endpoint)))
            .header(CONTENT_TYPE, content_type)
            .header(ACCEPT, "*/*")
            .body(body.to_vec());
        self.0.send(request).await
    }
}
