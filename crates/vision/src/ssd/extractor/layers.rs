use burn::tensor::Tensor;
use nn::layers::{After, BatchNorm2d, Conv2d, Loader, SameConv2d};

/// A convolution of TensorFlow's without a bias, and a normalization.
#[derive(Debug)]
pub(super) struct ConvNorm {
    conv: Conv,
    norm: BatchNorm2d,
}

#[derive(Debug)]
enum Conv {
    Pointwise(Conv2d),
    Same(SameConv2d),
}

impl ConvNorm {
    /// Of single pixels.
    pub(super) fn pointwise(loader: &Loader, channels: [usize; 2], epsilon: f64) -> Self {
        Self::of(loader, Conv::Pointwise(Conv2d::load(loader, channels, 1, 1)), channels[1], epsilon)
    }

    /// With 3x3 kernels.
    pub(super) fn of_three(loader: &Loader, channels: [usize; 2], stride: usize, epsilon: f64) -> Self {
        Self::of(loader, Conv::Same(SameConv2d::load(loader, channels, 3, stride)), channels[1], epsilon)
    }

    /// With a 3x3 kernel for each of `channels`.
    pub(super) fn depthwise(loader: &Loader, channels: usize, stride: usize, epsilon: f64) -> Self {
        Self::of(loader, Conv::Same(SameConv2d::depthwise(loader, channels, 3, stride)), channels, epsilon)
    }

    fn of(loader: &Loader, conv: Conv, channels: usize, epsilon: f64) -> Self {
        Self { conv, norm: BatchNorm2d::with_epsilon(&loader.at("BatchNorm"), channels, epsilon) }
    }

    /// With `ReLU6`.
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.conv {
            Conv::Pointwise(conv) => conv.forward(x, None, &After::BatchNorm2dReLU6(&self.norm)),
            Conv::Same(conv) => conv.forward_relu6(x, &self.norm),
        }
    }
}

/// A convolution of single pixels and a normalization, without an activation.
#[derive(Debug)]
pub(super) struct Projection {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl Projection {
    pub(super) fn load(loader: &Loader, channels: [usize; 2], epsilon: f64) -> Self {
        let norm = BatchNorm2d::with_epsilon(&loader.at("BatchNorm"), channels[1], epsilon);
        Self { conv: Conv2d::load(loader, channels, 1, 1), norm }
    }

    /// Plus `others`, if there are any.
    pub(super) fn forward(&self, x: Tensor<4>, others: Option<Tensor<4>>) -> Tensor<4> {
        let after = After::BatchNorm2d(&self.norm);
        match others {
            Some(others) => self.conv.forward_add(x, others, &after),
            None => self.conv.forward(x, None, &after),
        }
    }
}
