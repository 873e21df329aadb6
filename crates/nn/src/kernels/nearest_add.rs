//! Upsampling by the nearest pixel to the size of other maps, added to those.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::extent::Extent;
use super::ops::{MapOp, Maps};

/// Upsamples the first maps to the size of the second ones as `torch.nn.functional.interpolate` does by default, and adds the
/// second ones.
#[derive(Debug)]
pub struct NearestAdd;

/// The place, of `from` places, that stands for a place among `size`. PyTorch computes it in float32 too.
fn nearest(place: usize, size: usize, from: usize) -> usize {
    ((place as f32 * (from as f32 / size as f32)) as usize).min(from - 1)
}

impl MapOp for NearestAdd {
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize) {
        (inputs[1].extent, inputs[0].channels)
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        let Maps { values: maps, extent: from, channels } = inputs[0];
        let Maps { values: others, extent, .. } = inputs[1];
        let row = extent.width * channels;
        let columns: Vec<usize> = (0..extent.width).map(|x| nearest(x, extent.width, from.width)).collect();
        out.par_chunks_exact_mut(row).zip(others.par_chunks_exact(row)).enumerate().for_each(
            |(index, (out, others))| {
                let (image, y) = (index / extent.height, index % extent.height);
                let line = image * from.height + nearest(y, extent.height, from.height);
                let maps = &maps[line * from.width * channels..][..from.width * channels];
                arch().dispatch(Add { maps, columns: &columns, channels, others, out });
            },
        );
    }
}

/// Computes a row.
struct Add<'a> {
    maps: &'a [f32],
    columns: &'a [usize],
    channels: usize,
    others: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { maps, columns, channels, others, out } = self;
        let pixels = out.chunks_exact_mut(channels).zip(others.chunks_exact(channels));
        for ((out, others), column) in pixels.zip(columns) {
            let values = &maps[column * channels..][..channels];
            for (out, (value, other)) in out.iter_mut().zip(values.iter().zip(others)) {
                *out = value + other;
            }
        }
    }
}
