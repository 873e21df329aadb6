//! The model server: SageMaker's contract for containers, for any model.
//!
//! `GET /ping`, `POST /invocations`, `GET /metrics`, `GET /execution-parameters`. [`serve`] takes an [`InferenceHandler`], which
//! knows the model and its wire format; everything else is the same for all models. One worker thread owns the device. Requests
//! wait for it in a bounded queue and are batched dynamically: those that wait together share the model's steps.
//!
//! [`main`] is the program `serve`: it reads the environment and serves the handler of [`handlers`], as [`serve_by`] does. With the argument `train` it
//! trains a model: see [`training`].

mod batcher;
mod body;
mod buffers;
mod environment;
mod execution_parameters;
mod handler;
pub mod handlers;
mod head;
mod health;
pub mod heap;
mod invocation;
mod local_only;
mod log_line;
mod media_type;
mod metrics;
pub mod model_folder;
mod model_kind;
mod network_settings;
mod program;
mod refusal;
mod server;
mod settings;
mod state;
pub mod training;
mod worker;

pub use axum::http::StatusCode;
pub use buffers::Buffers;
pub use environment::{Environment, SettingsError};
pub use execution_parameters::BatchStrategy;
pub use handler::{Answer, Failure, InferenceHandler, Work};
pub use head::Head;
pub use health::Unhealthy;
pub use log_line::LogLine;
pub use media_type::{MediaType, preferred};
pub use model_kind::ModelKind;
pub use network_settings::NetworkSettings;
pub use nn::Stages;
pub use program::{main, serve_by};
pub use refusal::{Reason, Refusal};
pub use server::serve;
pub use settings::Settings;
