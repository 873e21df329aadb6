//! The generator of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958, section 2 and appendix B) with fixed noise, as the
//! port by rosinality lays out its checkpoints.

use std::sync::Arc;

use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor, TensorData};
use nn::is_gpu;
use nn::kernels::{Direct, Epilogue, Prologue, Winograd2d, apply, convolve, merge};
use nn::layers::{self, Channelwise, Execution, Kernel, Loader, channels_last, host, leak};

use super::STYLE_DIM;
use super::equal_linear::EqualLinear;
use super::kernels::{self, AddRgb, Scale, ScaleToRgb, Styled, StyledConvolution, Upsample};

/// Added to sums of squares, so that no demodulation divides by zero.
const EPSILON: f64 = 1e-8;
/// The slope of every activation, and the factor that restores the variance after it.
const NEGATIVE_SLOPE: f64 = 0.2;
const GAIN: f64 = std::f64::consts::SQRT_2;
/// The blur along one axis, in eighths.
const BLUR: [f32; 4] = [1.0, 3.0, 3.0, 1.0];
/// Colour channels.
const RGB: usize = 3;
/// The smallest width of maps for Winograd's algorithms, in pixels.
const WINOGRAD: usize = 16;

/// The channels of the feature maps of a width in pixels.
fn channels(side: usize) -> usize {
    (32 * 1024 / side).min(512)
}

/// The multiplications of the convolutions for a picture of a width in pixels.
pub(super) fn multiplications(side: usize) -> u64 {
    let at = |side: usize| side * side;
    let to_rgb = |side: usize| at(side) * channels(side) * RGB;
    let scale = |side: usize| {
        let (inputs, outputs) = (channels(side / 2), channels(side));
        at(side / 2) * inputs * outputs * 9 + at(side) * outputs * outputs * 9 + to_rgb(side)
    };
    let first = at(4) * channels(4) * channels(4) * 9 + to_rgb(4);
    (first + (3..=side.ilog2()).map(|log| scale(1 << log)).sum::<usize>()) as u64
}

/// From styles to a picture.
#[derive(Debug)]
pub(super) struct Generator {
    input: Tensor<4>,
    conv1: StyledConv,
    to_rgb1: ToRgb,
    convs: Vec<StyledConv>,
    to_rgbs: Vec<ToRgb>,
}

impl Generator {
    /// For pictures of a width in pixels, a power of two.
    pub(super) fn load(loader: &Loader, side: usize) -> Self {
        let smallest = channels(4);
        let blur = Blur::new(loader.device());
        let noise = |index: usize| {
            let side = 1_usize << ((index + 5) / 2);
            loader.at("noises").tensor(&format!("noise_{index}"), [1, 1, side, side])
        };
        let mut convs = Vec::new();
        let mut to_rgbs = Vec::new();
        for (index, side) in (3..=side.ilog2()).map(|log| 1 << log).enumerate() {
            let (inputs, outputs) = (channels(side / 2), channels(side));
            let conv = |which| loader.at("convs").at(2 * index + which);
            convs.push(StyledConv::load(&conv(0), [inputs, outputs], noise(2 * index + 1), Some(blur.clone())));
            convs.push(StyledConv::load(&conv(1), [outputs; 2], noise(2 * index + 2), None));
            to_rgbs.push(ToRgb::load(&loader.at("to_rgbs").at(index), outputs, Some(blur.clone())));
        }
        Self {
            input: {
                let input = loader.at("input").tensor("input", [1, smallest, 4, 4]);
                if loader.execution() == Execution::Kernels { input.permute([0, 2, 3, 1]) } else { input }
            },
            conv1: StyledConv::load(&loader.at("conv1"), [smallest; 2], noise(0), None),
            to_rgb1: ToRgb::load(&loader.at("to_rgb1"), smallest, None),
            convs,
            to_rgbs,
        }
    }

    /// Styles `(batch, styles, 512)` to pictures `(batch, 3, side, side)`, most values of which are -1 to 1. The kernels of the
    /// CPU take a batch of one, and return `(1, side, side, 3)`.
    pub(super) fn forward(&self, latent: &Tensor<3>) -> Tensor<4> {
        let style = |index: usize| latent.clone().narrow(1, index, 1).squeeze_dim::<2>(1);
        let [batch, ..] = latent.dims();
        let mut x = self.conv1.forward(self.input.clone().repeat_dim(0, batch), style(0));
        let mut picture = self.to_rgb1.forward(x.clone(), style(1), None);
        let last = self.to_rgbs.len() - 1;
        for (index, (convs, to_rgb)) in self.convs.chunks_exact(2).zip(&self.to_rgbs).enumerate() {
            let first = 2 * index + 1;
            let [doubling, keeping, colours] = [first, first + 1, first + 2].map(style);
            let styled = convs[0].styled(doubling.clone()).zip(convs[1].styled(keeping.clone()));
            let scale = styled.and_then(|(doubling, keeping)| Scale::new(doubling, keeping));
            x = match (scale, &to_rgb.weight) {
                (Some(scale), Colours::Prepared(weight)) if index == last => {
                    let (to_rgb, style) = (weight.clone(), to_rgb.style(colours));
                    return merge(ScaleToRgb { scale, to_rgb, style }, x, picture);
                }
                (Some(scale), _) => apply(scale, x),
                (None, _) => convs[1].forward(convs[0].forward(x, doubling), keeping),
            };
            picture = to_rgb.forward(x.clone(), colours, Some(picture));
        }
        picture
    }
}

/// The scaling of a convolution's inputs by a style. It replaces a scaling of the weights, which a batch shares.
#[derive(Debug)]
struct Modulation {
    modulation: EqualLinear,
    scale: f64,
}

impl Modulation {
    /// For a convolution of `inputs` channels and a kernel of `side`.
    fn load(loader: &Loader, inputs: usize, side: usize) -> Self {
        let modulation = EqualLinear::load(&loader.at("modulation"), [STYLE_DIM, inputs]);
        Self { modulation, scale: ((inputs * side * side) as f64).sqrt().recip() }
    }

    /// Batch by inputs: the factor of every input channel.
    fn factors(&self, style: Tensor<2>) -> Tensor<2> {
        self.modulation.forward(style) * self.scale
    }
}

/// Outputs by inputs by kernel.
fn weight(loader: &Loader, [inputs, outputs]: [usize; 2], side: usize) -> Tensor<4> {
    let shape = [outputs, inputs, side, side];
    loader.at("conv").weights().reshaped("weight", [1, outputs, inputs, side, side], shape)
}

/// The weights of one convolution that replaces a transposed one with stride 2 and the blur after it. Its outputs are, for each
/// pixel, the four pixels in its place. It takes four times the multiplications, but no transposed convolution, which is slow on a
/// GPU, and no maps between the two.
fn phases(weight: Tensor<4>) -> Tensor<4> {
    let [outputs, inputs, ..] = weight.dims();
    let (device, dtype) = (weight.device(), weight.dtype());
    let values = host(weight);
    // Along one axis, the share that a weight has in the tap at `offset - 1` of a phase.
    let share = |phase: usize, offset: usize, tap: usize| {
        let blur = (tap + 1 + 2 * offset).checked_sub(phase + 2).and_then(|index| BLUR.get(index));
        blur.map_or(0.0, |eighths| eighths / 4.0)
    };
    let mut taps = [[0.0; 9]; 36];
    for (index, taps) in taps.iter_mut().enumerate() {
        let (phase, offset) = ([index / 18, index / 9 % 2], [index / 3 % 3, index % 3]);
        for (tap, factor) in taps.iter_mut().enumerate() {
            *factor = share(phase[0], offset[0], tap / 3) * share(phase[1], offset[1], tap % 3);
        }
    }
    let mut all = vec![0.0; 4 * values.len()];
    for (phase, all) in all.chunks_exact_mut(values.len()).enumerate() {
        for (all, kernel) in all.chunks_exact_mut(9).zip(values.chunks_exact(9)) {
            for (value, taps) in all.iter_mut().zip(&taps[9 * phase..]) {
                *value = kernel.iter().zip(taps).map(|(weight, factor)| weight * factor).sum();
            }
        }
    }
    Tensor::<4>::from_data(TensorData::new(all, [4 * outputs, inputs, 3, 3]), &device).cast(dtype)
}

/// Moves the four pixels of each pixel, which are groups of its channels, to their places.
fn doubled(maps: Tensor<4>) -> Tensor<4> {
    let [images, channels, height, width] = maps.dims();
    let maps = maps.permute([0, 2, 3, 1]).reshape([images, height, width, 2, 2, channels / 4]);
    let maps = maps.permute([0, 1, 3, 2, 4, 5]).reshape([images, 2 * height, 2 * width, channels / 4]);
    maps.permute([0, 3, 1, 2])
}

fn channelwise(factors: Tensor<2>) -> Tensor<4> {
    factors.unsqueeze_dims(&[2, 3])
}

/// A modulated and demodulated convolution of 3x3 with noise, bias and activation. With a blur, it doubles the size.
#[derive(Debug)]
struct StyledConv {
    weight: Kernel<StyledConvolution>,
    modulation: Modulation,
    /// Inputs by outputs: the sum of the squares of each kernel.
    squares: Tensor<2>,
    noise: Noise,
    activate: Channelwise,
    upsample: Option<Blur>,
    /// Whether the weights are those of [`phases`].
    phases: bool,
}

impl StyledConv {
    /// `noise` is `(1, 1, side, side)` for maps of that width.
    fn load(loader: &Loader, channels: [usize; 2], noise: Tensor<4>, upsample: Option<Blur>) -> Self {
        let [inputs, outputs] = channels;
        let weight = weight(loader, channels, 3);
        let squares = loader
            .weights()
            .derived([inputs, outputs], || weight.clone().powi_scalar(2).sum_dims_squeeze::<2, _>(&[2, 3]).transpose());
        let [.., side] = noise.dims();
        let in_phases = upsample.is_some() && is_gpu(loader.device());
        let weight = if in_phases { phases(weight) } else { weight };
        let kernel = Kernel::new(&loader.at("conv"), weight, |values| {
            Arc::new(match &upsample {
                Some(_) => StyledConvolution::Upsample(Arc::new(Upsample::new(values, outputs, inputs))),
                None if side >= WINOGRAD => StyledConvolution::Same(Arc::new(Winograd2d::new(values, outputs, inputs))),
                None => StyledConvolution::Direct(Direct::new(values, [outputs, inputs], 3, 1)),
            })
        });
        let noise = noise * loader.at("noise").tensor("weight", [1]).reshape([1, 1, 1, 1]);
        let bias = loader.at("activate").tensor("bias", [outputs]);
        Self {
            weight: kernel,
            modulation: Modulation::load(&loader.at("conv"), inputs, 3),
            squares,
            noise: match loader.execution() {
                Execution::Burn => Noise::Tensor(Box::new(noise)),
                Execution::Kernels => Noise::Values(host(noise)),
            },
            activate: Channelwise::new(bias, loader.execution()),
            upsample,
            phases: in_phases,
        }
    }

    /// The factors of inputs and of outputs.
    fn factors(&self, style: Tensor<2>) -> [Tensor<2>; 2] {
        let factors = self.modulation.factors(style);
        let demodulation = (factors.clone().powi_scalar(2).matmul(self.squares.clone()) + EPSILON).sqrt().recip();
        [factors, demodulation]
    }

    /// The operations before and after the convolution, for the kernels of the CPU.
    fn fused(&self, [factors, demodulation]: [Tensor<2>; 2]) -> (Prologue, Epilogue) {
        let [_, outputs] = demodulation.dims();
        let prologue = Prologue { scale: Some(host(factors)), shift: None };
        let epilogue = Epilogue {
            scale: Some(host(demodulation)),
            noise: Some(self.noise.values()),
            shift: Some(self.activate.values()),
            slope: Some(vec![NEGATIVE_SLOPE as f32; outputs].into()),
            gain: Some(GAIN as f32),
            ceiling: None,
        };
        (prologue, epilogue)
    }

    /// For the kernels of the CPU, if they compute the convolution.
    fn styled(&self, style: Tensor<2>) -> Option<Styled<StyledConvolution>> {
        let Kernel::Prepared(convolution) = &self.weight else { return None };
        let (prologue, epilogue) = self.fused(self.factors(style));
        Some(Styled { convolution: convolution.clone(), prologue, epilogue })
    }

    fn forward(&self, x: Tensor<4>, style: Tensor<2>) -> Tensor<4> {
        let [factors, demodulation] = self.factors(style);
        let weight = match &self.weight {
            Kernel::Plain(weight) => Tensor::clone(weight),
            Kernel::Prepared(convolution) => {
                let (prologue, epilogue) = self.fused([factors, demodulation]);
                return convolve(x, convolution.clone(), prologue, epilogue);
            }
        };
        let x = x * channelwise(factors);
        let x = match &self.upsample {
            None => layers::convolve(x, weight, 1),
            Some(_) if self.phases => doubled(layers::convolve(x, weight, 1)),
            Some(blur) => {
                let options = ConvTransposeOptions::new([2; 2], [0; 2], [0; 2], [1; 2], 1);
                blur.forward(conv_transpose2d(x, weight.swap_dims(0, 1), None, options))
            }
        };
        let x = x * channelwise(demodulation) + self.noise.tensor() + self.activate.of_maps();
        leak(x, |below| below * (1.0 - NEGATIVE_SLOPE)) * GAIN
    }
}

/// Noise, weighted: a value for each pixel, where the layer's [`Execution`] reads it.
#[derive(Debug)]
enum Noise {
    /// `(1, 1, side, side)`.
    Tensor(Box<Tensor<4>>),
    Values(Arc<[f32]>),
}

impl Noise {
    fn values(&self) -> Arc<[f32]> {
        match self {
            Self::Tensor(tensor) => host(Tensor::clone(tensor)),
            Self::Values(values) => values.clone(),
        }
    }

    fn tensor(&self) -> Tensor<4> {
        match self {
            Self::Tensor(tensor) => Tensor::clone(tensor),
            Self::Values(values) => {
                let side = values.len().isqrt();
                Tensor::from_data(TensorData::new(values.to_vec(), [1, 1, side, side]), &nn::Device::Cpu.burn())
            }
        }
    }
}

/// A picture of one scale, added to the upsampled one of the scale before.
#[derive(Debug)]
struct ToRgb {
    weight: Colours,
    modulation: Modulation,
    bias: Channelwise,
    upsample: Option<Blur>,
}

/// The weights of a convolution of 1x1 to three colours: a tensor, or prepared for the kernels of the CPU.
#[derive(Debug)]
enum Colours {
    Plain(Box<Tensor<4>>),
    Prepared(Arc<kernels::ToRgb>),
}

impl ToRgb {
    fn load(loader: &Loader, inputs: usize, upsample: Option<Blur>) -> Self {
        let weight = weight(loader, [inputs, RGB], 1);
        let modulation = Modulation::load(&loader.at("conv"), inputs, 1);
        let bias = loader.weights().reshaped("bias", [1, RGB, 1, 1], [RGB]);
        let bias = Channelwise::new(bias, loader.execution());
        let weight = match loader.execution() {
            Execution::Burn => Colours::Plain(Box::new(channels_last(weight))),
            Execution::Kernels => {
                let [red, green, blue] = *bias.values() else { unreachable!("three colours") };
                Colours::Prepared(Arc::new(kernels::ToRgb::new(&host(weight), [red, green, blue])))
            }
        };
        Self { weight, modulation, bias, upsample }
    }

    /// The factors of inputs, for the kernels of the CPU.
    fn style(&self, style: Tensor<2>) -> Prologue {
        Prologue { scale: Some(host(self.modulation.factors(style))), shift: None }
    }

    fn forward(&self, x: Tensor<4>, style: Tensor<2>, before: Option<Tensor<4>>) -> Tensor<4> {
        let weight = match &self.weight {
            Colours::Plain(weight) => Tensor::clone(weight),
            Colours::Prepared(to_rgb) => {
                let op = AddRgb { to_rgb: to_rgb.clone(), style: self.style(style) };
                return match before {
                    Some(before) => merge(op, x, before),
                    None => apply(op, x),
                };
            }
        };
        let factors = self.modulation.factors(style);
        let x = layers::convolve(x * channelwise(factors), weight, 1) + self.bias.of_maps();
        match (&self.upsample, before) {
            (Some(blur), Some(before)) => x + blur.upsample(before),
            _ => x,
        }
    }
}

/// The separable low-pass filter around every doubling of the size (`upfirdn2d` with [1, 3, 3, 1]), zeros beyond the edge.
#[derive(Clone, Debug)]
struct Blur {
    /// `(1, 1, 4, 4)`, of sum four, which keeps the mean of maps with zeros between their pixels.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_equal_a_transposed_convolution_and_a_blur() {
        let device = nn::Device::Cpu.burn();
        let tensor = |shape: [usize; 4]| {
            let values = (0..shape.iter().product::<usize>()).map(|index| (index * index % 17) as f32 - 8.0);
            Tensor::<4>::from_data(TensorData::new(values.collect(), shape), &device)
        };
        let (maps, weight) = (tensor([2, 3, 5, 7]), tensor([4, 3, 3, 3]));
        let options = ConvTransposeOptions::new([2; 2], [0; 2], [0; 2], [1; 2], 1);
        let transposed = conv_transpose2d(maps.clone(), weight.clone().swap_dims(0, 1), None, options);
        let expected = Blur::new(&device).forward(transposed);
        let found = doubled(layers::convolve(maps, phases(weight), 1));
        assert_eq!(found.dims(), [2, 4, 10, 14]);
        let furthest = (found - expected).abs().max().into_scalar::<f32>();
        assert!(furthest < 1e-3, "{furthest}");
    }
}
