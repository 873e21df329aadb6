//! What every route of the server needs.

use std::io;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pipeline::invocation::CUSTOM_ATTRIBUTES_HEADER;
use tokio::sync::{RwLock, Semaphore};

use crate::body::Bodies;
use crate::handler::{Answer, InferenceHandler};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::refusal::{Reason, Refusal};
use crate::settings::Settings;
use crate::worker::{Loaded, Worker};

/// How many payloads are decoded at the same time: enough to keep a device busy. Each takes memory.
const INPUTS_AT_ONCE: usize = 2;

/// The state of a server.
pub(crate) struct ServerState<H: InferenceHandler> {
    pub(crate) handler: Arc<H>,
    pub(crate) settings: Settings,
    pub(crate) worker: Worker<H>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    /// The limits of bodies. They arrive before their invocation is admitted.
    pub(crate) bodies: Bodies,
    /// An admission permit for each invocation that waits or is served.
    pub(crate) admission: Semaphore,
    /// Read by each invocation that has begun, from the first byte of its body to its answer.
    pub(crate) begun: RwLock<()>,
    /// A permit for each payload that is decoded.
    pub(crate) inputs: Arc<Semaphore>,
}

impl<H: InferenceHandler> ServerState<H> {
    /// Starts the worker, which begins to load the model.
    pub(crate) fn start(settings: Settings, handler: H) -> io::Result<(Self, Loaded)> {
        let (handler, metrics) = (Arc::new(handler), Arc::new(Metrics::new(H::METRICS_PREFIX)));
        let health = Arc::new(Health::new(settings.wedged_after));
        let capacity = settings.capacity();
        let (worker, loaded) = Worker::start(handler.clone(), capacity, metrics.clone(), health.clone())?;
        let (admission, inputs) = (Semaphore::new(capacity), Arc::new(Semaphore::new(INPUTS_AT_ONCE)));
        let limit = settings.max_request_bytes.unwrap_or(H::MAX_REQUEST_BYTES);
        // As many bodies fit into memory as are admitted.
        let bodies = Bodies::new(capacity, limit, settings.body_timeout);
        let begun = RwLock::new(());
        Ok((Self { handler, settings, worker, health, metrics, bodies, admission, begun, inputs }, loaded))
    }

    /// Begins no more invocations, and waits for those that have begun.
    pub(crate) async fn drain(&self) {
        self.health.draining();
        drop(self.begun.write().await);
    }

    /// The largest request body in bytes.
    pub(crate) fn max_request_bytes(&self) -> usize {
        self.settings.max_request_bytes.unwrap_or(H::MAX_REQUEST_BYTES)
    }

    /// The handler's refusal for a reason of the server's.
    pub(crate) fn refusal(&self, reason: impl Into<Reason>) -> Refusal {
        self.handler.refusal(&reason.into())
    }

    /// An answer of the handler.
    pub(crate) fn respond(&self, answer: Answer) -> Response {
        match self.handler.buffers() {
            Some(buffers) => {
                let (headers, body) = answer.into_parts();
                (headers, buffers.lend(body)).into_response()
            }
            None => answer.into_response(),
        }
    }

    /// A refusal as the handler writes it.
    pub(crate) fn refuse(&self, refusal: &Refusal) -> Response {
        let mut response = (refusal.status, self.handler.refuse(refusal)).into_response();
        if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl Answer {
    /// Its headers and its body. A header that cannot be sent is left out, and logged.
    fn into_parts(self) -> (HeaderMap, Vec<u8>) {
        let attributes = HeaderName::from_static(CUSTOM_ATTRIBUTES_HEADER);
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::CONTENT_TYPE, Some(self.media_type)), (attributes, self.custom_attributes)] {
            match value.map(HeaderValue::try_from) {
                None => {}
                Some(Ok(value)) => _ = headers.insert(name, value),
                Some(Err(error)) => tracing::error!(%name, %error, "a header of the handler's answer cannot be sent"),
            }
        }
        (headers, self.body)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        self.into_parts().into_response()
    }
}
