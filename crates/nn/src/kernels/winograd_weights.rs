//! The weights of convolutions with 3x3 kernels, transformed for a [`Winograd`] algorithm along both axes.

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::gemm::{COLUMNS, Line};
use super::winograd::{MOST, Winograd, more};

/// Transforms the weights of a panel.
pub(super) struct Transform<'a, 'b, F> {
    /// Outputs by inputs.
    pub(super) kernels: &'a [[f32; 9]],
    /// A line of every input for each pair of weights.
    pub(super) matrices: &'a mut [&'b mut [Line]],
    pub(super) algorithm: PhantomData<F>,
}

impl<F: Winograd> WithSimd for Transform<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { kernels, matrices, .. } = self;
        let inputs = kernels.len() / COLUMNS;
        let mut down = [[[0.0; COLUMNS]; 3]; MOST];
        for input in 0..inputs {
            for x in 0..3 {
                for column in 0..COLUMNS {
                    let kernel = &kernels[column * inputs + input];
                    let weights = F::weights([kernel[x], kernel[x + 3], kernel[x + 6]].map(f64::from));
                    for y in 0..F::WEIGHTS {
                        down[y][x][column] = weights[y];
                    }
                }
            }
            for y in 0..F::WEIGHTS {
                let mut lines = [[0.0; COLUMNS]; MOST];
                for column in 0..COLUMNS {
                    let weights = F::weights([down[y][0][column], down[y][1][column], down[y][2][column]]);
                    for x in 0..F::WEIGHTS {
                        lines[x][column] = weights[x] as f32;
                    }
                }
                for x in 0..F::WEIGHTS {
                    matrices[y * F::WEIGHTS + x][input] = lines[x];
                }
            }
        }
    }
}

/// Transforms the taps of a panel into the weights of one row of positions.
pub(super) struct TransformRow<'a, F> {
    /// For every input, a line of each tap.
    pub(super) taps: &'a [Line],
    /// The row of positions.
    pub(super) row: usize,
    /// A line of every input for each weight of the row.
    pub(super) lines: &'a mut [Line],
    /// Lines from one weight to the next.
    pub(super) stride: usize,
    pub(super) algorithm: PhantomData<F>,
}

impl<F: Winograd> WithSimd for TransformRow<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { taps, row, lines, stride, .. } = self;
        let down = F::FACTORS[row].map(|factor| simd.splat_f32s(factor as f32));
        let scaled = |factor: f64, values: S::f32s| simd.mul_f32s(simd.splat_f32s(factor as f32), values);
        let vectors = COLUMNS / S::F32_LANES;
        for (input, taps) in taps.chunks_exact(9).enumerate() {
            let taps = S::as_simd_f32s(taps.as_flattened()).0;
            for vector in 0..vectors {
                let mut column = [simd.splat_f32s(0.0); 3];
                for x in 0..3 {
                    let tap = |y: usize| taps[(3 * y + x) * vectors + vector];
                    let sum = simd.mul_add_e_f32s(down[1], tap(1), simd.mul_f32s(down[0], tap(0)));
                    column[x] = simd.mul_add_e_f32s(down[2], tap(2), sum);
                }
                // The weights of a point and of its negative share the sum of the outer taps.
                let mut outer = simd.splat_f32s(0.0);
                for x in 0..F::WEIGHTS {
                    let [first, middle, last] = F::FACTORS[x];
                    let shares = x > 0 && [first, last] == [F::FACTORS[x - 1][0], F::FACTORS[x - 1][2]];
                    if !shares {
                        outer = match (first != 0.0, last != 0.0) {
                            (true, true) => more(simd, scaled(first, column[0]), last as f32, column[2]),
                            (true, false) => scaled(first, column[0]),
                            _ => scaled(last, column[2]),
                        };
                    }
                    let sum = if middle == 0.0 { outer } else { more(simd, outer, middle as f32, column[1]) };
                    S::as_mut_simd_f32s(&mut lines[x * stride + input]).0[vector] = sum;
                }
            }
        }
    }
}
