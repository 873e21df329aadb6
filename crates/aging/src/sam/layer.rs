//! The layers of PyTorch and of StyleGAN2 that the network is made of, under their fields' names there.

use std::sync::Arc;

use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::module::{adaptive_avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Tensor, TensorData};

use crate::checkpoint::Weights;
use crate::device::is_gpu;
use crate::kernels::{COLUMNS, Convolution, Direct, Epilogue, Excite, Merge, Nested, Prologue, convolve, merge};

/// What `BatchNorm2d` adds to a variance by default.
const EPSILON: f64 = 1e-5;

/// Which convolutions are worth the memory of transformed weights.
struct Budget {
    /// Up to how many weights four times as many are.
    f43: usize,
    /// And up to how many 1.8 times as many are.
    f23: usize,
    /// From how many pixels on, down and across, 1.8 times as many are for stride 2.
    half: usize,
}

/// For a network that runs for every age, and for one that runs once.
const GENEROUS: Budget = Budget { f43: 512 * 256 * 9, f23: 512 * 512 * 9, half: 64 };
const SPARING: Budget = Budget { f43: 128 * 128 * 9, f23: 512 * 256 * 9, half: 64 };

/// The values of a float32 tensor.
pub(super) fn floats(values: &TensorData) -> &[f32] {
    values.as_slice().expect("weights for the kernels are float32")
}

/// The values of a small tensor.
pub(super) fn host<const D: usize>(tensor: Tensor<D>) -> Arc<[f32]> {
    tensor.into_data().try_into_vec_as().expect("floating-point numbers convert to each other").into()
}

/// A number for each channel, on the device, and where the kernels find it.
#[derive(Debug)]
pub(super) struct Channelwise {
    tensor: Tensor<1>,
    values: Arc<[f32]>,
}

impl Channelwise {
    pub(super) fn new(tensor: Tensor<1>) -> Self {
        Self { values: host(tensor.clone()), tensor }
    }

    pub(super) fn values(&self) -> Option<Arc<[f32]>> {
        Some(self.values.clone())
    }

    pub(super) fn of_channels(&self) -> &[f32] {
        &self.values
    }

    /// For maps `(batch, channels, height, width)`.
    pub(super) fn of_maps(&self) -> Tensor<4> {
        let [channels] = self.tensor.dims();
        self.tensor.clone().reshape([1, channels, 1, 1])
    }
}

/// A convolution without this crate's kernels, padded by half of the side of its kernel.
pub(super) fn plain(maps: Tensor<4>, weight: Tensor<4>, stride: usize) -> Tensor<4> {
    let [.., side] = weight.dims();
    #[cfg(feature = "cuda")]
    if is_gpu(&maps.device()) {
        return crate::gpu::convolve(maps, weight, stride, side / 2);
    }
    conv2d(maps, weight, None, ConvOptions::new([stride; 2], [side / 2; 2], [1; 2], 1))
}

/// Weights as convolutions on a GPU read them, so that they need not be laid out anew for each: channels side by side.
pub(super) fn laid_out(weight: Tensor<4>) -> Tensor<4> {
    let [outputs, inputs, height, width] = weight.dims();
    if !is_gpu(&weight.device()) {
        return weight;
    }
    let values = weight.permute([0, 2, 3, 1]).reshape([outputs * height * width * inputs]);
    values.reshape([outputs, height, width, inputs]).permute([0, 3, 1, 2])
}

/// `torch.nn.LeakyReLU` and `torch.nn.PReLU`, given how much of what is below zero falls away. Burn's own take ten times as long on
/// a GPU, by masks.
pub(super) fn leak(maps: Tensor<4>, fallen: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    // As they lie in memory behind a convolution on a GPU.
    let maps = maps.permute([0, 2, 3, 1]);
    let below = maps.clone().clamp(f32::MIN, 0.0);
    (maps - fallen(below)).permute([0, 3, 1, 2])
}

/// The weights of a convolution: as they are, or prepared for the kernels of the CPU.
#[derive(Debug)]
pub(super) enum Kernel {
    Plain(Box<Tensor<4>>),
    Prepared(Arc<Convolution>),
}

impl Kernel {
    /// `weight` is the tensor of that name of a module: outputs by inputs by kernel.
    pub(super) fn new(weights: &Weights, weight: Tensor<4>, prepare: impl Fn(&[f32]) -> Convolution) -> Self {
        if !weights.prepares() {
            return Self::Plain(Box::new(laid_out(weight)));
        }
        let convolution = prepare(floats(&weight.into_data()));
        weights.release("weight");
        Self::Prepared(Arc::new(convolution))
    }
}

/// Weights, outputs by inputs by kernel, with zeros for more inputs.
fn with_inputs(weights: &[f32], outputs: usize, inputs: usize, more: usize) -> Vec<f32> {
    let taps = weights.len() / (outputs * inputs);
    let mut padded = vec![0.0; outputs * more * taps];
    for (padded, weights) in padded.chunks_exact_mut(more * taps).zip(weights.chunks_exact(inputs * taps)) {
        padded[..weights.len()].copy_from_slice(weights);
    }
    padded
}

/// What follows a convolution.
pub(super) enum After<'a> {
    Nothing,
    BatchNorm2d(&'a BatchNorm2d),
    PReLU(&'a PReLU),
    BatchNorm2dPReLU(&'a BatchNorm2d, &'a PReLU),
    /// With a slope.
    LeakyReLU(f32),
}

/// `torch.nn.Conv2d` with a square kernel, padded by half of it.
#[derive(Debug)]
pub(super) struct Conv2d {
    weight: Kernel,
    bias: Option<Channelwise>,
    stride: usize,
    outputs: usize,
}

impl Conv2d {
    pub(super) fn load(weights: &Weights, channels: [usize; 2], side: usize, stride: usize) -> Self {
        Self::of_maps(weights, channels, side, stride, 0)
    }

    /// For maps of about so many pixels, down and across.
    pub(super) fn of_maps(
        weights: &Weights,
        [inputs, outputs]: [usize; 2],
        side: usize,
        stride: usize,
        pixels: usize,
    ) -> Self {
        let weight = weights.tensor("weight", [outputs, inputs, side, side]);
        let kernel = Kernel::new(weights, weight, |values| {
            let inputs_there = inputs.next_multiple_of(COLUMNS);
            let padded;
            let values = if inputs_there == inputs {
                values
            } else {
                padded = with_inputs(values, outputs, inputs, inputs_there);
                &padded
            };
            let channels = [outputs, inputs_there];
            let budget = if weights.is_sparing() { &SPARING } else { &GENEROUS };
            match (side, stride) {
                (3, 1) if values.len() <= budget.f43 => Convolution::Same(Nested::new(values, outputs, inputs_there)),
                (3, 1) if values.len() <= budget.f23 => {
                    Convolution::SmallSame(Nested::new(values, outputs, inputs_there))
                }
                (3, 2) if pixels >= budget.half => Convolution::Half(Nested::new(values, outputs, inputs_there)),
                _ => Convolution::Direct(Direct::new(values, channels, side, stride)),
            }
        });
        Self { weight: kernel, bias: None, stride, outputs }
    }

    pub(super) fn with_bias(self, weights: &Weights) -> Self {
        Self { bias: Some(Channelwise::new(weights.tensor("bias", [self.outputs]))), ..self }
    }

    /// `before` is what comes before it, if anything does.
    pub(super) fn forward(&self, x: Tensor<4>, before: Option<&BatchNorm2d>, after: &After) -> Tensor<4> {
        match &self.weight {
            Kernel::Plain(weight) => {
                let x = before.map_or(x.clone(), |norm| norm.forward(x));
                let x = plain(x, Tensor::clone(weight), self.stride);
                let x = self.bias.as_ref().map_or(x.clone(), |bias| x + bias.of_maps());
                match after {
                    After::Nothing => x,
                    After::BatchNorm2d(norm) => norm.forward(x),
                    After::PReLU(activation) => activation.forward(x),
                    After::BatchNorm2dPReLU(norm, activation) => activation.forward(norm.forward(x)),
                    After::LeakyReLU(slope) => leak(x, |below| below * (1.0 - f64::from(*slope))),
                }
            }
            Kernel::Prepared(convolution) => {
                let prologue = before.map_or_else(Prologue::default, |norm| Prologue {
                    scale: norm.scale.values(),
                    shift: norm.shift.values(),
                });
                let plain = Epilogue { shift: self.bias.as_ref().and_then(Channelwise::values), ..Epilogue::default() };
                let normalized = |norm: &BatchNorm2d| Epilogue {
                    scale: norm.scale.values(),
                    shift: norm.shift.values(),
                    ..Epilogue::default()
                };
                let epilogue = match after {
                    After::Nothing => plain,
                    After::BatchNorm2d(norm) => normalized(norm),
                    After::PReLU(activation) => Epilogue { slope: activation.weight.values(), ..plain },
                    After::BatchNorm2dPReLU(norm, activation) => {
                        Epilogue { slope: activation.weight.values(), ..normalized(norm) }
                    }
                    After::LeakyReLU(slope) => Epilogue { slope: Some(vec![*slope; self.outputs].into()), ..plain },
                };
                convolve(x, convolution, prologue, epilogue)
            }
        }
    }
}

/// `torch.nn.BatchNorm2d` in evaluation: its running statistics as a factor and an offset for each channel.
#[derive(Debug)]
pub(super) struct BatchNorm2d {
    scale: Channelwise,
    shift: Channelwise,
}

impl BatchNorm2d {
    pub(super) fn load(weights: &Weights, channels: usize) -> Self {
        let of = |name| weights.tensor(name, [channels]);
        let (mean, variance): (Tensor<1>, Tensor<1>) = (of("running_mean"), of("running_var"));
        let scale = of("weight") / (variance + EPSILON).sqrt();
        let shift = of("bias") - mean * scale.clone();
        Self { scale: Channelwise::new(scale), shift: Channelwise::new(shift) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        x * self.scale.of_maps() + self.shift.of_maps()
    }
}

/// `torch.nn.PReLU` with a slope for each channel.
#[derive(Debug)]
pub(super) struct PReLU {
    weight: Channelwise,
}

impl PReLU {
    pub(super) fn load(weights: &Weights, channels: usize) -> Self {
        Self { weight: Channelwise::new(weights.tensor("weight", [channels])) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [channels] = self.weight.tensor.dims();
        leak(x, |below| below * (-self.weight.tensor.clone() + 1.0).reshape([1, 1, 1, channels]))
    }
}

/// Squeeze and excitation (Hu et al. 2018): every channel is weighted by what the means of all say.
#[derive(Debug)]
pub(super) enum SEModule {
    Plain { fc1: Box<Conv2d>, fc2: Box<Conv2d> },
    Prepared(Arc<Excite>),
}

impl SEModule {
    pub(super) fn load(weights: &Weights, channels: usize, reduction: usize) -> Self {
        let squeezed = channels / reduction;
        if weights.prepares() {
            let of = |name: &str, [inputs, outputs]: [usize; 2]| {
                let weight: Tensor<4> = weights.at(name).tensor("weight", [outputs, inputs, 1, 1]);
                host(weight).to_vec()
            };
            let (fc1, fc2) = (of("fc1", [channels, squeezed]), of("fc2", [squeezed, channels]));
            return Self::Prepared(Arc::new(Excite::new(channels, fc1, fc2)));
        }
        Self::Plain {
            fc1: Box::new(Conv2d::load(&weights.at("fc1"), [channels, squeezed], 1, 1)),
            fc2: Box::new(Conv2d::load(&weights.at("fc2"), [squeezed, channels], 1, 1)),
        }
    }

    /// With every channel weighted, plus the first of each `stride` pixels of others, down and across.
    pub(super) fn forward(&self, x: Tensor<4>, others: Tensor<4>, stride: usize) -> Tensor<4> {
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
            Self::Prepared(excite) => merge(x, others, Merge::Excite { excite: excite.clone(), stride }),
        }
    }
}

/// StyleGAN2's linear layer, whose weights are scaled when they are used ("equalized learning rate", Karras et al. 2018).
#[derive(Debug)]
pub(super) struct EqualLinear {
    /// Inputs by outputs, the other way round than the checkpoint has it.
    weight: Tensor<2>,
    bias: Tensor<2>,
    scale: f64,
    /// Whether each of a batch is computed alone, since Burn's product on the CPU takes the terms of a sum in another order when
    /// there are more rows.
    alone: bool,
}

impl EqualLinear {
    pub(super) fn load(weights: &Weights, [inputs, outputs]: [usize; 2]) -> Self {
        Self {
            weight: weights.tensor("weight", [outputs, inputs]).transpose(),
            bias: weights.tensor("bias", [outputs]).reshape([1, outputs]),
            scale: (inputs as f64).sqrt().recip(),
            alone: weights.prepares(),
        }
    }

    /// Batch by inputs to batch by outputs.
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [batch, _] = x.dims();
        if self.alone && batch > 1 {
            return Tensor::cat((0..batch).map(|index| self.forward(x.clone().narrow(0, index, 1))).collect(), 0);
        }
        (x * self.scale).matmul(self.weight.clone()) + self.bias.clone()
    }
}
