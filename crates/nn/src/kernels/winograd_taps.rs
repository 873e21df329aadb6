//! Products with weights that are transformed at each run.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::gemm::{Far, Line, Panels};
use super::winograd::Winograd;
use super::winograd_2d::{Product, Winograd2d};
use super::winograd_weights::TransformRow;

/// Panels whose weights a task transforms at once.
pub(super) const PANELS: usize = 4;

/// Transforms the weights of some panels, and computes the products of all positions.
pub(super) struct Transformed<'a, F> {
    pub(super) convolution: &'a Winograd2d<F>,
    /// For each panel, for every input: a line of each tap.
    pub(super) taps: &'a [Line],
    /// Memory for [`lines`](Self::lines).
    pub(super) weights: &'a mut [Line],
    pub(super) patches: &'a [Line],
    pub(super) tiles: Range<usize>,
    pub(super) out: &'a mut [Line],
}

impl<F: Winograd> Transformed<'_, F> {
    /// Lines of a panel's weights. One is unused, as in patches.
    fn stride(inputs: usize) -> usize {
        inputs + 1
    }

    /// Lines of the weights of a row of positions.
    pub(super) fn lines(inputs: usize) -> usize {
        F::WEIGHTS * PANELS * Self::stride(inputs)
    }
}

impl<F: Winograd> WithSimd for Transformed<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { convolution, taps, weights, patches, tiles, out } = self;
        let (depth, stride) = (convolution.inputs(), Self::stride(convolution.inputs()));
        let count = taps.len() / (9 * depth);
        let product = Winograd2d::<F>::product_stride(tiles.len(), count);
        // A row at a time, so that its weights stay in the cache of a core.
        for row in 0..F::WEIGHTS {
            for (panel, taps) in taps.chunks_exact(9 * depth).enumerate() {
                let lines = &mut weights[panel * stride..];
                TransformRow::<F> { taps, row, lines, stride: PANELS * stride, algorithm: PhantomData }.with_simd(simd);
            }
            for y in (0..F::POSITIONS).filter(|y| F::weight(*y) == row) {
                for x in 0..F::POSITIONS {
                    let lines = &weights[F::weight(x) * PANELS * stride..];
                    let panels = Panels { lines, stride, depth, count };
                    let position = y * F::POSITIONS + x;
                    let out = &mut out[position * product..][..product];
                    Product { convolution, panels, patches, places: Far, position, tiles: tiles.clone(), out }
                        .with_simd(simd);
                }
            }
        }
    }
}
