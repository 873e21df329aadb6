//! SageMaker Runtime: endpoints of one instance each, invoked at once or by way of a queue.

mod async_invocation;
mod model_server;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::json;

use crate::CloudError;
use crate::aws_endpoint::{json_error, not_implemented};
use crate::body::collect;
use crate::child::Spawner;
use crate::journal::Journal;
use crate::s3::ObjectStore;
use crate::sns::Sns;
use crate::stack::Endpoint;
use async_invocation::AsyncInvocation;
use model_server::{InvokeError, ModelServer};

/// The largest body of a real-time invocation: 25 MB.
const MAX_BODY: usize = 25 * 1024 * 1024;
/// The largest body of an asynchronous invocation that carries it inline.
const MAX_INLINE_BODY: usize = 128_000;
/// How long a real-time invocation may take.
const REAL_TIME_TIMEOUT: Duration = Duration::from_secs(60);

/// What a request says to the model server.
#[derive(Clone, Debug, Default)]
struct ModelRequest {
    content_type: Option<String>,
    accept: Option<String>,
    custom_attributes: Option<String>,
    inference_id: Option<String>,
}

struct Hosted {
    endpoint: Endpoint,
    server: ModelServer,
}

pub(crate) struct SageMaker {
    endpoints: BTreeMap<String, Hosted>,
    store: Arc<ObjectStore>,
    journal: Arc<Journal>,
    sns: Sns,
}

impl SageMaker {
    /// Starts the model servers, waits until all are healthy, and begins to work on the queues.
    pub(crate) async fn start(
        endpoints: &[Endpoint],
        spawner: &Spawner,
        logs: &Path,
        store: Arc<ObjectStore>,
        journal: Arc<Journal>,
        sns: Sns,
    ) -> Result<Arc<Self>, CloudError> {
        let mut hosted = BTreeMap::new();
        for endpoint in endpoints {
            let server = ModelServer::start(endpoint, spawner.clone(), logs).await?;
            hosted.insert(endpoint.name.clone(), Hosted { endpoint: endpoint.clone(), server });
        }
        let sagemaker = Arc::new(Self { endpoints: hosted, store, journal, sns });
        for name in sagemaker.endpoints.keys() {
            tokio::spawn(Arc::clone(&sagemaker).work(name.clone()));
        }
        Ok(sagemaker)
    }

    pub(crate) async fn stop(&self) {
        for hosted in self.endpoints.values() {
            hosted.server.stop().await;
        }
    }

    /// Answers a request to SageMaker Runtime.
    pub(crate) async fn call(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let operation = path.strip_prefix("/endpoints/").and_then(|rest| rest.split_once('/'));
        let (Some((name, operation @ ("invocations" | "async-invocations"))), &Method::POST) =
            (operation, &parts.method)
        else {
            let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
            return not_implemented(&format!("SageMaker: {} {path}", target.unwrap_or(parts.method.as_str())));
        };
        let Some(hosted) = self.endpoints.get(name) else {
            return validation(&format!("Endpoint {name} of account {} not found.", crate::ACCOUNT));
        };
        let limit = if operation == "invocations" { MAX_BODY } else { MAX_INLINE_BODY };
        let body = match collect(body, limit).await {
            Ok(body) => body,
            Err(error) => return validation(&error.to_string()),
        };
        if operation == "invocations" {
            real_time(hosted, &parts.headers, body).await
        } else {
            match AsyncInvocation::accept(&hosted.endpoint, &parts.headers, &body) {
                Ok(invocation) => self.enqueue(&invocation),
                Err(message) => validation(&message),
            }
        }
    }
}

async fn real_time(hosted: &Hosted, headers: &HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let request = ModelRequest {
        content_type: text("content-type"),
        accept: text("accept"),
        custom_attributes: text("x-amzn-sagemaker-custom-attributes"),
        inference_id: text("x-amzn-sagemaker-inference-id"),
    };
    match hosted.server.invoke(&request, body, REAL_TIME_TIMEOUT).await {
        Ok(answer) if answer.status.is_success() => {
            let mut response = answer.body.into_response();
            let headers = response.headers_mut();
            headers.remove(header::CONTENT_TYPE);
            if let Some(content_type) = answer.content_type.and_then(|text| text.parse().ok()) {
                headers.insert(header::CONTENT_TYPE, content_type);
            }
            let variant = HeaderName::from_static("x-amzn-invoked-production-variant");
            headers.insert(variant, HeaderValue::from_static("primary"));
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
fn kind(status: StatusCode) -> String {
    let kind = if status.is_client_error() { "client" } else { "server" };
    format!("{kind} error ({})", status.as_u16())
}

fn validation(message: &str) -> Response {
    json_error(StatusCode::BAD_REQUEST, "ValidationError", message)
}
