//! The generator of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958, section 2 and appendix B) with fixed noise, as the
//! port by rosinality lays out its checkpoints.

use burn::tensor::activation::leaky_relu;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor, TensorData};

use super::STYLE_DIM;
use super::layer::EqualLinear;
use crate::checkpoint::Weights;

/// What keeps a demodulation from dividing by nothing.
const EPSILON: f64 = 1e-8;
/// The slope of every activation, and the factor that makes up for what it takes.
const NEGATIVE_SLOPE: f64 = 0.2;
const GAIN: f64 = std::f64::consts::SQRT_2;
/// The blur along one axis, in eighths.
const BLUR: [f32; 4] = [1.0, 3.0, 3.0, 1.0];
/// Colour channels.
const RGB: usize = 3;

/// The channels of the feature maps of a width in pixels.
fn channels(side: usize) -> usize {
    (32 * 1024 / side).min(512)
}

/// From styles to a picture.
#[derive(Debug)]
pub(super) struct Generator {
    input: Tensor<4>,
    conv1: StyledConv,
    to_rgb1: ToRgb,
    convs: Vec<StyledConv>,
    to_rgbs: Vec<ToRgb>,
    noises: Vec<Tensor<4>>,
}

impl Generator {
    /// For pictures of a width in pixels, a power of two.
    pub(super) fn load(weights: &Weights, side: usize) -> Self {
        let smallest = channels(4);
        let sides = (3..=side.ilog2()).map(|log| 1 << log);
        let blur = Blur::new(weights.device());
        let mut convs = Vec::new();
        let mut to_rgbs = Vec::new();
        for (index, side) in sides.enumerate() {
            let (inputs, outputs) = (channels(side / 2), channels(side));
            let conv = |which| weights.at("convs").at(2 * index + which);
            convs.push(StyledConv::load(&conv(0), [inputs, outputs], Some(blur.clone())));
            convs.push(StyledConv::load(&conv(1), [outputs; 2], None));
            to_rgbs.push(ToRgb::load(&weights.at("to_rgbs").at(index), outputs, Some(blur.clone())));
        }
        let noise = |index| {
            let side = 1_usize << ((index + 5) / 2);
            weights.at("noises").tensor(&format!("noise_{index}"), [1, 1, side, side])
        };
        Self {
            input: weights.at("input").tensor("input", [1, smallest, 4, 4]),
            conv1: StyledConv::load(&weights.at("conv1"), [smallest; 2], None),
            to_rgb1: ToRgb::load(&weights.at("to_rgb1"), smallest, None),
            noises: (0..=convs.len()).map(noise).collect(),
            convs,
            to_rgbs,
        }
    }

    /// Styles `(batch, styles, 512)` to pictures `(batch, 3, side, side)`, most values of which are -1 to 1.
    pub(super) fn forward(&self, latent: &Tensor<3>) -> Tensor<4> {
        let style = |index: usize| latent.clone().narrow(1, index, 1).squeeze_dim::<2>(1);
        let [batch, ..] = latent.dims();
        let mut noises = self.noises.iter();
        let mut styled = |x: Tensor<4>, conv: &StyledConv, index: usize| {
            let noise = noises.next().expect("there is noise for every styled convolution");
            conv.forward(x, style(index), noise.clone())
        };
        let mut x = styled(self.input.clone().repeat_dim(0, batch), &self.conv1, 0);
        let mut picture = self.to_rgb1.forward(x.clone(), style(1), None);
        for (index, (convs, to_rgb)) in self.convs.chunks_exact(2).zip(&self.to_rgbs).enumerate() {
            let first = 2 * index + 1;
            x = styled(x, &convs[0], first);
            x = styled(x, &convs[1], first + 1);
            picture = to_rgb.forward(x.clone(), style(first + 2), Some(picture));
        }
        picture
    }
}

/// A convolution whose inputs a style scales, so that the same weights serve every picture of a batch.
#[derive(Debug)]
struct ModulatedConv2d {
    /// Outputs by inputs by kernel.
    weight: Tensor<4>,
    modulation: EqualLinear,
    scale: f64,
}

impl ModulatedConv2d {
    fn load(weights: &Weights, [inputs, outputs]: [usize; 2], kernel: usize) -> Self {
        let weight: Tensor<5> = weights.tensor("weight", [1, outputs, inputs, kernel, kernel]);
        Self {
            weight: weight.squeeze_dim(0),
            modulation: EqualLinear::load(&weights.at("modulation"), [STYLE_DIM, inputs]),
            scale: ((inputs * kernel * kernel) as f64).sqrt().recip(),
        }
    }

    /// Batch by inputs: the factor of every input channel.
    fn factors(&self, style: Tensor<2>) -> Tensor<2> {
        self.modulation.forward(style) * self.scale
    }
}

fn channelwise(factors: Tensor<2>) -> Tensor<4> {
    factors.unsqueeze_dims(&[2, 3])
}

/// A modulated and demodulated convolution of 3x3 with noise, bias and activation; the one with a blur doubles the size.
#[derive(Debug)]
struct StyledConv {
    conv: ModulatedConv2d,
    /// Inputs by outputs: the sum of the squares of each kernel.
    squares: Tensor<2>,
    noise: Tensor<4>,
    activate: Tensor<4>,
    upsample: Option<Blur>,
}

impl StyledConv {
    fn load(weights: &Weights, [inputs, outputs]: [usize; 2], upsample: Option<Blur>) -> Self {
        let mut conv = ModulatedConv2d::load(&weights.at("conv"), [inputs, outputs], 3);
        let squares = conv.weight.clone().powi_scalar(2).sum_dims_squeeze::<2, _>(&[2, 3]).transpose();
        if upsample.is_some() {
            conv.weight = conv.weight.swap_dims(0, 1);
        }
        let bias: Tensor<1> = weights.at("activate").tensor("bias", [outputs]);
        Self {
            conv,
            squares,
            noise: weights.at("noise").tensor("weight", [1]).reshape([1, 1, 1, 1]),
            activate: bias.reshape([1, outputs, 1, 1]),
            upsample,
        }
    }

    fn forward(&self, x: Tensor<4>, style: Tensor<2>, noise: Tensor<4>) -> Tensor<4> {
        let factors = self.conv.factors(style);
        let demodulation = (factors.clone().powi_scalar(2).matmul(self.squares.clone()) + EPSILON).sqrt().recip();
        let (x, weight) = (x * channelwise(factors), self.conv.weight.clone());
        let x = match &self.upsample {
            None => conv2d(x, weight, None, ConvOptions::new([1; 2], [1; 2], [1; 2], 1)),
            Some(blur) => {
                let options = ConvTransposeOptions::new([2; 2], [0; 2], [0; 2], [1; 2], 1);
                blur.forward(conv_transpose2d(x, weight, None, options))
            }
        };
        let x = x * channelwise(demodulation) + noise * self.noise.clone() + self.activate.clone();
        leaky_relu(x, NEGATIVE_SLOPE) * GAIN
    }
}

/// A picture of one scale, on top of the enlarged one of the scale before.
#[derive(Debug)]
struct ToRgb {
    conv: ModulatedConv2d,
    bias: Tensor<4>,
    upsample: Option<Blur>,
}

impl ToRgb {
    fn load(weights: &Weights, inputs: usize, upsample: Option<Blur>) -> Self {
        let conv = ModulatedConv2d::load(&weights.at("conv"), [inputs, RGB], 1);
        Self { conv, bias: weights.tensor("bias", [1, RGB, 1, 1]), upsample }
    }

    fn forward(&self, x: Tensor<4>, style: Tensor<2>, before: Option<Tensor<4>>) -> Tensor<4> {
        let x = x * channelwise(self.conv.factors(style));
        let x = conv2d(x, self.conv.weight.clone(), None, ConvOptions::new([1; 2], [0; 2], [1; 2], 1));
        let x = x + self.bias.clone();
        match (&self.upsample, before) {
            (Some(blur), Some(before)) => x + blur.upsample(before),
            _ => x,
        }
    }
}

/// The separable low-pass filter around every doubling of the size (`upfirdn2d` with [1, 3, 3, 1]), zeros beyond the edge.
#[derive(Clone, Debug)]
struct Blur {
    /// `(1, 1, 4, 4)`, of sum four: each new pixel has the brightness of an old one.
    kernel: Tensor<4>,
}

impl Blur {
    fn new(device: &Device) -> Self {
        let kernel: Vec<f32> = BLUR.iter().flat_map(|y| BLUR.map(|x| x * y / 16.0)).collect();
        Self { kernel: Tensor::from_data(TensorData::new(kernel, [1, 1, 4, 4]), device) }
    }

    fn kernels(&self, x: &Tensor<4>) -> (usize, Tensor<4>) {
        let [_, channels, ..] = x.dims();
        (channels, self.kernel.clone().cast(x.dtype()).repeat_dim(0, channels))
    }

    /// A transposed convolution's `2 n + 1` pixels to `2 n`.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (channels, kernels) = self.kernels(&x);
        conv2d(x, kernels, None, ConvOptions::new([1; 2], [1; 2], [1; 2], channels))
    }

    /// `n` pixels to `2 n`.
    fn upsample(&self, x: Tensor<4>) -> Tensor<4> {
        let (channels, kernels) = self.kernels(&x);
        conv_transpose2d(x, kernels, None, ConvTransposeOptions::new([2; 2], [1; 2], [0; 2], [1; 2], channels))
    }
}
