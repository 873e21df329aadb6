//! The context module of SSH (Najibi et al. 2017, arXiv 1708.03979).

use burn::tensor::Tensor;
use nn::layers::{Execution, Loader};

use crate::backbone::ConvNorm;

/// Larger kernels as sequences of 3x3 ones: half of the channels see 3x3 pixels, a quarter 5x5 and a quarter 7x7.
#[derive(Debug)]
pub(super) struct ContextModule {
    conv3x3: ConvNorm,
    conv5x5: [ConvNorm; 2],
    conv7x7: [ConvNorm; 2],
    slope: f32,
    execution: Execution,
}

impl ContextModule {
    /// From `channels` to as many. `slope` is that of its inner activations below zero.
    pub(super) fn load(loader: &Loader, channels: usize, slope: f32) -> Self {
        let (half, quarter) = (channels / 2, channels / 4);
        let conv = |name, channels| ConvNorm::load(&loader.at(name), channels, 3, 1);
        Self {
            conv3x3: conv("conv3X3", [channels, half]),
            conv5x5: [conv("conv5X5_1", [channels, quarter]), conv("conv5X5_2", [quarter; 2])],
            conv7x7: [conv("conv7X7_2", [quarter; 2]), conv("conv7x7_3", [quarter; 2])],
            slope,
            execution: loader.execution(),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Self { conv3x3, conv5x5: [shared, conv5x5], conv7x7: [first, second], slope, execution } = self;
        let wider = shared.forward_leaky(x.clone(), *slope);
        // The activation after the concatenation is a plain one.
        let five = conv5x5.forward_leaky(wider.clone(), 0.0);
        let seven = second.forward_leaky(first.forward_leaky(wider, *slope), 0.0);
        execution.concatenate([conv3x3.forward_leaky(x, 0.0), five, seven])
    }
}
