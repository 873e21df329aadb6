//! The model server: SageMaker's contract for containers over the ageing engines.
//!
//! `GET /ping`, `POST /invocations`, `GET /metrics`. One thread owns the device and does all the work on pictures;
//! requests wait for it in a bounded queue.

mod answer_type;
mod body;
mod device;
mod health;
mod inference;
mod invocation;
mod metrics;
mod model;
mod npy;
mod refusal;
mod server;
mod settings;

pub use model::{DETECTOR, LANDMARKS, Model, ModelError, face_error_code, face_finder};
pub use server::{main, run};
pub use settings::{Settings, SettingsError};
