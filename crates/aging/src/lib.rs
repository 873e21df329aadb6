//! The ageing engines of Time Traveler: an aligned portrait becomes a strip of panels of [`PANEL`] pixels, one for each age.
//!
//! No HTTP, no AWS, no files except a model's.

mod aligner;
mod engine;
mod face_models;
mod panel;
mod portrait;
pub mod preview;
pub mod sam;
pub mod strip;

pub use aligner::Aligner;
pub use engine::{CHECKPOINTS, Engine, EngineKind, LoadError, checkpoint_file, named_engine, needed_checkpoint};
pub use face_models::{DETECTOR, FaceModelError, LANDMARKS, NETWORKS, face_finder};
pub use panel::{PANEL, to_panel};
pub use portrait::{Portrait, View};
