//! The weights of a convolution.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::loader::{Execution, Loader};
use crate::device::is_gpu;

/// The weights of a convolution: as a tensor for Burn's operations, or prepared as a `C` for the kernels of the CPU.
#[derive(Debug)]
pub enum Kernel<C: ?Sized> {
    /// Outputs by inputs by kernel.
    Plain(Box<Tensor<4>>),
    /// Prepared.
    Prepared(Arc<C>),
}

impl<C: ?Sized> Kernel<C> {
    /// `weight` is the tensor of that name in the loader's module: outputs by inputs by kernel.
    pub fn new(loader: &Loader, weight: Tensor<4>, prepare: impl FnOnce(&[f32]) -> Arc<C>) -> Self {
        // Gradients need the weights themselves.
        if loader.execution() == Execution::Burn || loader.weights().training().is_some() {
            return Self::Plain(Box::new(channels_last(weight)));
        }
        let convolution = prepare(floats(&weight.into_data()));
        loader.weights().release("weight");
        Self::Prepared(convolution)
    }
}

/// The values of a float32 tensor.
pub(super) fn floats(values: &TensorData) -> &[f32] {
    values.as_slice().expect("weights for the kernels are float32")
}

/// Weights with the channels innermost in memory, on a GPU, whose convolutions would else copy them at every run.
pub fn channels_last(weight: Tensor<4>) -> Tensor<4> {
    let [outputs, inputs, height, width] = weight.dims();
    if !is_gpu(&weight.device()) {
        return weight;
    }
    let values = weight.permute([0, 2, 3, 1]).reshape([outputs * height * width * inputs]);
    values.reshape([outputs, height, width, inputs]).permute([0, 3, 1, 2])
}
