//! Upsampling by the nearest pixel to the size of other maps, added to those.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::extent::Extent;
use super::ops::{Maps, UpdateOp};

/// Upsamples the first maps to the size of the second ones as `torch.nn.functional.interpolate` does by default, and adds the
/// second ones.
#[derive(Debug)]
pub struct NearestAdd;

/// The place, of `from` places, that stands for a place among `size`. PyTorch computes it in float32 too.
fn nearest(place: usize, size: usize, from: usize) -> usize {
    ((place as f32 * (from as f32 / size as f32)) as usize).min(from - 1)
}

impl UpdateOp for NearestAdd {
    fn update(&self, Maps { values: maps, extent: from, channels }: Maps, extent: Extent, sums: &mut [f32]) {
        let row = extent.width * channels;
        let columns: Vec<usize> = (0..extent.width).map(|x| nearest(x, extent.width, from.width)).collect();
        sums.par_chunks_exact_mut(row).enumerate().for_each(|(index, sums)| {
            let (image, y) = (index / extent.height, index % extent.height);
            let line = image * from.height + nearest(y, extent.height, from.height);
            let maps = &maps[line * from.width * channels..][..from.width * channels];
            arch().dispatch(Add { maps, columns: &columns, channels, sums });
        });
    }
}

/// Computes a row.
struct Add<'a> {
    maps: &'a [f32],
    columns: &'a [usize],
    channels: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { maps, columns, channels, sums } = self;
        for (sums, column) in sums.chunks_exact_mut(channels).zip(columns) {
            let values = &maps[column * channels..][..channels];
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }
}
