//! The models that this container serves: a handler each.

pub mod classifier;
pub mod face_aging;
pub mod face_detector;
pub mod faster_rcnn;
mod pictures;
mod python;
pub mod ssd;
