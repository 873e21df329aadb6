//! The routes, and the server's life from its start to its last answer.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::TokioTimer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::handler::InferenceHandler;
use crate::settings::Settings;
use crate::state::ServerState;
use crate::{execution_parameters, invocation, local_only};

/// How long invocations may take that have begun when the server is asked to stop. SageMaker kills it after 30 seconds.
const DRAINING: Duration = Duration::from_secs(25);

/// How often the buffers of answers are freed if none was used.
const IDLE: Duration = Duration::from_secs(60);

/// The largest head of a request in bytes: several times what SageMaker sends.
const MAX_HEAD: usize = 64 * 1024;
/// How long a connection may take for the head of a request, and may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves a model on `listener` until `shutdown` is done. Then the server admits no more invocations, and finishes those that
/// have begun within 25 seconds. The model is loaded after the start; until it has run once, `/ping` and invocations get 503.
/// The caller has bound the listener; `host` and `port` of the settings are not read here.
///
/// # Errors
/// The model cannot be used, or the listener breaks.
pub async fn serve<H: InferenceHandler>(
    listener: TcpListener,
    settings: Settings,
    handler: H,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let (server, loaded) = ServerState::start(settings, handler).context("cannot start the model's thread")?;
    let server = Arc::new(server);
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/ping", get(ping::<H>))
        .route("/invocations", post(invocation::handle::<H>))
        .route("/metrics", get(metrics::<H>))
        .route("/execution-parameters", get(execution_parameters::<H>))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(server.clone());
    let router = if address.ip().is_loopback() {
        local_only::send_at_once(&listener);
        router.layer(middleware::from_fn(local_only::refuse_foreign))
    } else {
        router
    };

    let model = server.handler.name();
    let loading = async {
        match loaded.await {
            Ok(Ok(())) => tracing::info!(%address, model, "ready"),
            Ok(Err(error)) => return Err(error),
            Err(_) => anyhow::bail!("the model's thread has ended: the log says why"),
        }
        std::future::pending().await
    };
    let (stopping, stopped) = oneshot::channel::<()>();
    let mut http = axum_server::from_tcp(listener.into_std()?)?.http1_only();
    let handle = axum_server::Handle::new();
    let mut head = http.http_builder().http1();
    head.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD);
    let serving = http.handle(handle.clone()).serve(router.into_make_service());
    let drained = async {
        shutdown.await;
        drop(stopping);
        server.drain().await;
        handle.graceful_shutdown(None);
    };
    let served = async { tokio::join!(serving, drained).0 };
    let freeing = async {
        let Some(buffers) = server.handler.buffers() else { return std::future::pending().await };
        let mut ticks = tokio::time::interval(IDLE);
        loop {
            ticks.tick().await;
            buffers.free_if_idle();
        }
    };
    let overdue = async {
        drop(stopped.await);
        tokio::time::sleep(DRAINING).await;
        tracing::warn!("{} s are over: what has begun is given up", DRAINING.as_secs());
    };
    tokio::select! {
        served = served => served.context("the server broke"),
        failed = loading => failed,
        () = freeing => Ok(()),
        () = overdue => Ok(()),
    }
}

async fn ping<H: InferenceHandler>(State(server): State<Arc<ServerState<H>>>) -> Response {
    match server.health.check() {
        Ok(()) => StatusCode::OK.into_response(),
        Err(unhealthy) => server.refuse(&server.refusal(unhealthy)),
    }
}

async fn metrics<H: InferenceHandler>(State(server): State<Arc<ServerState<H>>>) -> Response {
    match server.metrics.text() {
        Ok(text) => {
            let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, media_type)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn execution_parameters<H: InferenceHandler>(State(server): State<Arc<ServerState<H>>>) -> Json<Value> {
    let (capacity, bytes) = (server.settings.capacity(), server.max_request_bytes());
    Json(execution_parameters::json(server.handler.batch_strategy(), capacity, bytes))
}

async fn not_found() -> Response {
    let message = "there is GET /ping, POST /invocations, GET /metrics and GET /execution-parameters";
    (StatusCode::NOT_FOUND, Json(json!({"code": "NOT_FOUND", "message": message}))).into_response()
}

async fn wrong_method() -> Response {
    let message = "GET works on /ping, /metrics and /execution-parameters, POST on /invocations";
    (StatusCode::METHOD_NOT_ALLOWED, Json(json!({"code": "METHOD_NOT_ALLOWED", "message": message}))).into_response()
}
