//! SageMaker Runtime: requests to endpoints, answered at once or queued.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use super::SageMaker;
use super::async_invocation::AsyncInvocation;
use super::endpoint::Lease;
use crate::ACCOUNT;
use crate::aws_endpoint::json_error;
use crate::body::collect;

/// The largest body of a real-time invocation: 25 MB.
const MAX_BODY: usize = 25 * 1024 * 1024;
/// The largest body of an asynchronous invocation that carries it inline.
const MAX_INLINE_BODY: usize = 128_000;
/// How long a real-time invocation may take.
const REAL_TIME_TIMEOUT: Duration = Duration::from_secs(60);

/// What a request says to the model server.
#[derive(Clone, Debug, Default)]
pub(super) struct ModelRequest {
    pub(super) content_type: Option<String>,
    pub(super) accept: Option<String>,
    pub(super) custom_attributes: Option<String>,
    pub(super) inference_id: Option<String>,
}

/// How an endpoint is invoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    RealTime,
    Asynchronous,
}

impl Manner {
    /// Endpoint and manner of a path such as `/endpoints/e/invocations`.
    pub(super) fn of(path: &str) -> Option<(&str, Self)> {
        match path.strip_prefix("/endpoints/")?.split_once('/')? {
            (name, "invocations") => Some((name, Self::RealTime)),
            (name, "async-invocations") => Some((name, Self::Asynchronous)),
            _ => None,
        }
    }
}

impl SageMaker {
    /// Answers an invocation. Unlike SageMaker's, endpoints with an asynchronous configuration take both kinds.
    pub(super) async fn invoke(&self, name: &str, manner: Manner, parts: &Parts, body: Body) -> Response {
        let limit = match manner {
            Manner::RealTime => MAX_BODY,
            Manner::Asynchronous => MAX_INLINE_BODY,
        };
        let body = match collect(body, limit).await {
            Ok(body) => body,
            Err(error) => return validation(&error.to_string()),
        };
        // One that does not serve yet, or no more, is not found either.
        let Some(hosted) = self.hosted(name) else { return not_found(name) };
        let Some(serving) = hosted.lease() else { return not_found(name) };
        match (manner, &serving.deployment.asynchronous) {
            (Manner::RealTime, _) => real_time(&serving, &parts.headers, body).await,
            (Manner::Asynchronous, None) => {
                let message = "it has no AsyncInferenceConfig. Please use InvokeEndpoint instead.";
                validation(&format!("Endpoint {name} of account {ACCOUNT} is not an asynchronous endpoint: {message}"))
            }
            (Manner::Asynchronous, Some(config)) => {
                match AsyncInvocation::accept(&hosted.name, config, &parts.headers, &body) {
                    Ok(invocation) => self.enqueue(&invocation),
                    Err(message) => validation(&message),
                }
            }
        }
    }
}

async fn real_time(serving: &Lease, headers: &HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let request = ModelRequest {
        content_type: text("content-type"),
        accept: text("accept"),
        custom_attributes: text("x-amzn-sagemaker-custom-attributes"),
        inference_id: text("x-amzn-sagemaker-inference-id"),
    };
    match serving.server.invoke(&request, body, REAL_TIME_TIMEOUT).await {
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
            let message = format!("Received {} from primary with message {original:?}", kind(answer.status));
            let body = json!({"Message": message, "OriginalMessage": original, "OriginalStatusCode": answer.status.as_u16(),
                "LogStreamArn": ""});
            let mut response = (StatusCode::FAILED_DEPENDENCY, axum::Json(body)).into_response();
            response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static("ModelError"));
            response
        }
        Err(error) => json_error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &error.to_string()),
    }
}

/// `client error (400)` or `server error (500)`.
pub(super) fn kind(status: StatusCode) -> String {
    let kind = if status.is_client_error() { "client" } else { "server" };
    format!("{kind} error ({})", status.as_u16())
}

pub(super) fn not_found(name: &str) -> Response {
    validation(&format!("Endpoint {name} of account {ACCOUNT} not found."))
}

fn validation(message: &str) -> Response {
    json_error(StatusCode::BAD_REQUEST, "ValidationError", message)
}
