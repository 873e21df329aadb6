//! `torch.nn.Conv2d`, with the layers before and after it.

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use super::batch_norm2d::BatchNorm2d;
use super::channelwise::Channelwise;
use super::kernel::Kernel;
use super::loader::{Budget, Execution, Loader};
use super::prelu::{PReLU, leak};
use crate::kernels::gemm::COLUMNS;
use crate::kernels::{
    self, Convolution, Depthwise, Direct, Epilogue, F23, F43, F63, PadChannels, Padding, Patches, Phases, Pointwise,
    Pooled, Prologue, Strassen, Stride2, Stride2F42, Strided7x7, Winograd, Winograd2d, apply,
};
use crate::training::{self, Activation, Form, activate, with_operations};

/// The layers after a convolution.
#[derive(Clone, Copy, Debug)]
pub enum After<'a> {
    /// None.
    Nothing,
    /// A normalization.
    BatchNorm2d(&'a BatchNorm2d),
    /// An activation.
    PReLU(&'a PReLU),
    /// A normalization, then an activation.
    BatchNorm2dPReLU(&'a BatchNorm2d, &'a PReLU),
    /// An activation with this slope.
    LeakyReLU(f32),
    /// A normalization, then an activation with this slope.
    BatchNorm2dLeakyReLU(&'a BatchNorm2d, f32),
    /// A normalization, then `ReLU6`.
    BatchNorm2dReLU6(&'a BatchNorm2d),
}

/// `torch.nn.Conv2d` with a square kernel of an odd side, padded so that the kernel's centre is on every pixel, or as TensorFlow does.
#[derive(Debug)]
pub struct Conv2d {
    weight: Kernel<dyn Convolution>,
    bias: Option<Channelwise>,
    form: Form,
    outputs: usize,
    /// Whether it trains on maps with the channels innermost.
    is_innermost: bool,
    /// Whether the maps are pooled after the layers after the convolution.
    is_pooled: bool,
}

impl Conv2d {
    /// From inputs to outputs, without a bias.
    pub fn load(loader: &Loader, channels: [usize; 2], side: usize, stride: usize) -> Self {
        Self::of_maps(loader, channels, side, stride, 0)
    }

    /// The same for maps of about `width` pixels, down and across.
    pub fn of_maps(loader: &Loader, [inputs, outputs]: [usize; 2], side: usize, stride: usize, width: usize) -> Self {
        let padding = Padding::Centred;
        Self::of_form(loader, Form { inputs, side, stride, padding, dilation: 1, depthwise: false }, outputs, width)
    }

    /// From inputs to outputs with 3x3 kernels of stride 1, without a bias, with `dilation` pixels from tap to tap.
    pub fn dilated(loader: &Loader, [inputs, outputs]: [usize; 2], dilation: usize) -> Self {
        let padding = Padding::Centred;
        Self::of_form(loader, Form { inputs, side: 3, stride: 1, padding, dilation, depthwise: false }, outputs, 0)
    }

    /// With a 3x3 kernel for each of `channels` (`groups=channels`), without a bias.
    pub fn depthwise(loader: &Loader, channels: usize, stride: usize) -> Self {
        Self::of_channels(loader, channels, 3, stride, Padding::Centred)
    }

    /// From inputs to outputs, without a bias, with TensorFlow's padding `SAME`: with a stride of 2, an even number of pixels is
    /// padded at the right and lower edges alone.
    pub fn same(loader: &Loader, [inputs, outputs]: [usize; 2], side: usize, stride: usize) -> Self {
        let padding = Padding::Same;
        Self::of_form(loader, Form { inputs, side, stride, padding, dilation: 1, depthwise: false }, outputs, 0)
    }

    /// With a 3x3 or 5x5 kernel for each of `channels`, without a bias, with TensorFlow's padding `SAME`.
    pub fn same_depthwise(loader: &Loader, channels: usize, side: usize, stride: usize) -> Self {
        Self::of_channels(loader, channels, side, stride, Padding::Same)
    }

    /// From inputs to outputs, without a bias, for few inputs. After the layers after it comes `torch.nn.MaxPool2d(3, stride=2,
    /// padding=1)`.
    pub fn pooled(loader: &Loader, [inputs, outputs]: [usize; 2], side: usize, stride: usize) -> Self {
        let form = Form { inputs, side, stride, padding: Padding::Centred, dilation: 1, depthwise: false };
        let weight = loader.tensor("weight", [outputs, inputs, side, side]);
        let weight = Kernel::new(loader, weight, |values| -> Arc<dyn Convolution> {
            // F(5, 4) is for large maps, as F(6, 3) is.
            if (side, stride) == (7, 2) && outputs.is_multiple_of(COLUMNS) && loader.budget().f63 > 0 {
                Arc::new(Pooled::new(Strided7x7::new(values, [outputs, inputs])))
            } else {
                Arc::new(Pooled::new(Patches::new(values, [outputs, inputs], side, stride)))
            }
        });
        Self { is_pooled: true, ..Self::of_weight(loader, weight, form, outputs) }
    }

    fn of_channels(loader: &Loader, inputs: usize, side: usize, stride: usize, padding: Padding) -> Self {
        Self::of_form(loader, Form { inputs, side, stride, padding, dilation: 1, depthwise: true }, inputs, 0)
    }

    /// Convolutions of single pixels of the same maps as one, with the biases of their modules. Its outputs are those of the
    /// modules, whose loaders and numbers of outputs these are, one after the other.
    pub fn joined(modules: &[(Loader, usize)], inputs: usize) -> Self {
        let tensors = modules.iter().map(|(loader, outputs)| loader.tensor::<4>("weight", [*outputs, inputs, 1, 1]));
        let weight = Tensor::cat(tensors.collect(), 0);
        let bias =
            Tensor::cat(modules.iter().map(|(loader, outputs)| loader.tensor::<1>("bias", [*outputs])).collect(), 0);
        let [outputs, ..] = weight.dims();
        let form = Form { inputs, side: 1, stride: 1, padding: Padding::Centred, dilation: 1, depthwise: false };
        let (loader, _) = &modules[0];
        let weight = Kernel::new(loader, weight, |values| prepare(loader, values, form, outputs, 0));
        let is_innermost = loader.execution() == Execution::Kernels && matches!(weight, Kernel::Plain(_));
        let execution = if is_innermost { Execution::Burn } else { loader.execution() };
        Self { weight, bias: Some(Channelwise::new(bias, execution)), form, outputs, is_innermost, is_pooled: false }
    }

    fn of_form(loader: &Loader, form: Form, outputs: usize, width: usize) -> Self {
        let Form { inputs, side, stride, depthwise, .. } = form;
        // With a stride of 1, both paddings are the same.
        let form = if stride == 1 { Form { padding: Padding::Centred, ..form } } else { form };
        let weight = loader.tensor("weight", [outputs, if depthwise { 1 } else { inputs }, side, side]);
        let weight = Kernel::new(loader, weight, |values| prepare(loader, values, form, outputs, width));
        Self::of_weight(loader, weight, form, outputs)
    }

    fn of_weight(loader: &Loader, weight: Kernel<dyn Convolution>, form: Form, outputs: usize) -> Self {
        let is_innermost = loader.execution() == Execution::Kernels && matches!(weight, Kernel::Plain(_));
        Self { weight, bias: None, form, outputs, is_innermost, is_pooled: false }
    }

    /// With the bias of the loader's module.
    pub fn with_bias(self, loader: &Loader) -> Self {
        let execution = if self.is_innermost { Execution::Burn } else { loader.execution() };
        Self { bias: Some(Channelwise::new(loader.tensor("bias", [self.outputs]), execution)), ..self }
    }

    /// Convolves `x`. The normalization `before` comes before the convolution, and `after` after it.
    pub fn forward(&self, x: Tensor<4>, before: Option<&BatchNorm2d>, after: &After) -> Tensor<4> {
        let pooled = |maps, execution: Execution| if self.is_pooled { execution.max_pool(maps, 3, 2) } else { maps };
        match &self.weight {
            Kernel::Plain(weight) if self.is_innermost => {
                let x = before.map_or(x.clone(), |norm| norm.train(x, None, Activation::NONE));
                pooled(self.trained(x, weight, None, after), Execution::Kernels)
            }
            Kernel::Plain(weight) => {
                let x = before.map_or(x.clone(), |norm| norm.forward(x));
                let x = self.activated(self.normalized(self.convolved(x, weight), after), after);
                pooled(x, Execution::Burn)
            }
            Kernel::Prepared(convolution) => {
                let x = self.padded(x);
                let prologue = before.map_or_else(Prologue::default, |norm| Prologue {
                    scale: Some(norm.scale.values()),
                    shift: Some(norm.shift.values()),
                });
                kernels::convolve(x, convolution.clone(), prologue, self.epilogue(after))
            }
        }
    }

    /// Convolves `x`, and adds `others` after the normalization and before the activation of `after`.
    pub fn forward_add(&self, x: Tensor<4>, others: Tensor<4>, after: &After) -> Tensor<4> {
        match &self.weight {
            Kernel::Plain(weight) if self.is_innermost => self.trained(x, weight, Some(others), after),
            Kernel::Plain(weight) => {
                let x = self.normalized(self.convolved(x, weight), after) + others;
                self.activated(x, after)
            }
            Kernel::Prepared(convolution) => {
                let (x, prologue) = (self.padded(x), Prologue::default());
                kernels::convolve_add(x, others, convolution.clone(), prologue, self.epilogue(after))
            }
        }
    }

    /// In training, on maps with the channels innermost.
    fn trained(&self, x: Tensor<4>, weight: &Tensor<4>, others: Option<Tensor<4>>, after: &After) -> Tensor<4> {
        let x = training::convolve(x, Tensor::clone(weight), self.form);
        let x = match &self.bias {
            Some(bias) => x + bias.tensor().reshape([1, 1, 1, self.outputs]),
            None => x,
        };
        let sum = |x: Tensor<4>| others.clone().map_or(x.clone(), |others| x + others);
        let (x, activation) = match after {
            After::Nothing => return sum(x),
            After::BatchNorm2d(norm) => return norm.train(x, others, Activation::NONE),
            After::BatchNorm2dLeakyReLU(norm, slope) => return norm.train(x, others, Activation::leaky(*slope)),
            After::BatchNorm2dReLU6(norm) => return norm.train(x, others, Activation::RELU6),
            After::LeakyReLU(slope) => return activate(sum(x), Activation::leaky(*slope)),
            After::PReLU(activation) => (sum(x), activation),
            After::BatchNorm2dPReLU(norm, activation) => (norm.train(x, others, Activation::NONE), activation),
        };
        activation.forward(x.permute([0, 3, 1, 2])).permute([0, 2, 3, 1])
    }

    /// With Burn's operations.
    fn convolved(&self, x: Tensor<4>, weight: &Tensor<4>) -> Tensor<4> {
        let Form { stride, padding, dilation, depthwise, .. } = self.form;
        let x = if dilation == 1 && !depthwise && padding == Padding::Centred {
            convolve(x, Tensor::clone(weight), stride)
        } else {
            with_operations(x, Tensor::clone(weight), self.form)
        };
        match &self.bias {
            Some(bias) => x + bias.of_maps(),
            None => x,
        }
    }

    /// With Burn's operations.
    fn normalized(&self, x: Tensor<4>, after: &After) -> Tensor<4> {
        match after {
            After::Nothing | After::PReLU(_) | After::LeakyReLU(_) => x,
            After::BatchNorm2d(norm)
            | After::BatchNorm2dPReLU(norm, _)
            | After::BatchNorm2dLeakyReLU(norm, _)
            | After::BatchNorm2dReLU6(norm) => norm.forward(x),
        }
    }

    /// With Burn's operations.
    fn activated(&self, x: Tensor<4>, after: &After) -> Tensor<4> {
        match after {
            After::Nothing | After::BatchNorm2d(_) => x,
            After::PReLU(activation) | After::BatchNorm2dPReLU(_, activation) => activation.forward(x),
            After::LeakyReLU(slope) | After::BatchNorm2dLeakyReLU(_, slope) => {
                leak(x, |below| below * (1.0 - f64::from(*slope)))
            }
            After::BatchNorm2dReLU6(_) => x.clamp(0.0, 6.0),
        }
    }

    /// Maps with the channels that the kernel computes with.
    fn padded(&self, x: Tensor<4>) -> Tensor<4> {
        if self.form.takes_any_channels() { x } else { pad(x, self.form.inputs) }
    }

    fn epilogue(&self, after: &After) -> Epilogue {
        let bias = self.bias.as_ref().map(Channelwise::values);
        let slopes = |slope: f32| Some(vec![slope; self.outputs].into());
        let plain = Epilogue { shift: bias.clone(), ..Epilogue::default() };
        let normalized = |norm: &BatchNorm2d| {
            let (scale, shift) = (norm.scale.values(), norm.shift.values());
            let shift = match &bias {
                Some(bias) => {
                    (0..self.outputs).map(|output| bias[output].mul_add(scale[output], shift[output])).collect()
                }
                None => shift,
            };
            Epilogue { scale: Some(scale), shift: Some(shift), ..Epilogue::default() }
        };
        match after {
            After::Nothing => plain,
            After::BatchNorm2d(norm) => normalized(norm),
            After::PReLU(activation) => Epilogue { slope: Some(activation.weight.values()), ..plain },
            After::BatchNorm2dPReLU(norm, activation) => {
                Epilogue { slope: Some(activation.weight.values()), ..normalized(norm) }
            }
            After::LeakyReLU(slope) => Epilogue { slope: slopes(*slope), ..plain },
            After::BatchNorm2dLeakyReLU(norm, slope) => Epilogue { slope: slopes(*slope), ..normalized(norm) },
            After::BatchNorm2dReLU6(norm) => {
                Epilogue { slope: slopes(0.0), ceiling: Some(Activation::RELU6.ceiling), ..normalized(norm) }
            }
        }
    }
}

impl Form {
    /// Whether the kernel takes the maps with as many channels as they have.
    fn takes_any_channels(&self) -> bool {
        let Self { inputs, side, stride, dilation, depthwise, .. } = *self;
        depthwise || inputs.is_multiple_of(COLUMNS) || ((side, stride) != (3, 1) && dilation == 1)
    }
}

/// Chooses the kernel for a convolution, and prepares its weights.
fn prepare(loader: &Loader, values: &[f32], form: Form, outputs: usize, width: usize) -> Arc<dyn Convolution> {
    let Form { inputs, side, stride, padding, dilation, depthwise } = form;
    if depthwise {
        return Arc::new(Depthwise::of_side(values, inputs, side, stride, padding));
    }
    if padding == Padding::Same {
        return Arc::new(Patches::new(values, [outputs, inputs], side, stride).padded(padding));
    }
    let with_zeros;
    let values = if inputs.is_multiple_of(COLUMNS) {
        values
    } else if form.takes_any_channels() {
        return Arc::new(Patches::new(values, [outputs, inputs], side, stride));
    } else {
        with_zeros = pad_inputs(values, outputs, inputs);
        &with_zeros
    };
    let inputs = padded(inputs);
    let budget = loader.budget();
    let transformed = outputs.is_multiple_of(COLUMNS);
    match (side, stride) {
        (3, 1) if transformed && values.len() <= budget.f63 => {
            same_size(winograd::<F63>(values, outputs, inputs, budget), dilation)
        }
        (3, 1) if transformed && values.len() <= budget.f43 => {
            same_size(winograd::<F43>(values, outputs, inputs, budget), dilation)
        }
        (3, 1) if transformed && values.len() <= budget.f23 => {
            same_size(winograd::<F23>(values, outputs, inputs, budget), dilation)
        }
        // F(4, 2) is for large maps, as F(6, 3) is.
        (3, 2) if transformed && dilation == 1 && width >= budget.stride2 && budget.f63 > 0 => {
            Arc::new(winograd::<Stride2F42>(values, outputs, inputs, budget))
        }
        (3, 2) if transformed && dilation == 1 && width >= budget.stride2 => {
            Arc::new(winograd::<Stride2>(values, outputs, inputs, budget))
        }
        (1, _) => pointwise(values, [outputs, inputs], stride, budget),
        _ => Arc::new(Direct::new(values, [outputs, inputs], side, stride).dilated(dilation)),
    }
}

/// A convolution of single pixels, or the product of a linear layer with a matrix whose rows are pixels.
pub(super) fn pointwise(
    values: &[f32],
    [outputs, inputs]: [usize; 2],
    stride: usize,
    budget: Budget,
) -> Arc<dyn Convolution> {
    if inputs.is_multiple_of(COLUMNS) {
        of_pixels(values, [outputs, inputs], stride, budget)
    } else {
        Arc::new(Patches::new(values, [outputs, inputs], 1, stride))
    }
}

/// The same for inputs of whole lines.
pub(super) fn of_pixels(values: &[f32], channels: [usize; 2], stride: usize, budget: Budget) -> Arc<dyn Pointwise> {
    let [fewest, most] = budget.strassen;
    if (fewest..=most).contains(&values.len()) && Strassen::takes(channels) {
        Arc::new(Strassen::new(values, channels, stride))
    } else {
        Arc::new(Direct::new(values, channels, 1, stride))
    }
}

/// A convolution whose weights are transformed at loading if the budget allows it.
fn winograd<F: Winograd>(values: &[f32], outputs: usize, inputs: usize, budget: Budget) -> Winograd2d<F> {
    if values.len() <= budget.kept {
        Winograd2d::new(values, outputs, inputs)
    } else {
        Winograd2d::sparing(values, outputs, inputs)
    }
}

/// A convolution of stride 1, dilated.
fn same_size(convolution: impl Convolution + 'static, dilation: usize) -> Arc<dyn Convolution> {
    if dilation == 1 { Arc::new(convolution) } else { Arc::new(Phases::new(convolution, dilation)) }
}

/// Maps with zeros for the channels that they lack.
fn pad(x: Tensor<4>, inputs: usize) -> Tensor<4> {
    if inputs.is_multiple_of(COLUMNS) { x } else { apply(PadChannels(padded(inputs)), x) }
}

/// The number of channels that the kernels compute with, some of which are zero.
fn padded(inputs: usize) -> usize {
    inputs.next_multiple_of(COLUMNS)
}

/// Weights, outputs by inputs by kernel, with zeros for the inputs that are padded.
fn pad_inputs(weights: &[f32], outputs: usize, inputs: usize) -> Vec<f32> {
    let (taps, padded) = (weights.len() / (outputs * inputs), padded(inputs));
    let mut values = vec![0.0; outputs * padded * taps];
    for (values, weights) in values.chunks_exact_mut(padded * taps).zip(weights.chunks_exact(inputs * taps)) {
        values[..weights.len()].copy_from_slice(weights);
    }
    values
}

/// Convolves maps, `(images, channels, height, width)`, with Burn's operations, padded by half of the side of the kernel.
pub fn convolve(maps: Tensor<4>, weight: Tensor<4>, stride: usize) -> Tensor<4> {
    let [.., side] = weight.dims();
    #[cfg(feature = "cuda")]
    if crate::device::is_gpu(&maps.device()) {
        return crate::gpu::convolve(maps, weight, stride, side / 2);
    }
    conv2d(maps, weight, None, ConvOptions::new([stride; 2], [side / 2; 2], [1; 2], 1))
}
