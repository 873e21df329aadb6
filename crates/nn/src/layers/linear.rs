//! `torch.nn.Linear`.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::channelwise::Channelwise;
use super::conv2d;
use super::kernel::Kernel;
use super::loader::{Execution, Loader};
use crate::kernels::{self, Convolution, Epilogue, Prologue};

/// `torch.nn.Linear` with a bias.
#[derive(Debug)]
pub struct Linear {
    weight: Kernel<dyn Convolution>,
    bias: Channelwise,
    outputs: usize,
}

impl Linear {
    /// From inputs to outputs.
    pub fn load(loader: &Loader, [inputs, outputs]: [usize; 2]) -> Self {
        let weight = loader.tensor::<2>("weight", [outputs, inputs]).reshape([outputs, inputs, 1, 1]);
        let weight =
            Kernel::new(loader, weight, |values| conv2d::pointwise(values, [outputs, inputs], 1, loader.budget()));
        let execution = if matches!(weight, Kernel::Plain(_)) { Execution::Burn } else { loader.execution() };
        Self { weight, bias: Channelwise::new(loader.tensor("bias", [outputs]), execution), outputs }
    }

    /// From `(rows, inputs)` to `(rows, outputs)`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [rows, inputs] = x.dims();
        match &self.weight {
            Kernel::Plain(weight) => {
                let weight = Tensor::clone(weight).reshape([self.outputs, inputs]);
                x.matmul(weight.transpose()) + self.bias.tensor().unsqueeze()
            }
            Kernel::Prepared(convolution) => {
                let epilogue = Epilogue { shift: Some(self.bias.values()), ..Epilogue::default() };
                let maps = x.reshape([1, 1, rows, inputs]);
                let maps = kernels::convolve(maps, Arc::clone(convolution), Prologue::default(), epilogue);
                maps.reshape([rows, self.outputs])
            }
        }
    }
}
