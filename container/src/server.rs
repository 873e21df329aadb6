use std::future::Future;
use std::sync::Arc;

use aging::Engine;
use anyhow::Context;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::device::Device;
use crate::metrics::Metrics;
use crate::model::Model;
use crate::settings::Settings;
use crate::{inference, invocation};

/// What every request may need.
pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) device: Device,
    pub(crate) engine: &'static str,
    pub(crate) metrics: Arc<Metrics>,
}

/// Serves as the environment says until SIGTERM or SIGINT. Arguments (SageMaker gives `serve`) do not matter.
///
/// # Errors
/// A setting, a model or an address that cannot be used.
pub fn main() -> anyhow::Result<()> {
    log_to_stderr()?;
    let settings = Settings::from_env()?;
    // Two are plenty for HTTP: work on pictures has threads of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let address = (settings.host, settings.port);
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {}:{}", address.0, address.1))?;
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping: what has begun is finished first");
        };
        run(listener, settings, shutdown).await
    })
}

/// Serves on `listener` until `shutdown` is done, then finishes what has begun. The settings' host and port are the
/// caller's business.
///
/// # Errors
/// A model that cannot be used, or a listener that breaks.
pub async fn run(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let model = Model::load(settings.model_dir.as_deref(), settings.compute)?;
    let name = model.engine.name();
    match &model.engine {
        Engine::Preview(_) => tracing::warn!(
            model_dir = settings.model_dir.as_ref().map(|folder| folder.display().to_string()),
            "no model file (model.safetensors or model.pt) in the model folder: the preview engine is used"
        ),
        Engine::Sam(sam) => {
            tracing::info!(device = %sam.device(), output_size = sam.output_size(), "the model is loaded")
        }
    }
    let metrics = Arc::new(Metrics::new());
    let device = Device::start(settings.queue_length, metrics.clone(), move |order, wanted| {
        inference::infer(&model, order, wanted)
    })
    .context("cannot start the model's thread")?;
    tracing::info!(address = %listener.local_addr()?, model = name, "ready");
    let server = Arc::new(Server { settings, device, engine: name, metrics });
    let router = Router::new()
        .route("/ping", get(ping))
        .route("/invocations", post(invocation::handle))
        .route("/metrics", get(metrics_text))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(server);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await.context("the server broke")
}

async fn ping(State(server): State<Arc<Server>>) -> StatusCode {
    if server.device.alive() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn metrics_text(State(server): State<Arc<Server>>) -> Response {
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

async fn not_found() -> Response {
    let message = "there is GET /ping, POST /invocations and GET /metrics";
    (StatusCode::NOT_FOUND, Json(json!({"code": "NOT_FOUND", "message": message}))).into_response()
}

async fn wrong_method() -> Response {
    let message = "GET works on /ping and /metrics, POST on /invocations";
    (StatusCode::METHOD_NOT_ALLOWED, Json(json!({"code": "METHOD_NOT_ALLOWED", "message": message}))).into_response()
}

fn log_to_stderr() -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env()
        .context("RUST_LOG cannot be used: info, or container=debug, would work")?;
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::stderr).with_env_filter(filter).init();
    // A panic is caught and answered; its line belongs in the log like any other.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panic")));
    Ok(())
}
