//! The layers of PyTorch and of StyleGAN2 that the network is made of, under their fields' names there.

use burn::tensor::Tensor;
use burn::tensor::activation::{prelu, relu, sigmoid};
use burn::tensor::module::{adaptive_avg_pool2d, conv2d};
use burn::tensor::ops::ConvOptions;

use crate::checkpoint::Weights;

/// What `BatchNorm2d` adds to a variance by default.
const EPSILON: f64 = 1e-5;

/// `torch.nn.Conv2d` with a square kernel, padded by half of it.
#[derive(Debug)]
pub(super) struct Conv2d {
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
}

impl Conv2d {
    pub(super) fn load(weights: &Weights, [inputs, outputs]: [usize; 2], kernel: usize, stride: usize) -> Self {
        let weight = weights.tensor("weight", [outputs, inputs, kernel, kernel]);
        Self { weight, bias: None, stride }
    }

    pub(super) fn with_bias(self, weights: &Weights) -> Self {
        let [outputs, ..] = self.weight.dims();
        Self { bias: Some(weights.tensor("bias", [outputs])), ..self }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [.., kernel] = self.weight.dims();
        let options = ConvOptions::new([self.stride; 2], [kernel / 2; 2], [1; 2], 1);
        conv2d(x, self.weight.clone(), self.bias.clone(), options)
    }
}

/// `torch.nn.BatchNorm2d` in evaluation: its running statistics as a factor and an offset for each channel.
#[derive(Debug)]
pub(super) struct BatchNorm2d {
    scale: Tensor<4>,
    shift: Tensor<4>,
}

impl BatchNorm2d {
    pub(super) fn load(weights: &Weights, channels: usize) -> Self {
        let of = |name| weights.tensor(name, [channels]);
        let (mean, variance): (Tensor<1>, Tensor<1>) = (of("running_mean"), of("running_var"));
        let scale = of("weight") / (variance + EPSILON).sqrt();
        let shift = of("bias") - mean * scale.clone();
        let channelwise = |tensor: Tensor<1>| tensor.reshape([1, channels, 1, 1]);
        Self { scale: channelwise(scale), shift: channelwise(shift) }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        x * self.scale.clone() + self.shift.clone()
    }
}

/// `torch.nn.PReLU` with a slope for each channel.
#[derive(Debug)]
pub(super) struct PReLU {
    weight: Tensor<1>,
}

impl PReLU {
    pub(super) fn load(weights: &Weights, channels: usize) -> Self {
        Self { weight: weights.tensor("weight", [channels]) }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        prelu(x, self.weight.clone())
    }
}

/// Squeeze and excitation (Hu et al. 2018): every channel is weighted by what the means of all say.
#[derive(Debug)]
pub(super) struct SEModule {
    fc1: Conv2d,
    fc2: Conv2d,
}

impl SEModule {
    pub(super) fn load(weights: &Weights, channels: usize, reduction: usize) -> Self {
        let squeezed = channels / reduction;
        Self {
            fc1: Conv2d::load(&weights.at("fc1"), [channels, squeezed], 1, 1),
            fc2: Conv2d::load(&weights.at("fc2"), [squeezed, channels], 1, 1),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let means = adaptive_avg_pool2d(x.clone(), [1, 1]);
        let squeezed = relu(self.fc1.forward(means));
        x * sigmoid(self.fc2.forward(squeezed))
    }
}

/// StyleGAN2's linear layer, whose weights are scaled when they are used ("equalized learning rate", Karras et al. 2018).
#[derive(Debug)]
pub(super) struct EqualLinear {
    /// Inputs by outputs, the other way round than the checkpoint has it.
    weight: Tensor<2>,
    bias: Tensor<2>,
    scale: f64,
}

impl EqualLinear {
    pub(super) fn load(weights: &Weights, [inputs, outputs]: [usize; 2]) -> Self {
        Self {
            weight: weights.tensor("weight", [outputs, inputs]).transpose(),
            bias: weights.tensor("bias", [outputs]).reshape([1, outputs]),
            scale: (inputs as f64).sqrt().recip(),
        }
    }

    /// Batch by inputs to batch by outputs.
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        (x * self.scale).matmul(self.weight.clone()) + self.bias.clone()
    }
}
