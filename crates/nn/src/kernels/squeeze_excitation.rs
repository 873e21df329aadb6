//! Squeeze and excitation (Hu et al. 2018, arXiv 1709.01507), with the addition at the end of a residual unit.

use std::sync::Arc;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::extent::Extent;
use super::ops::{MapOp, Maps};

/// The two layers that compute a factor for each channel from the means of all channels.
#[derive(Debug)]
pub struct SqueezeExcitation {
    channels: usize,
    /// Squeezed channels by channels.
    fc1: Vec<f32>,
    /// Channels by squeezed channels.
    fc2: Vec<f32>,
}

/// Multiplies each channel of the first maps with its factor, and adds the first of each `stride` pixels of the second maps, down
/// and across.
#[derive(Debug)]
pub struct ExciteAdd {
    /// The layers that compute the factors.
    pub layers: Arc<SqueezeExcitation>,
    /// 1 or more.
    pub stride: usize,
}

impl MapOp for ExciteAdd {
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize) {
        (inputs[0].extent, inputs[0].channels)
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        self.layers.forward(inputs[0], inputs[1], self.stride, out);
    }
}

impl SqueezeExcitation {
    /// `fc1` is squeezed channels by channels, `fc2` channels by squeezed channels.
    pub fn new(channels: usize, fc1: Vec<f32>, fc2: Vec<f32>) -> Self {
        Self { channels, fc1, fc2 }
    }

    fn forward(&self, maps: Maps, others: Maps, stride: usize, out: &mut [f32]) {
        let Maps { values: maps, extent, .. } = maps;
        let Maps { values: others, extent: other_extent, .. } = others;
        let row = extent.width * self.channels;
        let image = extent.height * row;
        let arch = arch();
        for (index, (maps, out)) in maps.chunks_exact(image).zip(out.chunks_exact_mut(image)).enumerate() {
            let sum = |row| arch.dispatch(Sum { row, channels: self.channels });
            let sums: Vec<Vec<f32>> = maps.par_chunks_exact(row).map(sum).collect();
            // Row after row, so that the sum does not depend on the number of cores.
            let mut means = vec![0.0; self.channels];
            for sums in sums {
                means.iter_mut().zip(sums).for_each(|(mean, sum)| *mean += sum);
            }
            means.iter_mut().for_each(|mean| *mean /= (extent.height * extent.width) as f32);
            let factors = self.factors(&means);
            out.par_chunks_exact_mut(row).zip(maps.par_chunks_exact(row)).enumerate().for_each(|(y, (out, values))| {
                let other = (index * other_extent.height + y * stride) * other_extent.width * self.channels;
                let others = &others[other..];
                arch.dispatch(Scale { factors: &factors, values, others, stride, out });
            });
        }
    }

    fn factors(&self, means: &[f32]) -> Vec<f32> {
        let product = |weights: &[f32], values: &[f32]| weights.iter().zip(values).map(|(a, b)| a * b).sum::<f32>();
        let squeezed: Vec<f32> = self.fc1.chunks_exact(means.len()).map(|row| product(row, means).max(0.0)).collect();
        self.fc2.chunks_exact(squeezed.len()).map(|row| 1.0 / (1.0 + (-product(row, &squeezed)).exp())).collect()
    }
}

/// Sums each channel of a row.
struct Sum<'a> {
    row: &'a [f32],
    channels: usize,
}

impl WithSimd for Sum<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let mut sums = vec![0.0; self.channels];
        let vectors = S::as_mut_simd_f32s(&mut sums).0;
        for pixel in S::as_simd_f32s(self.row).0.chunks_exact(vectors.len()) {
            for (sum, value) in vectors.iter_mut().zip(pixel) {
                *sum = simd.add_f32s(*sum, *value);
            }
        }
        sums
    }
}

/// Scales the channels of a row, and adds the other row.
struct Scale<'a> {
    factors: &'a [f32],
    values: &'a [f32],
    others: &'a [f32],
    stride: usize,
    out: &'a mut [f32],
}

impl WithSimd for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let factors = S::as_simd_f32s(self.factors).0;
        let count = factors.len();
        let others = S::as_simd_f32s(self.others).0.chunks_exact(count).step_by(self.stride);
        let pixels = S::as_simd_f32s(self.values).0.chunks_exact(count).zip(others);
        for (out, (values, others)) in S::as_mut_simd_f32s(self.out).0.chunks_exact_mut(count).zip(pixels) {
            for vector in 0..count {
                out[vector] = simd.mul_add_e_f32s(values[vector], factors[vector], others[vector]);
            }
        }
    }
}
