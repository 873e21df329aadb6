//! The Lambda functions, as a library: each binary is a shim around one `main` here.
//!
//! - [`image_processor`]: starts jobs from uploads, invokes the endpoint, splits its strips, sweeps, and collects orphans
//! - [`job_tracker`]: the HTTP API for jobs
//! - [`authorizer`]: says who asks the REST API, where the tokens are of another issuer than a user pool

pub mod authorizer;
pub mod image_processor;
pub mod job_tracker;

mod answer;
mod buffers;
mod caller;
mod clients;
mod clock;
mod deletion;
mod error;
mod invoke;
mod jobs;
mod objects;
mod orphans;
mod panel_format;
mod quota;
mod settings;
mod settle;
mod split;
mod strip_reader;
mod sweep;
mod upload;

pub use answer::AnswerError;
pub use clients::Clients;
pub use clock::Clock;
pub use error::HandlerError;
pub use image_processor::ImageProcessor;
pub use job_tracker::{HttpResponse, JobTracker};
pub use panel_format::{PanelFormat, PanelFormatError};
pub use settings::{Settings, SettingsError, Tenancy, TenancyError, UploadLength};
pub use split::{Encoded, SplitError, Splitter, split};

/// Logs JSON lines to stderr, the format for CloudWatch. `RUST_LOG` sets the levels.
fn init_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
}
