//! The formats of data sets: how each is opened, and how it is written.

pub mod coco;
pub mod ground_truth;
pub mod label_map;
mod lines;
mod losses;
mod number;
mod source;
pub mod tfrecord;

pub use source::{Options, Reading, Sink, Source};
