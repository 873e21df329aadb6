//! The end of a convolution: its epilogue, on sums in memory or in registers.

use pulp::{Simd, WithSimd};

use super::fused::{DenseEpilogue, SimdEpilogue};
use super::gemm::{self, COLUMNS, Line, Panels, Places, Sink};
use super::prefetch::prefetch_write;

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
    /// Whether the values that `out` holds are added before the activation.
    pub(super) adds: bool,
    /// The number of `out`'s first pixel.
    pub(super) first: usize,
    pub(super) out: &'a mut [f32],
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { outputs, sums, at_once, skipped, epilogue, adds, first, out } = self;
        let (vectors, simd_epilogue) = (COLUMNS / S::F32_LANES, epilogue.simd::<S>());
        let panels = outputs.div_ceil(COLUMNS);
        // The lines of each panel, and the lines from pixel to pixel there.
        let places: Vec<(&[Line], usize)> = (0..panels)
            .map(|panel| (panel / at_once, panel % at_once))
            .map(|(task, index)| (&sums[task][index..], at_once.min(panels - task * at_once)))
            .collect();
        for (pixel, out) in (first..).zip(out.chunks_exact_mut(outputs)) {
            for (panel, (out, (lines, width))) in out.chunks_mut(COLUMNS).zip(&places).enumerate() {
                let line = &lines[(pixel - skipped) * width];
                if out.len() == COLUMNS {
                    let values = S::as_simd_f32s(line).0;
                    for (index, out) in S::as_mut_simd_f32s(out).0.iter_mut().enumerate() {
                        let vector = panel * vectors + index;
                        *out = if adds {
                            simd_epilogue.apply_added(simd, values[index], vector, pixel, *out)
                        } else {
                            simd_epilogue.apply(simd, values[index], vector, pixel)
                        };
                    }
                } else {
                    for (index, (out, value)) in out.iter_mut().zip(line).enumerate() {
                        let other = if adds { *out } else { 0.0 };
                        *out = epilogue.apply_added(*value, panel * COLUMNS + index, pixel, other);
                    }
                }
            }
        }
    }
}

/// Applies the epilogue to sums that are complete in registers.
struct Finished<'a, S: Simd> {
    outputs: usize,
    vectors: SimdEpilogue<'a, S>,
    adds: bool,
    first: usize,
    out: &'a mut [f32],
}

impl<'a, S: Simd> Finished<'a, S> {
    /// The parameters have the names and meanings of [`Finish`]'s.
    #[inline(always)]
    fn new(outputs: usize, epilogue: &'a DenseEpilogue<'a>, adds: bool, first: usize, out: &'a mut [f32]) -> Self {
        Self { outputs, vectors: epilogue.simd::<S>(), adds, first, out }
    }
}

impl<S: Simd> Finished<'_, S> {
    /// Whole panels of a pixel without noise.
    #[inline(always)]
    fn put_whole<const PANELS: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        row: usize,
        panel: usize,
        sums: [[S::f32s; VECTORS]; PANELS],
    ) {
        let vectors = self.vectors.some::<VECTORS, PANELS>(simd, panel);
        let out = &mut self.out[row * self.outputs + panel * COLUMNS..][..PANELS * COLUMNS];
        let out =
            S::as_mut_simd_f32s(out).0.as_chunks_mut::<VECTORS>().0.first_chunk_mut::<PANELS>().expect("whole panels");
        for panel in 0..PANELS {
            for vector in 0..VECTORS {
                let values = vectors.shifted(simd, sums[panel][vector], panel, vector);
                let values = if self.adds { vectors.added(simd, values, out[panel][vector]) } else { values };
                out[panel][vector] = vectors.activated(simd, values, panel, vector);
            }
        }
    }

    /// The sums of a row in a panel, of which the map may have the first channels only.
    #[inline(always)]
    fn put_any<const VECTORS: usize>(&mut self, simd: S, row: usize, panel: usize, sums: [S::f32s; VECTORS]) {
        let (channel, pixel) = (panel * COLUMNS, self.first + row);
        let count = COLUMNS.min(self.outputs - channel);
        let out = &mut self.out[row * self.outputs + channel..][..count];
        if count == COLUMNS {
            let out = S::as_mut_simd_f32s(out).0;
            for index in 0..VECTORS {
                let vector = panel * VECTORS + index;
                out[index] = if self.adds {
                    self.vectors.apply_added(simd, sums[index], vector, pixel, out[index])
                } else {
                    self.vectors.apply(simd, sums[index], vector, pixel)
                };
            }
            return;
        }
        for (index, out) in out.chunks_mut(S::F32_LANES).enumerate() {
            let vector = panel * VECTORS + index;
            let values = if self.adds {
                self.vectors.apply_added(simd, sums[index], vector, pixel, simd.partial_load_f32s(out))
            } else {
                self.vectors.apply(simd, sums[index], vector, pixel)
            };
            simd.partial_store_f32s(out, values);
        }
    }
}

impl<S: Simd> Sink<S> for Finished<'_, S> {
    #[inline(always)]
    fn prefetch<const ROWS: usize, const PANELS: usize>(&mut self, row: usize, panel: usize) {
        for index in 0..ROWS {
            for place in 0..PANELS {
                prefetch_write(self.out, (row + index) * self.outputs + (panel + place) * COLUMNS);
            }
        }
    }

    #[inline(always)]
    fn put<const PANELS: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        row: usize,
        panel: usize,
        sums: [[S::f32s; VECTORS]; PANELS],
    ) {
        if self.vectors.is_quiet() && (panel + PANELS) * COLUMNS <= self.outputs {
            return self.put_whole(simd, row, panel, sums);
        }
        for place in 0..PANELS {
            self.put_any(simd, row, panel + place, sums[place]);
        }
    }
}

/// Multiplies rows with all weights, and applies the epilogue to the sums in registers.
pub(super) struct Product<'a, P> {
    /// For each pixel of the output: values, from the first one that a weight belongs to.
    pub(super) rows: &'a [&'a [f32]],
    /// The places of the others.
    pub(super) places: P,
    pub(super) weights: Panels<'a>,
    /// Output channels.
    pub(super) outputs: usize,
    pub(super) epilogue: &'a DenseEpilogue<'a>,
    /// Whether the values that `out` holds are added before the activation.
    pub(super) adds: bool,
    /// The number of `out`'s first pixel.
    pub(super) first: usize,
    pub(super) out: &'a mut [f32],
}

impl<P: Places> WithSimd for Product<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, places, weights, outputs, epilogue, adds, first, out } = self;
        let mut sink = Finished::<S>::new(outputs, epilogue, adds, first, out);
        gemm::multiply_into(simd, rows.len(), |row| rows[row], places, weights, &mut sink);
    }
}
