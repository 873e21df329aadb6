//! The ageing engines of Time Traveler: an aligned portrait becomes a strip of panels of [`PANEL`] pixels, one for each age.
//!
//! No HTTP, no AWS, no files except a model's.

mod engine;
mod panel;
mod portrait;
pub mod preview;
pub mod sam;
pub mod strip;

pub use engine::{CHECKPOINTS, Engine, EngineKind, LoadError, checkpoint_file};
pub use panel::{PANEL, to_panel};
pub use portrait::{Portrait, View};
