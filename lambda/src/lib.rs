//! The two Lambda functions of the pipeline, as a library: each binary is a shim around one `main` here.
//!
//! - [`image_processor`]: takes uploads in, invokes the endpoint, splits its strips, sweeps up what was left behind
//! - [`job_tracker`]: the HTTP API on jobs

pub mod image_processor;
pub mod job_tracker;

mod clients;
mod clock;
mod deletion;
mod error;
mod invoke;
mod jobs;
mod orphans;
mod settings;
mod settle;
mod split;
mod sweep;
mod upload;

pub use clients::Clients;
pub use clock::Clock;
pub use error::HandlerError;
pub use image_processor::ImageProcessor;
pub use job_tracker::{HttpResponse, JobTracker};
pub use settings::{ImageFormat, Settings, SettingsError};
pub use split::{Encoded, SplitError, split};

/// Logs as JSON lines on stderr, as CloudWatch takes them; `RUST_LOG` chooses what.
fn init_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
}
