//! `torch.nn.BatchNorm2d`.

use burn::tensor::{Device, Tensor};

use super::channelwise::Channelwise;
use super::loader::{Execution, Loader};
use crate::pass::Training;
use crate::training::{Activation, Normalized, activate, normalize};

/// What `BatchNorm2d` adds to a variance by default.
const EPSILON: f64 = 1e-5;

/// `torch.nn.BatchNorm2d`.
///
/// In evaluation, and in training where its weight is frozen or the loader's [`Norms`](super::Norms) are fixed, its running statistics are a factor and an offset for each channel.
/// Else it normalizes by the statistics of the batch, and has the running ones changed at the end of the step.
#[derive(Debug)]
pub struct BatchNorm2d {
    pub(super) scale: Channelwise,
    pub(super) shift: Channelwise,
    batch: Option<Batch>,
}

/// The normalization by a batch's statistics.
#[derive(Debug)]
struct Batch {
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    training: Training,
    /// The share of a batch's statistics in the new running statistics.
    momentum: f64,
}

impl BatchNorm2d {
    /// For maps of `channels`.
    pub fn load(loader: &Loader, channels: usize) -> Self {
        Self::with_epsilon(loader, channels, EPSILON)
    }

    /// The same with another number added to a variance.
    pub fn with_epsilon(loader: &Loader, channels: usize, epsilon: f64) -> Self {
        let [weight, bias] = ["weight", "bias"].map(|name| loader.tensor::<1>(name, [channels]));
        let [mean, variance] = ["running_mean", "running_var"].map(|name| loader.buffer::<1>(name, [channels]));
        let training = loader.weights().training();
        let execution = if training.is_some() { Execution::Burn } else { loader.execution() };
        let channelwise = |tensor| Channelwise::new(tensor, execution);
        if let Some(training) = training.filter(|training| training.is_trained && !loader.norms().are_fixed) {
            let momentum = loader.norms().momentum;
            let nothing = || channelwise(Tensor::zeros([1], &Device::flex()));
            return Self {
                scale: nothing(),
                shift: nothing(),
                batch: Some(Batch { weight, bias, epsilon, training, momentum }),
            };
        }
        let scale = weight / (variance + epsilon).sqrt();
        let shift = bias - mean * scale.clone();
        Self { scale: channelwise(scale), shift: channelwise(shift), batch: None }
    }

    /// With Burn's operations, on `(images, channels, height, width)`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Some(batch) = &self.batch else { return x * self.scale.of_maps() + self.shift.of_maps() };
        let [images, channels, height, width] = x.dims();
        let mean = x.clone().mean_dims(&[0, 2, 3]);
        let difference = x - mean.clone();
        let variance = difference.clone().square().mean_dims(&[0, 2, 3]);
        batch.record(
            mean.inner().reshape([channels]),
            variance.clone().inner().reshape([channels]),
            images * height * width,
        );
        let of_maps = |tensor: &Tensor<1>| tensor.clone().reshape([1, channels, 1, 1]);
        difference / (variance + batch.epsilon).sqrt() * of_maps(&batch.weight) + of_maps(&batch.bias)
    }

    /// In training, on `(images, height, width, channels)`: plus `others`, then an activation.
    pub(super) fn train(&self, x: Tensor<4>, others: Option<Tensor<4>>, activation: Activation) -> Tensor<4> {
        let [images, height, width, channels] = x.dims();
        let Some(batch) = &self.batch else {
            let [scale, shift] = [&self.scale, &self.shift].map(|values| values.tensor().reshape([1, 1, 1, channels]));
            let x = x * scale + shift;
            let x = others.map_or(x.clone(), |others| x + others);
            return activate(x, activation);
        };
        let Normalized { maps, mean, variance } =
            normalize(x, batch.weight.clone(), batch.bias.clone(), batch.epsilon, others, activation);
        batch.record(mean, variance, images * height * width);
        maps
    }
}

impl Batch {
    /// `variance` is the biased one; PyTorch's running variance is the unbiased one.
    fn record(&self, mean: Tensor<1>, variance: Tensor<1>, count: usize) {
        let unbiased = count as f64 / count.saturating_sub(1).max(1) as f64;
        self.training.record(mean, variance * unbiased, self.momentum);
    }
}
