//! The model server: SageMaker's contract for containers over the ageing engines.
//!
//! `GET /ping`, `POST /invocations`, `GET /metrics`. One thread owns the device; requests wait for it in a bounded queue, and
//! those that wait together share passes of the model.

mod aligner;
mod answer_type;
mod body;
mod device;
mod face_aging;
mod handler;
mod health;
mod heap;
mod invocation;
mod metrics;
mod npy;
mod refusal;
mod roster;
mod server;
mod settings;

pub use aligner::{Aligner, DETECTOR, FaceModelError, LANDMARKS, face_error_code, face_finder};
pub use answer_type::AnswerType;
pub use handler::{Failure, InferenceHandler, Request, Work};
pub use heap::return_large_blocks;
pub use refusal::Refusal;
pub use server::{main, run, serve};
pub use settings::{Settings, SettingsError};
