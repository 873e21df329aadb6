//! The largest values of windows.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::extent::Extent;
use super::ops::{MapOp, Maps};

/// `torch.nn.MaxPool2d` with a square window of an odd side, padded by half of it. Pixels beyond the edge do not count.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool {
    /// Width and height of the window, in pixels.
    pub side: usize,
    /// Pixels from window to window.
    pub stride: usize,
}

impl MapOp for MaxPool {
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize) {
        (inputs[0].extent.strided(self.stride), inputs[0].channels)
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        let (out_extent, channels) = self.shape(inputs);
        let Maps { values, extent, .. } = inputs[0];
        let row = extent.width * channels;
        out.par_chunks_exact_mut(out_extent.width * channels).enumerate().for_each(|(index, out)| {
            let (image, y) = (index / out_extent.height, index % out_extent.height);
            let rows = self.under(y, extent.height).map(|y| &values[(image * extent.height + y) * row..][..row]);
            self.row(&rows.collect::<Vec<_>>(), channels, out);
        });
    }
}

impl MaxPool {
    /// The rows of an image of this height under a row of the output.
    pub(super) fn under(self, row: usize, height: usize) -> Range<usize> {
        let centre = row * self.stride;
        centre.saturating_sub(self.side / 2)..(centre + self.side / 2 + 1).min(height)
    }

    /// Computes a row of the output from the rows [under](Self::under) it.
    pub(super) fn row(self, rows: &[&[f32]], channels: usize, out: &mut [f32]) {
        arch().dispatch(Row { pool: self, rows, channels, out });
    }
}

/// Computes a row of the output from the rows under its windows.
struct Row<'a> {
    pool: MaxPool,
    rows: &'a [&'a [f32]],
    channels: usize,
    out: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { pool: MaxPool { side, stride }, rows, channels, out } = self;
        let width = rows[0].len() / channels;
        for (x, out) in out.chunks_exact_mut(channels).enumerate() {
            out.fill(f32::NEG_INFINITY);
            let columns = (x * stride).saturating_sub(side / 2)..(x * stride + side / 2 + 1).min(width);
            for line in rows {
                for column in columns.clone() {
                    let values = &line[column * channels..][..channels];
                    out.iter_mut()
                        .zip(values)
                        .for_each(|(out, value)| *out = if *value > *out { *value } else { *out });
                }
            }
        }
    }
}
