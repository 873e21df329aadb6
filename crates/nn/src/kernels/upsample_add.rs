//! Bilinear upsampling to the size of other maps, added to those or multiplied with them.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::extent::Extent;
use super::ops::{MapOp, Maps};

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

/// Upsamples the first maps to the size of the second ones, bilinearly with aligned corners, and adds the second ones.
#[derive(Debug)]
pub struct UpsampleAdd;

impl MapOp for UpsampleAdd {
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize) {
        (inputs[1].extent, inputs[0].channels)
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        upsample(inputs[0], inputs[1], false, out);
    }
}

/// Upsamples the first maps to the size of the second ones, bilinearly with aligned corners, and multiplies them with the second
/// ones.
#[derive(Debug)]
pub struct UpsampleMultiply;

impl MapOp for UpsampleMultiply {
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize) {
        (inputs[1].extent, inputs[0].channels)
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        upsample(inputs[0], inputs[1], true, out);
    }
}

fn upsample(maps: Maps, others: Maps, multiplied: bool, out: &mut [f32]) {
    let Maps { values: maps, extent: from, channels } = maps;
    let Maps { values: others, extent, .. } = others;
    let row = extent.width * channels;
    let columns: Vec<Between> = (0..extent.width).map(|x| between(x, extent.width, from.width)).collect();
    out.par_chunks_exact_mut(row).zip(others.par_chunks_exact(row)).enumerate().for_each(|(index, (out, others))| {
        let (image, y) = (index / extent.height, index % extent.height);
        let down = between(y, extent.height, from.height);
        let row = |y: usize| &maps[(image * from.height + y) * from.width * channels..][..from.width * channels];
        let rows = [row(down.first), row(down.second)];
        arch().dispatch(Join { rows, share: down.share, columns: &columns, others, multiplied, out });
    });
}

/// Computes a row.
struct Join<'a> {
    rows: [&'a [f32]; 2],
    share: f32,
    columns: &'a [Between],
    others: &'a [f32],
    /// Whether the others are factors, and not terms.
    multiplied: bool,
    out: &'a mut [f32],
}

impl WithSimd for Join<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows: [upper, lower], share, columns, others, multiplied, out } = self;
        let (upper, lower) = (S::as_simd_f32s(upper).0, S::as_simd_f32s(lower).0);
        let (others, out) = (S::as_simd_f32s(others).0, S::as_mut_simd_f32s(out).0);
        let vectors = out.len() / columns.len();
        for (x, between) in columns.iter().enumerate() {
            let (first, second) = (between.first * vectors, between.second * vectors);
            for vector in 0..vectors {
                let upper = mix(simd, upper[first + vector], upper[second + vector], between.share);
                let lower = mix(simd, lower[first + vector], lower[second + vector], between.share);
                let index = x * vectors + vector;
                let value = mix(simd, upper, lower, share);
                out[index] =
                    if multiplied { simd.mul_f32s(others[index], value) } else { simd.add_f32s(others[index], value) };
            }
        }
    }
}

#[inline(always)]
fn mix<S: Simd>(simd: S, first: S::f32s, second: S::f32s, share: f32) -> S::f32s {
    let first = simd.mul_f32s(simd.splat_f32s(1.0 - share), first);
    simd.mul_add_e_f32s(simd.splat_f32s(share), second, first)
}
