//! The end of a convolution whose sums are in memory: its epilogue.

use pulp::{Simd, WithSimd};

use super::fused::DenseEpilogue;
use super::gemm::{COLUMNS, Line};

/// Applies the epilogue to the sums of some pixels.
pub(super) struct Finish<'a> {
    /// Output channels.
    pub(super) outputs: usize,
    /// Pixel by panel, for `at_once` panels each.
    pub(super) sums: &'a [&'a [Line]],
    /// Panels of each of the `sums`, except the last.
    pub(super) at_once: usize,
    /// Pixels before the sums' first.
    pub(super) skipped: usize,
    pub(super) epilogue: &'a DenseEpilogue<'a>,
    /// Values that are added to those of `out`'s whole map before the activation; empty for none.
    pub(super) others: &'a [f32],
    /// The number of `out`'s first pixel.
    pub(super) first: usize,
    pub(super) out: &'a mut [f32],
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { outputs, sums, at_once, skipped, epilogue, others, first, out } = self;
        let (vectors, simd_epilogue) = (COLUMNS / S::F32_LANES, epilogue.simd::<S>());
        let panels = outputs.div_ceil(COLUMNS);
        // The lines of each panel, and the lines from pixel to pixel there.
        let places: Vec<(&[Line], usize)> = (0..panels)
            .map(|panel| (panel / at_once, panel % at_once))
            .map(|(task, index)| (&sums[task][index..], at_once.min(panels - task * at_once)))
            .collect();
        for (pixel, out) in (first..).zip(out.chunks_exact_mut(outputs)) {
            let others = if others.is_empty() { others } else { &others[pixel * outputs..][..outputs] };
            for (panel, (out, (lines, width))) in out.chunks_mut(COLUMNS).zip(&places).enumerate() {
                let line = &lines[(pixel - skipped) * width];
                let others = if others.is_empty() { others } else { &others[panel * COLUMNS..][..out.len()] };
                if out.len() == COLUMNS {
                    let (values, others) = (S::as_simd_f32s(line).0, S::as_simd_f32s(others).0);
                    for (index, out) in S::as_mut_simd_f32s(out).0.iter_mut().enumerate() {
                        let vector = panel * vectors + index;
                        *out = match others.get(index) {
                            Some(other) => simd_epilogue.apply_added(simd, values[index], vector, pixel, *other),
                            None => simd_epilogue.apply(simd, values[index], vector, pixel),
                        };
                    }
                } else {
                    for (index, (out, value)) in out.iter_mut().zip(line).enumerate() {
                        let other = others.get(index).copied().unwrap_or(0.0);
                        *out = epilogue.apply_added(*value, panel * COLUMNS + index, pixel, other);
                    }
                }
            }
        }
    }
}
