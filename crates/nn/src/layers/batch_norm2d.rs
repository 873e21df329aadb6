//! `torch.nn.BatchNorm2d`.

use burn::tensor::Tensor;

use super::channelwise::Channelwise;
use super::loader::Loader;

/// What `BatchNorm2d` adds to a variance by default.
const EPSILON: f64 = 1e-5;

/// `torch.nn.BatchNorm2d` in evaluation: its running statistics as a factor and an offset for each channel.
#[derive(Debug)]
pub struct BatchNorm2d {
    pub(super) scale: Channelwise,
    pub(super) shift: Channelwise,
}

impl BatchNorm2d {
    /// For maps of `channels`.
    pub fn load(loader: &Loader, channels: usize) -> Self {
        Self::with_epsilon(loader, channels, EPSILON)
    }

    /// The same with another number added to a variance.
    pub fn with_epsilon(loader: &Loader, channels: usize, epsilon: f64) -> Self {
        let of = |name| loader.tensor(name, [channels]);
        let (mean, variance): (Tensor<1>, Tensor<1>) = (of("running_mean"), of("running_var"));
        let scale = of("weight") / (variance + epsilon).sqrt();
        let shift = of("bias") - mean * scale.clone();
        let channelwise = |tensor| Channelwise::new(tensor, loader.execution());
        Self { scale: channelwise(scale), shift: channelwise(shift) }
    }

    /// With Burn's operations, on `(images, channels, height, width)`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        x * self.scale.of_maps() + self.shift.of_maps()
    }
}
