use burn::tensor::Tensor;
use nn::checkpoint::CheckpointError;
use nn::layers::{After, BatchNorm2d, Conv2d, SameConv2d};

use crate::export::{Activation, ValueId};
use crate::ssd::module::Module;
use crate::ssd::tracing::{Layer, Tracing};

/// A convolution of TensorFlow's without a bias, and a normalization.
#[derive(Debug)]
pub(super) struct ConvNorm {
    conv: Conv,
    norm: BatchNorm2d,
    layer: Layer,
}

#[derive(Debug)]
enum Conv {
    Pointwise(Conv2d),
    Same(SameConv2d),
}

impl ConvNorm {
    /// Of single pixels.
    pub(super) fn pointwise(module: &Module, channels: [usize; 2], epsilon: f64) -> Self {
        let conv = Conv::Pointwise(Conv2d::load(module.loader(), channels, 1, 1));
        Self::of(module, conv, channels[1], 1, epsilon)
    }

    /// With 3x3 kernels.
    pub(super) fn of_three(module: &Module, channels: [usize; 2], stride: usize, epsilon: f64) -> Self {
        let conv = Conv::Same(SameConv2d::load(module.loader(), channels, 3, stride));
        Self::of(module, conv, channels[1], stride, epsilon)
    }

    /// With a 3x3 kernel for each of `channels`.
    pub(super) fn depthwise(module: &Module, channels: usize, stride: usize, epsilon: f64) -> Self {
        let conv = Conv::Same(SameConv2d::depthwise(module.loader(), channels, 3, stride));
        Self::of(module, conv, channels, stride, epsilon)
    }

    fn of(module: &Module, conv: Conv, channels: usize, stride: usize, epsilon: f64) -> Self {
        let norm = BatchNorm2d::with_epsilon(module.at("BatchNorm").loader(), channels, epsilon);
        Self { conv, norm, layer: Layer::with_norm(module, stride, epsilon) }
    }

    /// With `ReLU6`.
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.conv {
            Conv::Pointwise(conv) => conv.forward(x, None, &After::BatchNorm2dReLU6(&self.norm)),
            Conv::Same(conv) => conv.forward_relu6(x, &self.norm),
        }
    }

    pub(super) fn trace(&self, tracing: &mut Tracing, x: ValueId) -> Result<ValueId, CheckpointError> {
        tracing.convolution(&self.layer, x, Activation::Relu6)
    }
}

/// A convolution of single pixels and a normalization, without an activation.
#[derive(Debug)]
pub(super) struct Projection {
    conv: Conv2d,
    norm: BatchNorm2d,
    layer: Layer,
}

impl Projection {
    pub(super) fn load(module: &Module, channels: [usize; 2], epsilon: f64) -> Self {
        let norm = BatchNorm2d::with_epsilon(module.at("BatchNorm").loader(), channels[1], epsilon);
        let conv = Conv2d::load(module.loader(), channels, 1, 1);
        Self { conv, norm, layer: Layer::with_norm(module, 1, epsilon) }
    }

    /// Plus `others`, if there are any.
    pub(super) fn forward(&self, x: Tensor<4>, others: Option<Tensor<4>>) -> Tensor<4> {
        let after = After::BatchNorm2d(&self.norm);
        match others {
            Some(others) => self.conv.forward_add(x, others, &after),
            None => self.conv.forward(x, None, &after),
        }
    }

    pub(super) fn trace(&self, tracing: &mut Tracing, x: ValueId) -> Result<ValueId, CheckpointError> {
        tracing.convolution(&self.layer, x, Activation::None)
    }
}
