use burn::tensor::Tensor;
use nn::layers::{After, BatchNorm2d, Conv2d, Loader};

/// A convolution without a bias, and a normalization.
#[derive(Debug)]
pub struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl ConvNorm {
    /// Of a `Sequential`: the convolution is its layer 0, the normalization its layer 1.
    pub fn load(loader: &Loader, channels: [usize; 2], side: usize, stride: usize) -> Self {
        Self::named(&loader.at(0), &loader.at(1), channels, side, stride)
    }

    /// From the loaders of both layers.
    pub fn named(conv: &Loader, norm: &Loader, channels: [usize; 2], side: usize, stride: usize) -> Self {
        // The maps of a detector are large.
        let conv = Conv2d::of_maps(conv, channels, side, stride, nn::layers::Budget::GENEROUS.stride2);
        Self { conv, norm: BatchNorm2d::load(norm, channels[1]) }
    }

    /// The same, depthwise: with a 3x3 kernel for each of `channels`.
    pub fn depthwise(conv: &Loader, norm: &Loader, channels: usize, stride: usize) -> Self {
        Self { conv: Conv2d::depthwise(conv, channels, stride), norm: BatchNorm2d::load(norm, channels) }
    }

    /// The same for few channels, followed by `torch.nn.MaxPool2d(3, stride=2, padding=1)`.
    pub fn pooled(conv: &Loader, norm: &Loader, channels: [usize; 2], side: usize, stride: usize) -> Self {
        Self { conv: Conv2d::pooled(conv, channels, side, stride), norm: BatchNorm2d::load(norm, channels[1]) }
    }

    /// With the bias of the convolution's module, whose loader this is.
    pub fn with_bias(self, conv: &Loader) -> Self {
        Self { conv: self.conv.with_bias(conv), ..self }
    }

    /// Without an activation.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.forward(x, None, &After::BatchNorm2d(&self.norm))
    }

    /// With an activation of this slope below zero: 0 is `ReLU`.
    pub fn forward_leaky(&self, x: Tensor<4>, slope: f32) -> Tensor<4> {
        self.conv.forward(x, None, &After::BatchNorm2dLeakyReLU(&self.norm, slope))
    }

    /// Plus other maps, then `ReLU`.
    pub fn forward_add(&self, x: Tensor<4>, others: Tensor<4>) -> Tensor<4> {
        self.conv.forward_add(x, others, &After::BatchNorm2dLeakyReLU(&self.norm, 0.0))
    }
}
