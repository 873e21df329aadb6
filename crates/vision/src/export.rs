//! Networks as files of other programs: TensorFlow Lite and ONNX.
//!
//! A network describes itself as a [`Graph`], whose normalizations are part of its convolutions. Each format is written from it.

mod graph;
mod onnx;
mod post_processing;
mod quantization;
mod run;
mod tflite;

pub use graph::{Activation, Convolution, Graph, Kernel, Operation, Scores, Value, ValueId, Weights};
pub use onnx::{OPSET, onnx};
pub use post_processing::PostProcessing;
pub use quantization::Ranges;
pub use tflite::tflite;

#[cfg(test)]
pub(crate) use run::run;
