//! Networks that detect faces and objects and classify pictures, and the geometry around them.
//!
//! A network is described once, by layers that are named as in its checkpoint. No wire format.

pub mod backbone;
pub mod boxes;
pub mod classifier;
pub mod dsfd;
pub mod export;
mod face_detector;
pub mod faster_rcnn;
pub mod retinaface;
pub mod ssd;
pub mod train;
mod vision_error;

pub use face_detector::{ColorOrder, Face, FaceDetector, FaceNetwork, Identity, Predictions, Prepared, identify};
pub use vision_error::VisionError;

#[cfg(test)]
mod golden;
