//! A number for each channel.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::loader::Execution;

/// A number for each channel, where the layers' [`Execution`] reads it.
#[derive(Debug)]
pub enum Channelwise {
    /// For Burn's operations.
    Tensor(Box<Tensor<1>>),
    /// For the kernels of the CPU.
    Values(Arc<[f32]>),
}

impl Channelwise {
    /// Of a tensor.
    pub fn new(tensor: Tensor<1>, execution: Execution) -> Self {
        match execution {
            Execution::Burn => Self::Tensor(Box::new(tensor)),
            Execution::Kernels => Self::Values(host(tensor)),
        }
    }

    /// As values in memory.
    pub fn values(&self) -> Arc<[f32]> {
        match self {
            Self::Tensor(tensor) => host(Tensor::clone(tensor)),
            Self::Values(values) => values.clone(),
        }
    }

    /// As a tensor.
    pub fn tensor(&self) -> Tensor<1> {
        match self {
            Self::Tensor(tensor) => Tensor::clone(tensor),
            Self::Values(values) => {
                Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &crate::Device::Cpu.burn())
            }
        }
    }

    /// As a tensor for maps `(images, channels, height, width)`.
    pub fn of_maps(&self) -> Tensor<4> {
        let tensor = self.tensor();
        let [channels] = tensor.dims();
        tensor.reshape([1, channels, 1, 1])
    }
}

/// The values of a small tensor, as float32.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Arc<[f32]> {
    tensor.into_data().try_into_vec_as().expect("floating-point numbers convert to each other").into()
}
