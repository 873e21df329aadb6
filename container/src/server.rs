use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::TokioTimer;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, oneshot};
use tracing_subscriber::EnvFilter;

use crate::device::Device;
use crate::face_aging::FaceAging;
use crate::handler::InferenceHandler;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::{heap, invocation};

/// How long requests may take that have begun when the server is told to stop: SageMaker kills it 30 seconds after.
const DRAINING: Duration = Duration::from_secs(25);

/// The largest head of a request: several times what SageMaker sends.
const MAX_HEAD: usize = 64 * 1024;
/// How long a connection may take for a request's head, and be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Pictures that are decoded and aligned at once: some memory each, and enough to keep a device busy.
const INPUTS_AT_ONCE: usize = 2;

/// What every request may need.
pub(crate) struct Server<H: InferenceHandler> {
    pub(crate) handler: Arc<H>,
    pub(crate) settings: Settings,
    pub(crate) device: Device<H::Work>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    /// A permit for each invocation that waits or is worked on.
    pub(crate) door: Semaphore,
    /// A permit for each picture that is decoded and aligned.
    pub(crate) inputs: Arc<Semaphore>,
}

/// How many invocations are taken at once: those that wait, and one.
fn places(settings: &Settings) -> usize {
    settings.queue_length + 1
}

impl<H: InferenceHandler> Server<H> {
    /// Takes no more invocations, and waits for those that were taken.
    async fn drain(&self) {
        self.health.draining();
        let all = u32::try_from(places(&self.settings)).unwrap_or(u32::MAX);
        drop(self.door.acquire_many(all).await);
    }
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

/// Serves face ageing on `listener` until `shutdown` is done, then takes no more and finishes what has begun, within 25 seconds.
/// The model is loaded meanwhile; until it has run once, `/ping` and invocations get 503. The settings' host and port are the
/// caller's business.
///
/// # Errors
/// A model that cannot be used, or a listener that breaks.
pub async fn run(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let handler = FaceAging::new(settings.clone())?;
    serve(listener, settings, handler, shutdown).await
}

/// Serves anything else in the same way. The settings' folders are the handler's business.
///
/// # Errors
/// As [`run`].
pub async fn serve<H: InferenceHandler>(
    listener: TcpListener,
    settings: Settings,
    handler: H,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    heap::return_large_blocks();
    let metrics = Arc::new(Metrics::new());
    let health = Arc::new(Health::new(settings.wedged_after));
    let handler = Arc::new(handler);
    let places = places(&settings);
    let (device, loaded) = Device::start(handler.clone(), places, settings.batch_size, metrics.clone(), health.clone())
        .context("cannot start the model's thread")?;
    let address = listener.local_addr()?;
    let door = Semaphore::new(places);
    let inputs = Arc::new(Semaphore::new(INPUTS_AT_ONCE));
    let server = Arc::new(Server { handler, settings, device, health, metrics, door, inputs });
    let router = Router::new()
        .route("/ping", get(ping::<H>))
        .route("/invocations", post(invocation::handle::<H>))
        .route("/metrics", get(metrics_text::<H>))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(server.clone());

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
    let overdue = async {
        drop(stopped.await);
        tokio::time::sleep(DRAINING).await;
        tracing::warn!("{} s are over: what has begun is given up", DRAINING.as_secs());
    };
    tokio::select! {
        served = served => served.context("the server broke"),
        failed = loading => failed,
        () = overdue => Ok(()),
    }
}

async fn ping<H: InferenceHandler>(State(server): State<Arc<Server<H>>>) -> Response {
    match server.health.check() {
        Ok(()) => StatusCode::OK.into_response(),
        Err(unhealthy) => Refusal::from(unhealthy).into_response(),
    }
}

async fn metrics_text<H: InferenceHandler>(State(server): State<Arc<Server<H>>>) -> Response {
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
    let wanted = std::env::var_os(EnvFilter::DEFAULT_ENV).filter(|wanted| !wanted.is_empty());
    let wanted = wanted.unwrap_or_else(|| "info".into());
    // The compiler of a GPU's kernels takes all that it makes on the way for news: 200 MB at a first start.
    let filter = wanted.to_str().and_then(|wanted| format!("pliron=warn,{wanted}").parse::<EnvFilter>().ok());
    let filter = filter.context("RUST_LOG cannot be used: info, or container=debug, would work")?;
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::stderr).with_env_filter(filter).init();
    // A panic is caught and answered; its line belongs in the log like any other.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panic")));
    Ok(())
}
