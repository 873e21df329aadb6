//! `torch.nn.Conv2d`, with the layers before and after it.

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use super::batch_norm2d::BatchNorm2d;
use super::channelwise::Channelwise;
use super::kernel::Kernel;
use super::loader::Loader;
use super::prelu::{PReLU, leak};
use crate::kernels::gemm::COLUMNS;
use crate::kernels::{
    self, Convolution, Direct, Epilogue, F23, F43, PadChannels, Prologue, Stride2, Winograd2d, apply,
};

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
}

/// `torch.nn.Conv2d` with a square kernel, padded by half of its side.
#[derive(Debug)]
pub struct Conv2d {
    weight: Kernel<dyn Convolution>,
    bias: Option<Channelwise>,
    stride: usize,
    inputs: usize,
    outputs: usize,
}

impl Conv2d {
    /// From inputs to outputs, without a bias.
    pub fn load(loader: &Loader, channels: [usize; 2], side: usize, stride: usize) -> Self {
        Self::of_maps(loader, channels, side, stride, 0)
    }

    /// The same for maps of about `width` pixels, down and across.
    pub fn of_maps(loader: &Loader, [inputs, outputs]: [usize; 2], side: usize, stride: usize, width: usize) -> Self {
        let weight = loader.tensor("weight", [outputs, inputs, side, side]);
        let weight =
            Kernel::new(loader, weight, |values| prepare(loader, values, [inputs, outputs], side, stride, width));
        Self { weight, bias: None, stride, inputs, outputs }
    }

    /// With the bias of the loader's module.
    pub fn with_bias(self, loader: &Loader) -> Self {
        Self { bias: Some(Channelwise::new(loader.tensor("bias", [self.outputs]), loader.execution())), ..self }
    }

    /// Convolves `x`. The normalization `before` comes before the convolution, and `after` after it.
    pub fn forward(&self, x: Tensor<4>, before: Option<&BatchNorm2d>, after: &After) -> Tensor<4> {
        match &self.weight {
            Kernel::Plain(weight) => {
                let x = before.map_or(x.clone(), |norm| norm.forward(x));
                let x = convolve(x, Tensor::clone(weight), self.stride);
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
                let x =
                    if self.inputs.is_multiple_of(COLUMNS) { x } else { apply(PadChannels(padded(self.inputs)), x) };
                let prologue = before.map_or_else(Prologue::default, |norm| Prologue {
                    scale: Some(norm.scale.values()),
                    shift: Some(norm.shift.values()),
                });
                kernels::convolve(x, convolution.clone(), prologue, self.epilogue(after))
            }
        }
    }

    fn epilogue(&self, after: &After) -> Epilogue {
        let plain = Epilogue { shift: self.bias.as_ref().map(Channelwise::values), ..Epilogue::default() };
        let normalized = |norm: &BatchNorm2d| Epilogue {
            scale: Some(norm.scale.values()),
            shift: Some(norm.shift.values()),
            ..Epilogue::default()
        };
        match after {
            After::Nothing => plain,
            After::BatchNorm2d(norm) => normalized(norm),
            After::PReLU(activation) => Epilogue { slope: Some(activation.weight.values()), ..plain },
            After::BatchNorm2dPReLU(norm, activation) => {
                Epilogue { slope: Some(activation.weight.values()), ..normalized(norm) }
            }
            After::LeakyReLU(slope) => Epilogue { slope: Some(vec![*slope; self.outputs].into()), ..plain },
        }
    }
}

/// Chooses the kernel for a convolution, and prepares its weights.
fn prepare(
    loader: &Loader,
    values: &[f32],
    [inputs, outputs]: [usize; 2],
    side: usize,
    stride: usize,
    width: usize,
) -> Arc<dyn Convolution> {
    let with_zeros;
    let values = if inputs.is_multiple_of(COLUMNS) {
        values
    } else {
        with_zeros = pad_inputs(values, outputs, inputs);
        &with_zeros
    };
    let inputs = padded(inputs);
    let budget = loader.budget();
    match (side, stride) {
        (3, 1) if values.len() <= budget.f43 => Arc::new(Winograd2d::<F43>::new(values, outputs, inputs)),
        (3, 1) if values.len() <= budget.f23 => Arc::new(Winograd2d::<F23>::new(values, outputs, inputs)),
        (3, 2) if width >= budget.stride2 => Arc::new(Winograd2d::<Stride2>::new(values, outputs, inputs)),
        _ => Arc::new(Direct::new(values, [outputs, inputs], side, stride)),
    }
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
