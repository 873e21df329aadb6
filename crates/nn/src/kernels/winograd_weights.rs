//! The weights of convolutions with 3x3 kernels, transformed for a [`Winograd`] algorithm along both axes.

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::gemm::{COLUMNS, Line};
use super::winograd::{MOST, Winograd};

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

/// Transforms the taps of a panel, which takes less than a hundredth of the time of the products with many tiles.
pub(super) struct TransformTaps<'a, 'b, F> {
    /// Input by tap.
    pub(super) taps: &'a [Line],
    /// A line of every input for each pair of weights.
    pub(super) matrices: &'a mut [&'b mut [Line]],
    pub(super) algorithm: PhantomData<F>,
}

impl<F: Winograd> WithSimd for TransformTaps<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { taps, matrices, .. } = self;
        // The transformation is linear, and the compiler knows its factors.
        let factors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(F::weights);
        let zero = simd.splat_f32s(0.0);
        macro_rules! transformed {
            ($taps:expr, $weight:ident) => {{
                let taps = $taps;
                let mut sum = zero;
                for tap in 0..3 {
                    let factor = factors[tap][$weight] as f32;
                    if factor != 0.0 {
                        sum = simd.mul_add_e_f32s(simd.splat_f32s(factor), taps[tap], sum);
                    }
                }
                sum
            }};
        }
        for (input, taps) in taps.chunks_exact(9).enumerate() {
            let taps = S::as_simd_f32s(taps.as_flattened()).0;
            let vectors = COLUMNS / S::F32_LANES;
            for vector in 0..vectors {
                let mut down = [[zero; 3]; MOST];
                for x in 0..3 {
                    let column = [
                        taps[x * vectors + vector],
                        taps[(x + 3) * vectors + vector],
                        taps[(x + 6) * vectors + vector],
                    ];
                    for y in 0..F::WEIGHTS {
                        down[y][x] = transformed!(column, y);
                    }
                }
                for y in 0..F::WEIGHTS {
                    for x in 0..F::WEIGHTS {
                        let line = &mut matrices[y * F::WEIGHTS + x][input];
                        S::as_mut_simd_f32s(line).0[vector] = transformed!(down[y], x);
                    }
                }
            }
        }
    }
}
