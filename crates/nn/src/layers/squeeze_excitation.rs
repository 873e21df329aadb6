//! Squeeze and excitation at the end of a residual unit.

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::module::{adaptive_avg_pool2d, max_pool2d};
use burn::tensor::ops::MaxPoolOptions;

use super::channelwise::host;
use super::conv2d::{After, Conv2d};
use super::loader::{Execution, Loader};
use crate::kernels::{self, ExciteAdd, merge};

/// Squeeze and excitation (Hu et al. 2018, arXiv 1709.01507): each channel is multiplied with a factor, which two layers without
/// biases, `fc1` and `fc2`, compute from the means of all channels.
#[derive(Debug)]
pub enum SqueezeExcitation {
    /// With Burn's operations.
    Plain {
        /// From channels to squeezed channels.
        fc1: Box<Conv2d>,
        /// From squeezed channels to channels.
        fc2: Box<Conv2d>,
    },
    /// With the kernels of the CPU.
    Prepared(Arc<kernels::SqueezeExcitation>),
}

impl SqueezeExcitation {
    /// For maps of `channels`, which are squeezed by the factor `reduction`.
    pub fn load(loader: &Loader, channels: usize, reduction: usize) -> Self {
        let squeezed = channels / reduction;
        if loader.execution() == Execution::Kernels {
            let of = |name: &str, [inputs, outputs]: [usize; 2]| {
                let weight: Tensor<4> = loader.at(name).tensor("weight", [outputs, inputs, 1, 1]);
                host(weight).to_vec()
            };
            let (fc1, fc2) = (of("fc1", [channels, squeezed]), of("fc2", [squeezed, channels]));
            return Self::Prepared(Arc::new(kernels::SqueezeExcitation::new(channels, fc1, fc2)));
        }
        Self::Plain {
            fc1: Box::new(Conv2d::load(&loader.at("fc1"), [channels, squeezed], 1, 1)),
            fc2: Box::new(Conv2d::load(&loader.at("fc2"), [squeezed, channels], 1, 1)),
        }
    }

    /// Scales the channels of `x`, and adds the first of each `stride` pixels of `others`, down and across.
    pub fn forward(&self, x: Tensor<4>, others: Tensor<4>, stride: usize) -> Tensor<4> {
        match self {
            Self::Plain { fc1, fc2 } => {
                let means = adaptive_avg_pool2d(x.clone(), [1, 1]);
                let squeezed = relu(fc1.forward(means, None, &After::Nothing));
                let others = match stride {
                    1 => others,
                    _ => max_pool2d(others, MaxPoolOptions::new([1; 2]).with_stride([stride; 2])),
                };
                x * sigmoid(fc2.forward(squeezed, None, &After::Nothing)) + others
            }
            Self::Prepared(layers) => merge(ExciteAdd { layers: layers.clone(), stride }, x, others),
        }
    }
}
