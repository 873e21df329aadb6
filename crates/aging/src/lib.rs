//! The ageing engines of Time Traveler, and what surrounds them: a picture is decoded, and the face
//! that was cut out of it is aged and laid out as a strip of panels of [`PANEL`] pixels.
//!
//! No HTTP, no AWS, no files but a model's.

mod aligner;
mod animation;
pub mod checkpoint;
mod decode;
mod device;
mod ending;
mod engine;
mod face_models;
#[cfg(feature = "cuda")]
mod gpu;
mod heap;
mod image_error;
mod jpeg;
mod kernels;
mod panel;
mod plane;
mod portrait;
pub mod preview;
pub mod sam;
mod stages;
pub mod strip;

pub use aligner::Aligner;
pub use decode::{MAX_PIXELS, decode};
pub use device::{Compute, Device, DeviceChoice, DeviceError, UnknownChoice};
pub use engine::{CHECKPOINTS, Engine, EngineKind, LoadError, checkpoint_file};
pub use face_models::{DETECTOR, FaceModelError, LANDMARKS, face_finder};
pub use image::RgbImage;
pub use image_error::ImageError;
pub use kernels::peak_operations;
pub use panel::{PANEL, to_panel};
pub use portrait::{Portrait, View};
pub use stages::Stages;
