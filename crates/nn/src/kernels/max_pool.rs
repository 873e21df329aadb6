//! The largest values of windows.

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
        let Extent { images, height, width } = inputs[0].extent;
        let extent = Extent { images, height: height.div_ceil(self.stride), width: width.div_ceil(self.stride) };
        (extent, inputs[0].channels)
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        let (out_extent, channels) = self.shape(inputs);
        let Maps { values, extent, .. } = inputs[0];
        let row = extent.width * channels;
        out.par_chunks_exact_mut(out_extent.width * channels).enumerate().for_each(|(index, out)| {
            let (image, y) = (index / out_extent.height, index % out_extent.height);
            let rows = &values[(image * extent.height + (y * self.stride).saturating_sub(self.side / 2)) * row..];
            let end = (y * self.stride + self.side / 2 + 1).min(extent.height);
            let rows = &rows[..(end - (y * self.stride).saturating_sub(self.side / 2)) * row];
            arch().dispatch(Row { pool: *self, rows, row, channels, out });
        });
    }
}

/// Computes a row of the output from the rows under its windows.
struct Row<'a> {
    pool: MaxPool,
    rows: &'a [f32],
    /// Numbers of a row of the input.
    row: usize,
    channels: usize,
    out: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { pool: MaxPool { side, stride }, rows, row, channels, out } = self;
        let width = row / channels;
        for (x, out) in out.chunks_exact_mut(channels).enumerate() {
            out.fill(f32::NEG_INFINITY);
            let columns = (x * stride).saturating_sub(side / 2)..(x * stride + side / 2 + 1).min(width);
            for line in rows.chunks_exact(row) {
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
