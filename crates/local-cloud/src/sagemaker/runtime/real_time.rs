//! `InvokeEndpoint`: the model server's answer is the invocation's.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use super::members::Members;
use super::refusal::validation;
use crate::aws_error::json_error;
use crate::container_contract::CUSTOM_ATTRIBUTES;
use crate::sagemaker::hosting::{InvokeError, Lease, ModelRequest, Serving, ServingVariant};

/// How long an invocation may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The variant that answered.
const INVOKED_VARIANT: HeaderName = HeaderName::from_static("x-amzn-invoked-production-variant");

/// The longest message of an error, in characters.
const LONGEST_MESSAGE: usize = 2048;

/// Members that need an endpoint of another kind, each with its header and what SageMaker or the local cloud says of it.
const OF_OTHER_ENDPOINTS: [(&str, &str); 5] = [
    ("x-amzn-sagemaker-target-model", "is not a multi-model endpoint and does not support target model header"),
    (
        "x-amzn-sagemaker-target-container-hostname",
        "sends a request through all its containers: leave TargetContainerHostname out",
    ),
    ("x-amzn-sagemaker-inference-component", "has no inference components: leave InferenceComponentName out"),
    ("x-amzn-sagemaker-session-id", "keeps no sessions in the local cloud: leave SessionId out"),
    ("x-amzn-sagemaker-enable-explanations", "has no explainer: leave EnableExplanations out"),
];

/// Reads the members of a request to an endpoint: what the model gets, and the variant that is asked for. An error is the message of a
/// `ValidationError`.
fn read(endpoint: &str, headers: &HeaderMap) -> Result<(ModelRequest, Option<String>), String> {
    let mut members = Members::new(headers);
    let request = ModelRequest {
        content_type: members.media_type("contentType", "content-type"),
        accept: members.media_type("accept", "accept"),
        custom_attributes: members.custom_attributes(),
        inference_id: members.inference_id(),
        chunked: false,
    };
    let target = members.target_variant();
    let other = OF_OTHER_ENDPOINTS.iter().find(|(name, _)| members.has(name));
    members.done()?;
    match other {
        Some((_, why)) => Err(format!("Endpoint {endpoint} {why}.")),
        None => Ok((request, target)),
    }
}

/// The variant of a request: the one that it names, or the next one in turn.
fn choose<'a>(endpoint: &str, serving: &'a Serving, target: Option<&str>) -> Result<&'a ServingVariant, String> {
    let names = || serving.deployment.variant_names();
    match target {
        Some(target) => serving
            .variant(target)
            .ok_or_else(|| format!("Endpoint {endpoint} has no variant {target}: {} would work.", names())),
        None => serving.next().ok_or_else(|| {
            format!("Every variant of endpoint {endpoint} has the weight 0: a TargetVariant of {} would work.", names())
        }),
    }
}

/// Answers an invocation of a deployment.
pub(super) async fn invoke(endpoint: &str, serving: &Lease, headers: &HeaderMap, body: Bytes) -> Response {
    let chosen = read(endpoint, headers)
        .and_then(|(request, target)| Ok((request, choose(endpoint, serving, target.as_deref())?)));
    let (request, variant) = match chosen {
        Ok(chosen) => chosen,
        Err(message) => return validation(&message),
    };
    let permit = variant.limit.as_ref().map(|limit| limit.try_acquire());
    if let Some(Err(_)) = permit {
        let message = format!("Rate exceeded: the variant {} has as many requests as its MaxConcurrency", variant.name);
        return json_error(StatusCode::BAD_REQUEST, "ThrottlingException", &message);
    }
    let answered = async {
        let answer = variant.servers.invoke(&request, body, TIMEOUT).await?;
        let (content_type, attributes) = (answer.content_type.clone(), answer.custom_attributes());
        let (status, failed) = (answer.status, format!("Received {} from {}", answer.error_kind(), answer.container));
        Ok::<_, InvokeError>((status, failed, content_type, attributes, answer.collect().await?))
    };
    match answered.await {
        Ok((status, _, content_type, Ok(attributes), body)) if status.is_success() => {
            let mut response = body.into_response();
            let headers = response.headers_mut();
            headers.remove(header::CONTENT_TYPE);
            for (name, value) in [
                (header::CONTENT_TYPE, content_type),
                (CUSTOM_ATTRIBUTES, attributes),
                (INVOKED_VARIANT, Some(variant.name.clone())),
            ] {
                if let Some(value) = value.and_then(|text| text.parse().ok()) {
                    headers.insert(name, value);
                }
            }
            response
        }
        Ok((status, _, _, Err(broken), _)) if status.is_success() => {
            model_error(status.as_u16(), &broken.to_string(), "")
        }
        Ok((status, failed, _, _, body)) => {
            let original = String::from_utf8_lossy(&body);
            model_error(status.as_u16(), &format!("{failed} with message \"{original}\""), &original)
        }
        Err(error) => unanswered(&error),
    }
}

/// The answer to an invocation that the model server did not answer. SDKs repeat it after a 503, so only a server that got nothing is
/// unavailable.
fn unanswered(error: &InvokeError) -> Response {
    let (container, original) = match error {
        InvokeError::NotHealthy => {
            return json_error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &error.to_string());
        }
        InvokeError::TimedOut { container, .. } => (
            container,
            format!(
                "Your invocation timed out while waiting for a response from container {container}. Review the latency metrics for \
                 each container in Amazon CloudWatch, resolve the issue, and try again."
            ),
        ),
        InvokeError::Connection { container, .. } => (container, error.to_string()),
    };
    model_error(0, &format!("Received server error (0) from {container} with message \"{original}\""), &original)
}

/// A `ModelError`: what SageMaker says, and the container's own status and message. The status is 0 if it gave none.
fn model_error(status: u16, message: &str, original: &str) -> Response {
    let cut = |text: &str| text.chars().take(LONGEST_MESSAGE).collect::<String>();
    let body = json!({"Message": cut(message), "OriginalMessage": cut(original),
        "OriginalStatusCode": status, "LogStreamArn": ""});
    let mut response = (StatusCode::FAILED_DEPENDENCY, axum::Json(body)).into_response();
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static("ModelError"));
    response
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::body::collect;

    #[tokio::test]
    async fn a_timeout_is_an_error_of_the_model() {
        let response = unanswered(&InvokeError::TimedOut { container: "primary".to_owned(), timeout: TIMEOUT });
        assert_eq!(
            (response.status(), &response.headers()["x-amzn-errortype"]),
            (StatusCode::FAILED_DEPENDENCY, &HeaderValue::from_static("ModelError"))
        );
        let body = collect(response.into_body(), 10_000).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let original = body["OriginalMessage"].as_str().unwrap();
        assert!(
            original
                .starts_with("Your invocation timed out while waiting for a response from container primary. Review")
        );
        assert_eq!(body["Message"], format!("Received server error (0) from primary with message \"{original}\""));
        assert_eq!(body["OriginalStatusCode"], 0);
        assert_eq!(unanswered(&InvokeError::NotHealthy).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
