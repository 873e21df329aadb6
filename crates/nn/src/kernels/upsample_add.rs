//! Bilinear upsampling to the size of other maps, which it is added to or multiplied with.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::extent::Extent;
use super::ops::{Maps, UpdateOp};

/// Two neighbours along an axis, and the weight of the second.
#[derive(Clone, Copy)]
struct Between {
    first: usize,
    second: usize,
    share: f32,
}

/// The neighbours, of `from` places, of a place among `size`, with the ends aligned.
fn between(place: usize, size: usize, from: usize) -> Between {
    let position = place as f32 * ((from - 1) as f32 / (size - 1).max(1) as f32);
    let first = (position as usize).min(from - 1);
    Between { first, second: (first + 1).min(from - 1), share: position - first as f32 }
}

/// Some rows of maps: those from `first` on, of `height`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSpan {
    /// The number of the first row.
    pub first: usize,
    /// The rows of the whole maps.
    pub height: usize,
}

/// Upsamples maps to the size of other maps, bilinearly with aligned corners, and adds them to the other maps.
#[derive(Debug)]
pub struct UpsampleAdd;

impl UpdateOp for UpsampleAdd {
    fn update(&self, maps: Maps, extent: Extent, sums: &mut [f32]) {
        upsample(maps, extent, RowSpan { first: 0, height: extent.height }, false, sums);
    }
}

/// Upsamples maps, bilinearly with aligned corners, and multiplies other maps by them: these rows of maps of the upsampled size.
#[derive(Debug)]
pub struct UpsampleMultiply(pub RowSpan);

impl UpdateOp for UpsampleMultiply {
    fn update(&self, maps: Maps, extent: Extent, products: &mut [f32]) {
        upsample(maps, extent, self.0, true, products);
    }
}

fn upsample(maps: Maps, extent: Extent, rows: RowSpan, multiplied: bool, values: &mut [f32]) {
    let Maps { values: maps, extent: from, channels } = maps;
    let columns: Vec<Between> = (0..extent.width).map(|x| between(x, extent.width, from.width)).collect();
    values.par_chunks_exact_mut(extent.width * channels).enumerate().for_each(|(index, values)| {
        let (image, y) = (index / extent.height, index % extent.height);
        let down = between(rows.first + y, rows.height, from.height);
        let row = |y: usize| &maps[(image * from.height + y) * from.width * channels..][..from.width * channels];
        let rows = [row(down.first), row(down.second)];
        arch().dispatch(Join { rows, share: down.share, columns: &columns, multiplied, values });
    });
}

/// Computes a row.
struct Join<'a> {
    rows: [&'a [f32]; 2],
    share: f32,
    columns: &'a [Between],
    /// Whether the values are multiplied, and not added to.
    multiplied: bool,
    values: &'a mut [f32],
}

impl WithSimd for Join<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows: [upper, lower], share, columns, multiplied, values } = self;
        let (upper, lower) = (S::as_simd_f32s(upper).0, S::as_simd_f32s(lower).0);
        let values = S::as_mut_simd_f32s(values).0;
        let vectors = values.len() / columns.len();
        for (between, values) in columns.iter().zip(values.chunks_exact_mut(vectors)) {
            let (first, second) = (between.first * vectors, between.second * vectors);
            for (vector, value) in values.iter_mut().enumerate() {
                let upper = mix(simd, upper[first + vector], upper[second + vector], between.share);
                let lower = mix(simd, lower[first + vector], lower[second + vector], between.share);
                let mixed = mix(simd, upper, lower, share);
                *value = if multiplied { simd.mul_f32s(*value, mixed) } else { simd.add_f32s(*value, mixed) };
            }
        }
    }
}

#[inline(always)]
fn mix<S: Simd>(simd: S, first: S::f32s, second: S::f32s, share: f32) -> S::f32s {
    let first = simd.mul_f32s(simd.splat_f32s(1.0 - share), first);
    simd.mul_add_e_f32s(simd.splat_f32s(share), second, first)
}
