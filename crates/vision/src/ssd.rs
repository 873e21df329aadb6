//! SSD (Liu et al. 2016, arXiv 1512.02325) as in TensorFlow's Object Detection API: boxes of objects of some classes.
//!
//! `pipeline.config` describes the network, and a checkpoint has its variables: TensorFlow's own, a frozen graph, or safetensors with
//! TensorFlow's names.

mod anchors;
mod config;
mod detections;
mod detector;
mod extractor;
mod graph;
mod input;
mod module;
mod network;
mod tracing;
pub mod training;
mod variables;

pub use anchors::AnchorGenerator;
pub use config::{Backbone, Config, ConfigError, ExtractorConfig, NormConfig, PostProcessing, ScoreConverter};
pub use detections::Detection;
pub use detector::{Detector, Identity, identify, tensors};
pub use input::Input;
pub use variables::{as_variables, variable};

#[cfg(test)]
mod golden;
