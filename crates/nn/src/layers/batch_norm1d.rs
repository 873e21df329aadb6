//! `torch.nn.BatchNorm1d`.

use burn::tensor::Tensor;

use super::batch_norm2d::BatchNorm2d;
use super::loader::Loader;

/// `torch.nn.BatchNorm1d` on `(rows, features)`: a [`BatchNorm2d`] of maps with one pixel.
#[derive(Debug)]
pub struct BatchNorm1d(BatchNorm2d);

impl BatchNorm1d {
    /// For rows of `features`.
    pub fn load(loader: &Loader, features: usize) -> Self {
        Self(BatchNorm2d::load(loader, features))
    }

    /// With Burn's operations.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [rows, features] = x.dims();
        self.0.forward(x.reshape([rows, features, 1, 1])).reshape([rows, features])
    }
}
