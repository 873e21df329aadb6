use std::future::{Future, IntoFuture};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

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
use tokio::sync::{Semaphore, oneshot};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::device::{Device, Order};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::model::Model;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::{inference, invocation};

/// How long requests may take that have begun when the server is told to stop: SageMaker kills it 30 seconds after.
const DRAINING: Duration = Duration::from_secs(25);

/// What every request may need.
pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) device: Device,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    /// A permit for each invocation that waits or is worked on.
    pub(crate) door: Semaphore,
    engine: Arc<OnceLock<&'static str>>,
}

impl Server {
    /// How many invocations are taken at once: those that wait, and one.
    pub(crate) fn places(settings: &Settings) -> usize {
        settings.queue_length + 1
    }

    /// The engine's name; nothing before the model is loaded.
    pub(crate) fn engine(&self) -> &'static str {
        self.engine.get().copied().unwrap_or_default()
    }

    /// Takes no more invocations, and waits for those that were taken.
    async fn drain(&self) {
        self.health.draining();
        let all = u32::try_from(Self::places(&self.settings)).unwrap_or(u32::MAX);
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

/// Serves on `listener` until `shutdown` is done, then takes no more and finishes what has begun, within 25 seconds. The
/// model is loaded meanwhile; until it has run once, `/ping` and invocations get 503. The settings' host and port are the caller's
/// business.
///
/// # Errors
/// A model that cannot be used, or a listener that breaks.
pub async fn run(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new());
    let health = Arc::new(Health::new(settings.wedged_after));
    let engine = Arc::new(OnceLock::new());
    let load = {
        let (settings, metrics, engine) = (settings.clone(), metrics.clone(), engine.clone());
        move || -> anyhow::Result<_> {
            let model = load(&settings)?;
            let name = model.engine.name();
            engine.get_or_init(|| name);
            let work =
                move |order: &Order, wanted: &dyn Fn() -> bool| inference::infer(&model, order, wanted, &metrics);
            Ok((work, name))
        }
    };
    let (device, loaded) = Device::start(settings.queue_length, metrics.clone(), health.clone(), load)
        .context("cannot start the model's thread")?;
    let address = listener.local_addr()?;
    let door = Semaphore::new(Server::places(&settings));
    let server = Arc::new(Server { settings, device, health, metrics, door, engine });
    let router = Router::new()
        .route("/ping", get(ping))
        .route("/invocations", post(invocation::handle))
        .route("/metrics", get(metrics_text))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(server.clone());

    let loading = async {
        match loaded.await {
            Ok(Ok(model)) => tracing::info!(%address, model, "ready"),
            Ok(Err(error)) => return Err(error),
            Err(_) => anyhow::bail!("the model's thread has ended: the log says why"),
        }
        std::future::pending().await
    };
    let (stopping, stopped) = oneshot::channel::<()>();
    let drained = async move {
        shutdown.await;
        drop(stopping);
        server.drain().await;
    };
    let overdue = async {
        drop(stopped.await);
        tokio::time::sleep(DRAINING).await;
        tracing::warn!("{} s are over: what has begun is given up", DRAINING.as_secs());
    };
    tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(drained).into_future() => served.context("the server broke"),
        failed = loading => failed,
        () = overdue => Ok(()),
    }
}

/// Loads the model and runs it once.
fn load(settings: &Settings) -> anyhow::Result<Model> {
    let model = Model::load(settings.model_dir.as_deref(), settings.compute)?;
    match &model.engine {
        Engine::Preview(_) => tracing::warn!(
            model_dir = settings.model_dir.as_ref().map(|folder| folder.display().to_string()),
            "no model file (model.safetensors or model.pt) in the model folder: the preview engine is used"
        ),
        Engine::Sam(sam) => {
            tracing::info!(device = %sam.device(), output_size = sam.output_size(), "the model is loaded")
        }
    }
    model.run_once().context("the model is loaded, but does not run")?;
    Ok(model)
}

async fn ping(State(server): State<Arc<Server>>) -> Response {
    match server.health.check() {
        Ok(()) => StatusCode::OK.into_response(),
        Err(unhealthy) => Refusal::from(unhealthy).into_response(),
    }
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
