use burn::tensor::Tensor;
use nn::layers::{Execution, Loader};

/// StyleGAN2's linear layer, whose weights are scaled at every use ("equalized learning rate", Karras et al. 2018).
#[derive(Debug)]
pub(super) struct EqualLinear {
    /// Inputs by outputs, the transpose of the checkpoint's tensor.
    weight: Tensor<2>,
    bias: Tensor<2>,
    scale: f64,
    /// Whether the rows of a batch are computed one by one. Burn's product on the CPU takes the terms of a sum in another order
    /// when there are more rows.
    row_by_row: bool,
}

impl EqualLinear {
    pub(super) fn load(loader: &Loader, [inputs, outputs]: [usize; 2]) -> Self {
        Self {
            weight: loader.tensor("weight", [outputs, inputs]).transpose(),
            bias: loader.tensor("bias", [outputs]).reshape([1, outputs]),
            scale: (inputs as f64).sqrt().recip(),
            row_by_row: loader.execution() == Execution::Kernels,
        }
    }

    /// Batch by inputs to batch by outputs.
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [batch, _] = x.dims();
        if self.row_by_row && batch > 1 {
            return Tensor::cat((0..batch).map(|index| self.forward(x.clone().narrow(0, index, 1))).collect(), 0);
        }
        (x * self.scale).matmul(self.weight.clone()) + self.bias.clone()
    }
}
