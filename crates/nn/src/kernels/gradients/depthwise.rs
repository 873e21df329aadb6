//! Convolutions with a kernel for each channel, whose weights change from step to step.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::convolution::Shape;
use crate::kernels::arch::arch;
use crate::kernels::extent::Extent;
use crate::kernels::scratch::Scratch;
use crate::kernels::{Convolution, Depthwise, Epilogue, Prologue};

/// Tasks that the rows of a gradient are divided among, at most.
const TASKS: usize = 16;

/// Convolves maps with weights, channels by kernel.
pub(super) fn forward(shape: Shape, weights: &[f32], maps: &[f32], extent: Extent, out: &mut [f32]) {
    let Shape { inputs, side, stride, padding, .. } = shape;
    let depthwise = Depthwise::of_side(weights, inputs, side, stride, padding);
    depthwise.forward(maps, extent, &Prologue::default(), &Epilogue::default(), out);
}

/// The gradient of the maps, whose extent is `extent`, from that of the output.
pub(super) fn input_gradient(shape: Shape, weights: &[f32], gradient: &[f32], extent: Extent, out: &mut [f32]) {
    let (channels, taps) = (shape.inputs, shape.taps());
    let weights: Vec<f32> =
        (0..taps).flat_map(|tap| (0..channels).map(move |channel| weights[channel * taps + tap])).collect();
    let (out_extent, [above, before]) = (shape.out(extent), shape.before(extent));
    let length = out_extent.width * channels;
    out.par_chunks_exact_mut(extent.width * channels).enumerate().for_each(|(row, out)| {
        let (image, y) = (row / extent.height, row % extent.height);
        let reached = |down: usize| {
            let shifted = (y + above).checked_sub(down)?;
            let line = shifted / shape.stride;
            let is_there = shifted.is_multiple_of(shape.stride) && line < out_extent.height;
            is_there.then(|| (down, &gradient[(image * out_extent.height + line) * length..][..length]))
        };
        let rows: Vec<(usize, &[f32])> = (0..shape.side).filter_map(reached).collect();
        let width = out_extent.width;
        let work = Spread { shape, weights: &weights, rows: &rows, width, before, out };
        match shape.side {
            3 => arch().dispatch(InChannels::<_, 3>(work)),
            _ => arch().dispatch(InChannels::<_, 5>(work)),
        }
    });
}

/// Writes the gradient of weights, channels by kernel, from the maps and the gradient of the output.
pub(super) fn weight_gradient(shape: Shape, maps: &[f32], gradient: &[f32], extent: Extent, out: &mut [f32]) {
    let (channels, taps) = (shape.inputs, shape.taps());
    let out_extent = shape.out(extent);
    let rows = out_extent.images * out_extent.height;
    let at_once = rows.div_ceil(TASKS);
    let tasks = rows.div_ceil(at_once);
    let mut sums = Scratch::new(tasks * taps * channels);
    sums.values_mut().par_chunks_exact_mut(taps * channels).enumerate().for_each(|(task, sums)| {
        let rows = task * at_once..((task + 1) * at_once).min(rows);
        let work = Sum { shape, maps, gradient, extent, rows, sums };
        match shape.side {
            3 => arch().dispatch(InChannels::<_, 3>(work)),
            _ => arch().dispatch(InChannels::<_, 5>(work)),
        }
    });
    // In the order of the tasks, back to the order of weights.
    out.fill(0.0);
    for sums in sums.values().chunks_exact(taps * channels) {
        for (tap, sums) in sums.chunks_exact(channels).enumerate() {
            out.iter_mut().skip(tap).step_by(taps).zip(sums).for_each(|(out, sum)| *out += sum);
        }
    }
}

/// Work on some channels at a time. Arrays of a constant length become vectors.
trait OnChannels<const SIDE: usize> {
    fn channels(&self) -> usize;
    /// Works on `N` channels from one on.
    fn some<const N: usize>(&mut self, channel: usize);
}

struct InChannels<W, const SIDE: usize>(W);

impl<W: OnChannels<SIDE>, const SIDE: usize> WithSimd for InChannels<W, SIDE> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        let channels = self.0.channels();
        let mut channel = 0;
        while channel < channels {
            let count = match channels - channel {
                16.. => 16,
                8.. => 8,
                _ => 1,
            };
            match count {
                16 => self.0.some::<16>(channel),
                8 => self.0.some::<8>(channel),
                _ => self.0.some::<1>(channel),
            }
            channel += count;
        }
    }
}

/// Computes a row of the gradient of the maps.
struct Spread<'a> {
    shape: Shape,
    /// Tap by channel.
    weights: &'a [f32],
    /// The rows of the kernel that reach it, each with the row of the output's gradient that they reach it from.
    rows: &'a [(usize, &'a [f32])],
    /// Columns of the output.
    width: usize,
    /// Zeros before the first column.
    before: usize,
    out: &'a mut [f32],
}

impl<const SIDE: usize> OnChannels<SIDE> for Spread<'_> {
    fn channels(&self) -> usize {
        self.shape.inputs
    }

    #[inline(always)]
    fn some<const N: usize>(&mut self, channel: usize) {
        let Self { shape: Shape { inputs, stride, .. }, weights, rows, width, before, out } = self;
        let (channels, stride) = (*inputs, *stride);
        let mut taps = [[[0.0; N]; SIDE]; SIDE];
        for (tap, taps) in taps.as_flattened_mut().iter_mut().enumerate() {
            taps.copy_from_slice(&weights[tap * channels + channel..][..N]);
        }
        for (x, out) in out.chunks_exact_mut(channels).enumerate() {
            let mut sums = [0.0; N];
            for (down, row) in rows.iter() {
                for across in 0..SIDE {
                    let shifted = (x + *before).wrapping_sub(across);
                    let column = shifted / stride;
                    if shifted % stride != 0 || column >= *width {
                        continue;
                    }
                    let values: &[f32; N] =
                        row[column * channels + channel..].first_chunk().expect("a pixel has all channels");
                    for index in 0..N {
                        sums[index] = values[index].mul_add(taps[*down][across][index], sums[index]);
                    }
                }
            }
            out[channel..][..N].copy_from_slice(&sums);
        }
    }
}

/// Sums the products of maps and gradients over some rows of the output.
struct Sum<'a> {
    shape: Shape,
    maps: &'a [f32],
    gradient: &'a [f32],
    /// That of the maps.
    extent: Extent,
    rows: std::ops::Range<usize>,
    /// Tap by channel.
    sums: &'a mut [f32],
}

impl<const SIDE: usize> OnChannels<SIDE> for Sum<'_> {
    fn channels(&self) -> usize {
        self.shape.inputs
    }

    #[inline(always)]
    fn some<const N: usize>(&mut self, channel: usize) {
        let Self { shape, maps, gradient, extent, rows, sums } = self;
        let (channels, stride) = (shape.inputs, shape.stride);
        let (out, [above, before]) = (shape.out(*extent), shape.before(*extent));
        let mut found = [[[0.0; N]; SIDE]; SIDE];
        for row in rows.clone() {
            let (image, y) = (row / out.height, row % out.height);
            let gradient = &gradient[row * out.width * channels..][..out.width * channels];
            for down in 0..SIDE {
                let line = (y * stride + down).wrapping_sub(above);
                if line >= extent.height {
                    continue;
                }
                let length = extent.width * channels;
                let maps = &maps[(image * extent.height + line) * length..][..length];
                for (x, gradient) in gradient.chunks_exact(channels).enumerate() {
                    let gradient: &[f32; N] = gradient[channel..].first_chunk().expect("a pixel has all channels");
                    for across in 0..SIDE {
                        let column = (x * stride + across).wrapping_sub(before);
                        if column >= extent.width {
                            continue;
                        }
                        let values: &[f32; N] =
                            maps[column * channels + channel..].first_chunk().expect("a pixel has all channels");
                        let found = &mut found[down][across];
                        for index in 0..N {
                            found[index] = values[index].mul_add(gradient[index], found[index]);
                        }
                    }
                }
            }
        }
        for (tap, found) in found.as_flattened().iter().enumerate() {
            sums[tap * channels + channel..][..N].copy_from_slice(found);
        }
    }
}
