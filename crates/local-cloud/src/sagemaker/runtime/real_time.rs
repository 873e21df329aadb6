//! `InvokeEndpoint`: the model server's answer is the invocation's.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::aws_error::json_error;
use crate::sagemaker::hosting::{InvokeError, Lease, ModelRequest};

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
        chunked: false,
    };
    let answered = async {
        let answer = serving.server.invoke(&request, body, TIMEOUT).await?;
        let (status, kind, content_type) = (answer.status, answer.error_kind(), answer.content_type.clone());
        Ok::<_, InvokeError>((status, kind, content_type, answer.collect().await?))
    };
    match answered.await {
        Ok((status, _, content_type, body)) if status.is_success() => {
            let mut response = body.into_response();
            let headers = response.headers_mut();
            headers.remove(header::CONTENT_TYPE);
            if let Some(content_type) = content_type.and_then(|text| text.parse().ok()) {
                headers.insert(header::CONTENT_TYPE, content_type);
            }
            if let Ok(variant) = serving.deployment.variant.parse() {
                headers.insert(HeaderName::from_static("x-amzn-invoked-production-variant"), variant);
            }
            response
        }
        Ok((status, kind, _, body)) => {
            let original = String::from_utf8_lossy(&body).into_owned();
            let message = format!("Received {kind} from primary with message {original:?}");
            let body = json!({"Message": message, "OriginalMessage": original, "OriginalStatusCode": status.as_u16(),
                "LogStreamArn": ""});
            let mut response = (StatusCode::FAILED_DEPENDENCY, axum::Json(body)).into_response();
            response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static("ModelError"));
            response
        }
        Err(error) => json_error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &error.to_string()),
    }
}
