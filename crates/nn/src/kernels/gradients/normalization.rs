//! Normalization by the statistics of a batch.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::kernels::arch::arch;

/// Pixels of a task.
const PIXELS: usize = 256;

/// Mean and biased variance of each channel. Tasks have their own, and are joined in order (Chan et al. 1979).
pub(crate) fn statistics(maps: &[f32], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let parts: Vec<(Vec<f32>, Vec<f32>)> = maps
        .par_chunks(PIXELS * channels)
        .map(|maps| {
            let mut part = (vec![0.0; channels], vec![0.0; channels]);
            arch().dispatch(Moments { maps, mean: &mut part.0, squares: &mut part.1 });
            part
        })
        .collect();
    let (mut mean, mut squares, mut count) = (vec![0.0_f64; channels], vec![0.0_f64; channels], 0.0);
    for ((part_mean, part_squares), maps) in parts.iter().zip(maps.chunks(PIXELS * channels)) {
        let part = (maps.len() / channels) as f64;
        let all = count + part;
        for channel in 0..channels {
            let difference = f64::from(part_mean[channel]) - mean[channel];
            mean[channel] += difference * part / all;
            squares[channel] += f64::from(part_squares[channel]) + difference * difference * count * part / all;
        }
        count = all;
    }
    let single = |value: f64| value as f32;
    (mean.into_iter().map(single).collect(), squares.into_iter().map(|square| single(square / count)).collect())
}

/// The mean, and the sum of the squared differences to it.
struct Moments<'a> {
    maps: &'a [f32],
    mean: &'a mut [f32],
    squares: &'a mut [f32],
}

impl WithSimd for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { maps, mean, squares } = self;
        let channels = mean.len();
        for pixel in maps.chunks_exact(channels) {
            mean.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
        }
        let share = channels as f32 / maps.len() as f32;
        mean.iter_mut().for_each(|sum| *sum *= share);
        for pixel in maps.chunks_exact(channels) {
            for ((sum, value), mean) in squares.iter_mut().zip(pixel).zip(mean.iter()) {
                *sum += (value - mean) * (value - mean);
            }
        }
    }
}

/// `LeakyReLU` with a ceiling: [`RELU6`](Self::RELU6) is that of a slope of 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Activation {
    /// Below zero, from 0 to 1.
    pub(crate) slope: f32,
    /// The largest value.
    pub(crate) ceiling: f32,
}

impl Activation {
    /// What changes nothing.
    pub(crate) const NONE: Self = Self { slope: 1.0, ceiling: f32::INFINITY };
    /// `torch.nn.ReLU6`.
    pub(crate) const RELU6: Self = Self { slope: 0.0, ceiling: 6.0 };

    /// `LeakyReLU` of this slope below zero.
    pub(crate) fn leaky(slope: f32) -> Self {
        Self { slope, ..Self::NONE }
    }

    #[inline(always)]
    fn apply(self, value: f32) -> f32 {
        let value = if value > 0.0 { value } else { value * self.slope };
        if value > self.ceiling { self.ceiling } else { value }
    }

    /// The factor of a gradient, from the value or from what [`apply`](Self::apply) returned.
    #[inline(always)]
    fn derivative(self, value: f32) -> f32 {
        let rising = if value < self.ceiling { 1.0 } else { 0.0 };
        if value > 0.0 { rising } else { self.slope }
    }
}

/// A normalization by known statistics, with the activation after it.
#[derive(Clone, Debug)]
pub(crate) struct Normalization {
    /// The mean of each channel.
    pub(crate) mean: Vec<f32>,
    /// The biased variance of each channel.
    pub(crate) variance: Vec<f32>,
    /// 1 by the standard deviation of each channel.
    pub(crate) inverse: Vec<f32>,
    pub(crate) activation: Activation,
}

/// The gradients of a normalization.
pub(crate) struct Gradients {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl Normalization {
    /// Normalizes maps, and adds `others` unless they are empty.
    pub(crate) fn forward(&self, maps: &[f32], weight: &[f32], bias: &[f32], others: &[f32], out: &mut [f32]) {
        let channels = self.mean.len();
        let (scale, shift) = self.affine(weight, bias);
        let (scale, shift, activation) = (&scale[..], &shift[..], self.activation);
        let size = PIXELS * channels;
        out.par_chunks_mut(size).zip(maps.par_chunks(size)).enumerate().for_each(|(task, (out, maps))| {
            let others = if others.is_empty() { others } else { &others[task * size..][..out.len()] };
            arch().dispatch(Apply { maps, scale, shift, others, activation, out });
        });
    }

    /// The factor and the offset of each channel.
    fn affine(&self, weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let scale: Vec<f32> = weight.iter().zip(&self.inverse).map(|(weight, inverse)| weight * inverse).collect();
        let shift = bias.iter().zip(&self.mean).zip(&scale).map(|((bias, mean), scale)| bias - mean * scale);
        let shift = shift.collect();
        (scale, shift)
    }

    /// The gradients of weight and bias, and that of the maps, written to `out` if it is asked for. Nothing was added to the maps: the
    /// activation is computed again, which takes less time than memory for its gradient.
    pub(crate) fn gradients(
        &self,
        [weight, bias]: [&[f32]; 2],
        gradient: &[f32],
        maps: &[f32],
        out: Option<&mut [f32]>,
    ) -> Gradients {
        let channels = self.mean.len();
        let (scale, shift) = self.affine(weight, bias);
        let again = Again { scale: &scale, shift: &shift, activation: self.activation };
        let size = PIXELS * channels;
        let parts = gradient.par_chunks(size).zip(maps.par_chunks(size)).map(|(gradient, maps)| {
            let mut part = (vec![0.0; channels], vec![0.0; channels]);
            arch().dispatch(Sums { of: self, again, gradient, maps, weight: &mut part.0, bias: &mut part.1 });
            part
        });
        let (weights, biases) = parts.unzip();
        let gradients = Gradients { weight: sum(weights, channels), bias: sum(biases, channels) };
        if let Some(out) = out {
            let Combination { factor, of_maps, constant } = &self.combination(weight, &gradients, maps.len());
            out.par_chunks_mut(size).zip(maps.par_chunks(size).zip(gradient.par_chunks(size))).for_each(
                |(out, (maps, gradient))| {
                    arch().dispatch(CombineAgain { again, maps, gradient, factor, of_maps, constant, out });
                },
            );
        }
        gradients
    }

    /// The gradient behind the activation, written to `before`, which is also that of the maps that were added; and the gradients
    /// of weight and bias. `normalized` is what [`forward`](Self::forward) wrote.
    pub(crate) fn parameters_gradient(
        &self,
        gradient: &[f32],
        normalized: &[f32],
        maps: &[f32],
        before: &mut [f32],
    ) -> Gradients {
        let channels = self.mean.len();
        let size = PIXELS * channels;
        let (weights, biases): (Vec<_>, Vec<_>) = before
            .par_chunks_mut(size)
            .enumerate()
            .map(|(task, before)| {
                let range = task * size..task * size + before.len();
                let mut part = (vec![0.0; channels], vec![0.0; channels]);
                arch().dispatch(Backward {
                    of: self,
                    gradient: &gradient[range.clone()],
                    normalized: &normalized[range.clone()],
                    maps: &maps[range],
                    before,
                    weight: &mut part.0,
                    bias: &mut part.1,
                });
                part
            })
            .unzip();
        Gradients { weight: sum(weights, channels), bias: sum(biases, channels) }
    }

    /// The gradient of the maps, in place of that behind the activation.
    pub(crate) fn maps_gradient(
        &self,
        weight: &[f32],
        gradients: &Gradients,
        maps: &[f32],
        before: &[f32],
        out: &mut [f32],
    ) {
        let channels = self.mean.len();
        let Combination { factor, of_maps, constant } = &self.combination(weight, gradients, maps.len());
        let size = PIXELS * channels;
        out.par_chunks_mut(size).zip(maps.par_chunks(size).zip(before.par_chunks(size))).for_each(
            |(out, (maps, before))| {
                arch().dispatch(Combine { maps, before, factor, of_maps, constant, out });
            },
        );
    }

    /// The combination for maps of `numbers` values.
    fn combination(&self, weight: &[f32], gradients: &Gradients, numbers: usize) -> Combination {
        let channels = self.mean.len();
        let share = channels as f32 / numbers as f32;
        let factor: Vec<f32> = weight.iter().zip(&self.inverse).map(|(weight, inverse)| weight * inverse).collect();
        // factor * (before - bias / n - (maps - mean) * inverse * weight / n), as three numbers for each channel.
        let mut of_maps = Vec::with_capacity(channels);
        let mut constant = Vec::with_capacity(channels);
        for channel in 0..channels {
            let slope = factor[channel] * self.inverse[channel] * gradients.weight[channel] * share;
            of_maps.push(-slope);
            constant.push(slope * self.mean[channel] - factor[channel] * gradients.bias[channel] * share);
        }
        Combination { factor, of_maps, constant }
    }
}

/// The gradient of maps as a sum: that behind the activation and the maps, each with a factor for a channel, and a constant.
struct Combination {
    factor: Vec<f32>,
    of_maps: Vec<f32>,
    constant: Vec<f32>,
}

/// The sums of all parts, in their order.
fn sum(parts: Vec<Vec<f32>>, channels: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; channels];
    for part in &parts {
        sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// What is activated, computed again.
#[derive(Clone, Copy)]
struct Again<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    activation: Activation,
}

/// Sums the gradients of weight and bias.
struct Sums<'a> {
    of: &'a Normalization,
    again: Again<'a>,
    gradient: &'a [f32],
    maps: &'a [f32],
    weight: &'a mut [f32],
    bias: &'a mut [f32],
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { of: Normalization { mean, inverse, .. }, again, gradient, maps, weight, bias } = self;
        let channels = mean.len();
        let Again { scale, shift, activation } = again;
        let (scale, shift, inverse) = (&scale[..channels], &shift[..channels], &inverse[..channels]);
        let (weight, bias) = (&mut weight[..channels], &mut bias[..channels]);
        for (gradient, maps) in gradient.chunks_exact(channels).zip(maps.chunks_exact(channels)) {
            for channel in 0..channels {
                let derivative = activation.derivative(maps[channel] * scale[channel] + shift[channel]);
                let value = gradient[channel] * derivative;
                bias[channel] += value;
                weight[channel] += value * ((maps[channel] - mean[channel]) * inverse[channel]);
            }
        }
    }
}

/// [`Combine`] without the gradient behind the activation in memory.
struct CombineAgain<'a> {
    again: Again<'a>,
    maps: &'a [f32],
    gradient: &'a [f32],
    factor: &'a [f32],
    of_maps: &'a [f32],
    constant: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for CombineAgain<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { again, maps, gradient, factor, of_maps, constant, out } = self;
        let channels = factor.len();
        let Again { scale, shift, activation } = again;
        let (scale, shift) = (&scale[..channels], &shift[..channels]);
        let (of_maps, constant) = (&of_maps[..channels], &constant[..channels]);
        let pixels = out.chunks_exact_mut(channels).zip(maps.chunks_exact(channels));
        for ((out, maps), gradient) in pixels.zip(gradient.chunks_exact(channels)) {
            for channel in 0..channels {
                let derivative = activation.derivative(maps[channel] * scale[channel] + shift[channel]);
                let value = gradient[channel] * derivative;
                out[channel] = value * factor[channel] + maps[channel] * of_maps[channel] + constant[channel];
            }
        }
    }
}

struct Apply<'a> {
    maps: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    others: &'a [f32],
    activation: Activation,
    out: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { maps, scale, shift, others, activation, out } = self;
        let channels = scale.len();
        let shift = &shift[..channels];
        if others.is_empty() {
            for (out, maps) in out.chunks_exact_mut(channels).zip(maps.chunks_exact(channels)) {
                for channel in 0..channels {
                    out[channel] = activation.apply(maps[channel] * scale[channel] + shift[channel]);
                }
            }
            return;
        }
        let pixels = out.chunks_exact_mut(channels).zip(maps.chunks_exact(channels)).zip(others.chunks_exact(channels));
        for ((out, maps), others) in pixels {
            for channel in 0..channels {
                out[channel] = activation.apply(maps[channel] * scale[channel] + shift[channel] + others[channel]);
            }
        }
    }
}

struct Backward<'a> {
    of: &'a Normalization,
    gradient: &'a [f32],
    normalized: &'a [f32],
    maps: &'a [f32],
    before: &'a mut [f32],
    weight: &'a mut [f32],
    bias: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            of: Normalization { mean, inverse, activation, .. },
            gradient,
            normalized,
            maps,
            before,
            weight,
            bias,
        } = self;
        let channels = mean.len();
        let (inverse, weight, bias) = (&inverse[..channels], &mut weight[..channels], &mut bias[..channels]);
        let inputs =
            gradient.chunks_exact(channels).zip(normalized.chunks_exact(channels)).zip(maps.chunks_exact(channels));
        for (before, ((gradient, normalized), maps)) in before.chunks_exact_mut(channels).zip(inputs) {
            for channel in 0..channels {
                let value = gradient[channel] * activation.derivative(normalized[channel]);
                before[channel] = value;
                bias[channel] += value;
                weight[channel] += value * ((maps[channel] - mean[channel]) * inverse[channel]);
            }
        }
    }
}

struct Combine<'a> {
    maps: &'a [f32],
    before: &'a [f32],
    factor: &'a [f32],
    of_maps: &'a [f32],
    constant: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { maps, before, factor, of_maps, constant, out } = self;
        let channels = factor.len();
        let (of_maps, constant) = (&of_maps[..channels], &constant[..channels]);
        let pixels = out.chunks_exact_mut(channels).zip(maps.chunks_exact(channels)).zip(before.chunks_exact(channels));
        for ((out, maps), before) in pixels {
            for channel in 0..channels {
                out[channel] = before[channel] * factor[channel] + maps[channel] * of_maps[channel] + constant[channel];
            }
        }
    }
}
