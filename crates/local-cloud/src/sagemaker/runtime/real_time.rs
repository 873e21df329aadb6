//! `InvokeEndpoint`: the model server's answer is the invocation's.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::aws_error::json_error;
use crate::sagemaker::hosting::{Lease, ModelRequest};

/// How long an invocation may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Answers an invocation of a deployment.
pub(super) async fn invoke(serving: &Lease, headers: &HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let request = ModelRequest {
        content_type: text("content-type"),
        accept: text("accept"),
        custom_attributes: text("x-amzn-sagemaker-custom-attributes"),
        inference_id: text("x-amzn-sagemaker-inference-id"),
    };
    match serving.server.invoke(&request, body, TIMEOUT).await {
        Ok(answer) if answer.status.is_success() => {
            let mut response = answer.body.into_response();
            let headers = response.headers_mut();
            headers.remove(header::CONTENT_TYPE);
            if let Some(content_type) = answer.content_type.and_then(|text| text.parse().ok()) {
                headers.insert(header::CONTENT_TYPE, content_type);
            }
            if let Ok(variant) = serving.deployment.variant.parse() {
                headers.insert(HeaderName::from_static("x-amzn-invoked-production-variant"), variant);
            }
            response
        }
        Ok(answer) => {
            let original = String::from_utf8_lossy(&answer.body).into_owned();
            let message = format!("Received {} from primary with message {original:?}", answer.error_kind());
            let body = json!({"Message": message, "OriginalMessage": original, "OriginalStatusCode": answer.status.as_u16(),
                "LogStreamArn": ""});
            let mut response = (StatusCode::FAILED_DEPENDENCY, axum::Json(body)).into_response();
            response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static("ModelError"));
            response
        }
        Err(error) => json_error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &error.to_string()),
    }
}
