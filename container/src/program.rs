//! The container's program: the environment, the allocator, the handler, and then the server.

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::environment::Environment;
use crate::handler::InferenceHandler;
use crate::handlers::classifier::Classification;
use crate::handlers::face_aging::{self, FaceAging};
use crate::handlers::face_detector::{self, FaceDetection};
use crate::handlers::faster_rcnn::{self, ObjectDetection};
use crate::handlers::ssd;
use crate::model_kind::ModelKind;
use crate::network_settings::NetworkSettings;
use crate::settings::Settings;
use crate::{heap, server, training};

/// Serves the model that the environment names, until SIGTERM or SIGINT; or trains one, where the first argument is `train`.
/// SageMaker passes `serve` or `train`.
///
/// # Errors
/// A setting, a model or an address that cannot be used; or why a training failed.
pub fn main() -> anyhow::Result<()> {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "train") {
        return training::main();
    }
    serve_by(&Environment::of_this_process())
}

/// Serves the model that these variables name, until SIGTERM or SIGINT, with its log on stderr.
///
/// # Errors
/// A setting, a model or an address that cannot be used.
pub fn serve_by(environment: &Environment) -> anyhow::Result<()> {
    log_to_stderr()?;
    let settings = Settings::read(environment)?;
    match ModelKind::served(environment)? {
        ModelKind::FaceAging => run(settings, FaceAging::new(face_aging::Settings::read(environment)?)?),
        ModelKind::Classifier => run(settings, Classification::new(NetworkSettings::read(environment)?)?),
        ModelKind::FasterRcnn => run(settings, ObjectDetection::new(faster_rcnn::Settings::read(environment)?)?),
        ModelKind::Ssd => run(settings, ssd::ObjectDetection::new(NetworkSettings::read(environment)?)?),
        ModelKind::FaceDetector => run(settings, FaceDetection::new(face_detector::Settings::read(environment)?)?),
    }
}

fn run(settings: Settings, handler: impl InferenceHandler) -> anyhow::Result<()> {
    let on_cpu = handler.computes_on_cpu();
    heap::limit_arenas();
    if on_cpu {
        heap::keep_large_blocks();
    } else {
        heap::return_large_blocks();
    }
    // Two threads suffice for HTTP: decoding, the model and encoding have threads of their own.
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
        server::serve(listener, settings, handler, shutdown).await
    })
}

fn log_to_stderr() -> anyhow::Result<()> {
    let wanted = std::env::var_os(EnvFilter::DEFAULT_ENV).filter(|wanted| !wanted.is_empty());
    let wanted = wanted.unwrap_or_else(|| "info".into());
    // The compiler of GPU kernels logs its intermediate code at `info`: 200 MB at a first start.
    let filter = wanted.to_str().and_then(|wanted| format!("pliron=warn,{wanted}").parse::<EnvFilter>().ok());
    let filter =
        filter.with_context(|| format!("RUST_LOG={wanted:?} cannot be used: info, or container=debug, would work"))?;
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::stderr).with_env_filter(filter).init();
    // A panic is caught and answered. Its message belongs in the log.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panic")));
    Ok(())
}
