//! A convolution with prepared weights, as an operation on feature maps.

use std::fmt;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::extent::Extent;
use super::fused::{Epilogue, Prologue};
use super::ops::{MapOp, Maps, apply};

/// A convolution whose weights are prepared for a kernel of the CPU.
pub trait Convolution: fmt::Debug + Send + Sync {
    /// Output channels.
    fn outputs(&self) -> usize;

    /// The extent of the output.
    fn out(&self, extent: Extent) -> Extent;

    /// Convolves maps into `out`, every value of which is written.
    fn forward(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]);
}

/// Convolves float32 maps, `(images, height, width, channels)`, on the CPU.
pub fn convolve(
    maps: Tensor<4>,
    convolution: Arc<dyn Convolution>,
    prologue: Prologue,
    epilogue: Epilogue,
) -> Tensor<4> {
    apply(Convolve { convolution, prologue, epilogue }, maps)
}

#[derive(Debug)]
struct Convolve {
    convolution: Arc<dyn Convolution>,
    prologue: Prologue,
    epilogue: Epilogue,
}

impl MapOp for Convolve {
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize) {
        (self.convolution.out(inputs[0].extent), self.convolution.outputs())
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        let Maps { values, extent, .. } = inputs[0];
        self.convolution.forward(values, extent, &self.prologue, &self.epilogue, out);
    }
}
