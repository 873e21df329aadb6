//! Depthwise convolutions: a kernel of its own for each channel.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::convolution::Convolution;
use super::extent::Extent;
use super::fused::{DenseEpilogue, Epilogue, Prologue};
use super::gemm::Line;
use super::padding::Padding;
use super::prepared::prepared;

/// Pixels of a row that are computed together, which share columns of the input.
const PIXELS: usize = 4;

/// A depthwise convolution with 3x3 or 5x5 kernels, padded by half of their side or as TensorFlow does.
#[derive(Debug)]
pub struct Depthwise {
    channels: usize,
    side: usize,
    stride: usize,
    padding: Padding,
    /// Tap by channel.
    weights: Vec<f32>,
}

impl Depthwise {
    /// Packs weights: channels by 3 by 3.
    pub fn new(kernels: &[f32], channels: usize, stride: usize) -> Self {
        Self::of_side(kernels, channels, 3, stride, Padding::Centred)
    }

    /// The same with kernels of another side and another padding.
    ///
    /// # Panics
    /// The side is neither 3 nor 5.
    pub fn of_side(kernels: &[f32], channels: usize, side: usize, stride: usize, padding: Padding) -> Self {
        assert!([3, 5].contains(&side), "kernels of {side} pixels: 3 and 5 are implemented");
        let taps = side * side;
        let weights =
            (0..taps).flat_map(|tap| (0..channels).map(move |channel| kernels[channel * taps + tap])).collect();
        Self { channels, side, stride, padding, weights }
    }

    /// With kernels of a side of `SIDE`.
    fn rows<const SIDE: usize>(&self, maps: &[f32], extent: Extent, epilogue: &DenseEpilogue, out: &mut [f32]) {
        let channels = self.channels;
        let out_extent = self.out(extent);
        let zeros = vec![0.0; extent.width * channels];
        let above = self.padding.before(SIDE, self.stride, extent.height);
        let before = self.padding.before(SIDE, self.stride, extent.width);
        out.par_chunks_exact_mut(out_extent.width * channels).enumerate().for_each(|(row, out)| {
            let (image, y) = (row / out_extent.height, row % out_extent.height);
            let rows = std::array::from_fn(|down| {
                let line = (y * self.stride + down).wrapping_sub(above);
                if line < extent.height {
                    &maps[(image * extent.height + line) * extent.width * channels..][..extent.width * channels]
                } else {
                    &zeros[..]
                }
            });
            let first = row * out_extent.width;
            arch().dispatch(Row::<SIDE> { depthwise: self, rows, before, epilogue, first, out });
        });
    }
}

impl Convolution for Depthwise {
    fn outputs(&self) -> usize {
        self.channels
    }

    fn out(&self, extent: Extent) -> Extent {
        extent.strided(self.stride)
    }

    fn forward(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]) {
        let maps = &*prepared(prologue, maps, self.channels);
        let epilogue = &epilogue.dense(self.channels);
        match self.side {
            3 => self.rows::<3>(maps, extent, epilogue, out),
            _ => self.rows::<5>(maps, extent, epilogue, out),
        }
    }
}

/// Computes a row of the output from as many rows of the input as the kernel has.
struct Row<'a, const SIDE: usize> {
    depthwise: &'a Depthwise,
    rows: [&'a [f32]; SIDE],
    /// Zeros before the first column.
    before: usize,
    epilogue: &'a DenseEpilogue<'a>,
    /// The number of the row's first pixel.
    first: usize,
    out: &'a mut [f32],
}

impl<const SIDE: usize> WithSimd for Row<'_, SIDE> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Depthwise { channels, stride, .. } = *self.depthwise;
        let is_narrow = channels < S::F32_LANES && S::F32_LANES.is_multiple_of(channels);
        if SIDE == 3 && stride == 1 && is_narrow && self.epilogue.simd::<S>().is_quiet() {
            return self.together(simd);
        }
        if SIDE == 3 && channels.is_multiple_of(S::F32_LANES) {
            match stride {
                1 => return self.whole::<S, 1, { PIXELS + 2 }>(simd),
                2 => return self.whole::<S, 2, { 2 * PIXELS + 1 }>(simd),
                _ => {}
            }
        }
        let mut channel = 0;
        while channel < channels {
            channel += match channels - channel {
                16.. if SIDE == 3 => self.some::<16>(channel),
                8.. => self.some::<8>(channel),
                _ => self.some::<1>(channel),
            };
        }
    }
}

impl<const SIDE: usize> Row<'_, SIDE> {
    /// Computes channels that are whole vectors, with 3x3 kernels. `COLUMNS` are those under the kernels of [`PIXELS`] pixels.
    #[inline(always)]
    fn whole<S: Simd, const STRIDE: usize, const COLUMNS: usize>(self, simd: S) {
        let Self { depthwise: Depthwise { channels, weights, .. }, rows, before, epilogue, first, out } = self;
        let mut lines: [&[S::f32s]; 3] = [&[]; 3];
        for down in 0..3 {
            lines[down] = S::as_simd_f32s(rows[down]).0;
        }
        let (taps, out) = (S::as_simd_f32s(weights).0, S::as_mut_simd_f32s(out).0);
        let (vectors, zero) = (channels / S::F32_LANES, simd.splat_f32s(0.0));
        let epilogue = epilogue.simd::<S>();
        let (width, out_width) = (lines[0].len() / vectors, out.len() / vectors);
        for x in (0..out_width).step_by(PIXELS) {
            let count = PIXELS.min(out_width - x);
            let out = &mut out[x * vectors..][..count * vectors];
            // The first column may lie before the map.
            let left = (x * STRIDE).wrapping_sub(before);
            macro_rules! pixels {
                ($down:ident, $column:ident, $vector:ident, $value:expr) => {
                    for $vector in 0..vectors {
                        let mut sums = [zero; PIXELS];
                        for $down in 0..3 {
                            let mut values = [zero; COLUMNS];
                            for $column in 0..COLUMNS {
                                values[$column] = $value;
                            }
                            for across in 0..3 {
                                let tap = taps[($down * 3 + across) * vectors + $vector];
                                for pixel in 0..PIXELS {
                                    sums[pixel] =
                                        simd.mul_add_e_f32s(values[pixel * STRIDE + across], tap, sums[pixel]);
                                }
                            }
                        }
                        for pixel in 0..PIXELS {
                            if pixel < count {
                                let value = epilogue.apply(simd, sums[pixel], $vector, first + x + pixel);
                                out[pixel * vectors + $vector] = value;
                            }
                        }
                    }
                };
            }
            if left < width && left + COLUMNS <= width {
                let mut inner: [&[S::f32s]; 3] = [&[]; 3];
                for down in 0..3 {
                    inner[down] = &lines[down][left * vectors..][..COLUMNS * vectors];
                }
                pixels!(down, column, vector, inner[down][column * vectors + vector]);
            } else {
                pixels!(down, column, vector, {
                    let place = left.wrapping_add(column);
                    if place < width { lines[down][place * vectors + vector] } else { zero }
                });
            }
        }
    }

    /// Computes several pixels as one vector, with 3x3 kernels and a stride of 1. A vector has whole pixels.
    #[inline(always)]
    fn together<S: Simd>(self, simd: S) {
        let Self { depthwise: Depthwise { channels, weights, .. }, rows, before, epilogue, out, .. } = self;
        let channels = *channels;
        let mut taps = [simd.splat_f32s(0.0); 9];
        for (tap, weights) in taps.iter_mut().zip(weights.chunks_exact(channels)) {
            let line: Line = std::array::from_fn(|lane| weights[lane % channels]);
            *tap = S::as_simd_f32s(&line).0[0];
        }
        let epilogue = epilogue.simd::<S>();
        // A vector of a row, from a place on that may lie before the map.
        let load = |down: usize, place: usize| {
            let row = rows[down];
            if let Some(values) = row.get(place..place.wrapping_add(S::F32_LANES)) {
                return S::as_simd_f32s(values).0[0];
            }
            let values: Line = std::array::from_fn(|lane| row.get(place.wrapping_add(lane)).copied().unwrap_or(0.0));
            S::as_simd_f32s(&values).0[0]
        };
        for (index, out) in out.chunks_mut(S::F32_LANES).enumerate() {
            let mut sum = simd.splat_f32s(0.0);
            for down in 0..3 {
                for across in 0..3 {
                    let place = (index * S::F32_LANES + across * channels).wrapping_sub(before * channels);
                    sum = simd.mul_add_e_f32s(load(down, place), taps[down * 3 + across], sum);
                }
            }
            // No noise: any pixel will do.
            simd.partial_store_f32s(out, epilogue.apply(simd, sum, 0, 0));
        }
    }

    /// Computes `N` channels from one on. Arrays of a constant length become vectors.
    #[inline(always)]
    fn some<const N: usize>(&mut self, channel: usize) -> usize {
        let Self { depthwise: Depthwise { channels, stride, weights, .. }, rows, before, epilogue, first, out } = self;
        let (channels, stride, rows, before) = (*channels, *stride, *rows, *before);
        let mut taps = [[[0.0; N]; SIDE]; SIDE];
        for (tap, taps) in taps.as_flattened_mut().iter_mut().enumerate() {
            taps.copy_from_slice(&weights[tap * channels + channel..][..N]);
        }
        let width = rows[0].len() / channels;
        // The rows of a column, zero beyond the edges.
        let load = |column: usize| {
            let mut values = [[0.0; N]; SIDE];
            if column < width {
                for (values, row) in values.iter_mut().zip(rows) {
                    *values = *row[column * channels + channel..].first_chunk().expect("a pixel has all channels");
                }
            }
            values
        };
        let epilogue = epilogue.some(channel);
        // Columns before the first are beyond every edge.
        let mut columns: [[[f32; N]; SIDE]; SIDE] = std::array::from_fn(|across| load(across.wrapping_sub(before)));
        for (x, out) in out.chunks_exact_mut(channels).enumerate() {
            if x > 0 {
                let kept = SIDE.saturating_sub(stride);
                for across in 0..SIDE {
                    columns[across] = if across < kept {
                        columns[across + stride]
                    } else {
                        load((x * stride + across).wrapping_sub(before))
                    };
                }
            }
            let mut sums = [0.0; N];
            for across in 0..SIDE {
                for down in 0..SIDE {
                    let (values, taps) = (&columns[across][down], &taps[down][across]);
                    for index in 0..N {
                        sums[index] = values[index].mul_add(taps[index], sums[index]);
                    }
                }
            }
            out[channel..][..N].copy_from_slice(&epilogue.apply(sums, *first + x));
        }
        N
    }
}
