//! `InvokeEndpoint`: the model server's answer is the invocation's.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::aws_error::json_error;
use crate::sagemaker::hosting::{CUSTOM_ATTRIBUTES, InvokeError, Lease, ModelRequest};

/// How long an invocation may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Answers an invocation of a deployment.
pub(super) async fn invoke(serving: &Lease, headers: &HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let request = ModelRequest {
        content_type: text("content-type"),
        accept: text("accept"),
        custom_attributes: text(CUSTOM_ATTRIBUTES),
        inference_id: text("x-amzn-sagemaker-inference-id"),
        chunked: false,
    };
    let answered = async {
        let answer = serving.server.invoke(&request, body, TIMEOUT).await?;
        let (status, kind) = (answer.status, answer.error_kind());
        let headers = [
            (header::CONTENT_TYPE, answer.content_type.clone()),
            (HeaderName::from_static(CUSTOM_ATTRIBUTES), answer.custom_attributes.clone()),
        ];
        Ok::<_, InvokeError>((status, kind, headers, answer.collect().await?))
    };
    match answered.await {
        Ok((status, _, of_model, body)) if status.is_success() => {
            let mut response = body.into_response();
            let headers = response.headers_mut();
            headers.remove(header::CONTENT_TYPE);
            for (name, value) in of_model {
                if let Some(value) = value.and_then(|text| text.parse().ok()) {
                    headers.insert(name, value);
                }
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
