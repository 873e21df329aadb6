//! `torch.nn.PReLU` and `torch.nn.LeakyReLU`.

use burn::tensor::Tensor;

use super::channelwise::Channelwise;
use super::loader::{Execution, Loader};

/// `torch.nn.PReLU` with a slope for each channel.
#[derive(Debug)]
pub struct PReLU {
    pub(super) weight: Channelwise,
}

impl PReLU {
    /// For maps of `channels`.
    pub fn load(loader: &Loader, channels: usize) -> Self {
        let execution = if loader.weights().training().is_some() { Execution::Burn } else { loader.execution() };
        Self { weight: Channelwise::new(loader.tensor("weight", [channels]), execution) }
    }

    /// With Burn's operations, on `(images, channels, height, width)`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let slope = self.weight.tensor();
        let [channels] = slope.dims();
        leak(x, |below| below * (-slope + 1.0).reshape([1, 1, 1, channels]))
    }
}

/// `torch.nn.LeakyReLU` and `torch.nn.PReLU` on `(images, channels, height, width)`. `removed` computes the part of values below
/// zero that is subtracted, on maps with the channels innermost. Burn's own operations use masks, and take ten times as long on a
/// GPU.
pub fn leak(maps: Tensor<4>, removed: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    // The layout in memory after a convolution on a GPU.
    let maps = maps.permute([0, 2, 3, 1]);
    let below = maps.clone().clamp(f32::MIN, 0.0);
    (maps - removed(below)).permute([0, 3, 1, 2])
}
