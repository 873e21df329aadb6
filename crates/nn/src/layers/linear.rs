//! `torch.nn.Linear`.

use burn::tensor::Tensor;

use super::loader::Loader;

/// `torch.nn.Linear` with a bias.
#[derive(Debug)]
pub struct Linear {
    /// Outputs by inputs.
    weight: Tensor<2>,
    bias: Tensor<1>,
}

impl Linear {
    /// From inputs to outputs.
    pub fn load(loader: &Loader, [inputs, outputs]: [usize; 2]) -> Self {
        Self { weight: loader.tensor("weight", [outputs, inputs]), bias: loader.tensor("bias", [outputs]) }
    }

    /// From `(rows, inputs)` to `(rows, outputs)`, with Burn's operations.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.clone().transpose()) + self.bias.clone().unsqueeze()
    }
}
