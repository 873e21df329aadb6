//! Depthwise convolutions: a kernel of its own for each channel.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::convolution::Convolution;
use super::extent::Extent;
use super::fused::{DenseEpilogue, Epilogue, Prologue};
use super::prepared;

/// Taps of a kernel.
const TAPS: usize = 9;

/// A depthwise convolution with 3x3 kernels, padded by one pixel.
#[derive(Debug)]
pub struct Depthwise {
    channels: usize,
    stride: usize,
    /// Tap by channel.
    weights: Vec<f32>,
}

impl Depthwise {
    /// Packs weights: channels by 3 by 3.
    pub fn new(kernels: &[f32], channels: usize, stride: usize) -> Self {
        let weights =
            (0..TAPS).flat_map(|tap| (0..channels).map(move |channel| kernels[channel * TAPS + tap])).collect();
        Self { channels, stride, weights }
    }
}

impl Convolution for Depthwise {
    fn outputs(&self) -> usize {
        self.channels
    }

    fn out(&self, Extent { images, height, width }: Extent) -> Extent {
        Extent { images, height: height.div_ceil(self.stride), width: width.div_ceil(self.stride) }
    }

    fn forward(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]) {
        let channels = self.channels;
        let mut memory = prepared::memory(prologue, maps);
        let maps = prepared::prepared(prologue, maps, channels, &mut memory);
        let epilogue = &epilogue.dense(channels);
        let out_extent = self.out(extent);
        let zeros = vec![0.0; extent.width * channels];
        out.par_chunks_exact_mut(out_extent.width * channels).enumerate().for_each(|(row, out)| {
            let (image, y) = (row / out_extent.height, row % out_extent.height);
            let rows = [0, 1, 2].map(|down| {
                let line = (y * self.stride + down).wrapping_sub(1);
                if line < extent.height {
                    &maps[(image * extent.height + line) * extent.width * channels..][..extent.width * channels]
                } else {
                    &zeros[..]
                }
            });
            arch().dispatch(Row { depthwise: self, rows, epilogue, first: row * out_extent.width, out });
        });
    }
}

/// Computes a row of the output from three rows of the input.
struct Row<'a> {
    depthwise: &'a Depthwise,
    rows: [&'a [f32]; 3],
    epilogue: &'a DenseEpilogue<'a>,
    /// The number of the row's first pixel.
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        let channels = self.depthwise.channels;
        let mut channel = 0;
        while channel < channels {
            channel += match channels - channel {
                16.. => self.some::<16>(channel),
                8.. => self.some::<8>(channel),
                _ => self.some::<1>(channel),
            };
        }
    }
}

impl Row<'_> {
    /// Computes `N` channels from one on. Arrays of a constant length become vectors.
    #[inline(always)]
    fn some<const N: usize>(&mut self, channel: usize) -> usize {
        let Self { depthwise: Depthwise { channels, stride, weights }, rows, epilogue, first, out } = self;
        let (channels, stride, rows) = (*channels, *stride, *rows);
        let mut taps = [[0.0; N]; TAPS];
        for (tap, taps) in taps.iter_mut().enumerate() {
            taps.copy_from_slice(&weights[tap * channels + channel..][..N]);
        }
        let width = rows[0].len() / channels;
        // The three rows of a column, zero beyond the edges.
        let load = |column: usize| {
            let mut values = [[0.0; N]; 3];
            if column < width {
                for (values, row) in values.iter_mut().zip(rows) {
                    *values = *row[column * channels + channel..].first_chunk().expect("a pixel has all channels");
                }
            }
            values
        };
        let epilogue = epilogue.some(channel);
        let mut columns = [[[0.0; N]; 3], load(0), load(1)];
        for (x, out) in out.chunks_exact_mut(channels).enumerate() {
            if x > 0 {
                let centre = x * stride;
                columns = match stride {
                    1 => [columns[1], columns[2], load(centre + 1)],
                    2 => [columns[2], load(centre), load(centre + 1)],
                    _ => [load(centre - 1), load(centre), load(centre + 1)],
                };
            }
            let mut sums = [0.0; N];
            for across in 0..3 {
                for down in 0..3 {
                    let (values, taps) = (&columns[across][down], &taps[3 * down + across]);
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
