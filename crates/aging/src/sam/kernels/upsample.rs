//! StyleGAN2's upsampling: a transposed convolution of 3x3 with stride 2, then a blur by [1, 3, 3, 1].

use std::ops::Range;

use nn::kernels::{
    Convolution, DenseEpilogue, Epilogue, Extent, Prologue, Scratch, Tiling, Transposed, Winograd, Winograd2d, arch,
};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// The memory for the rows that are computed at once, in bytes.
const WORKING_SET: usize = 12 << 20;
/// Rows before the last one that a blurred row depends on, and columns.
const KEPT: usize = 3;
/// Columns that are blurred at once.
const STRIP: usize = 32;

/// The weights of the transposed convolution.
#[derive(Debug)]
pub(in crate::sam) struct Upsample(Winograd2d<Transposed>);

impl Upsample {
    /// Transforms weights: outputs by inputs by 3 by 3.
    ///
    /// # Panics
    /// If the numbers of channels are no multiples of 16.
    pub(in crate::sam) fn new(kernels: &[f32], outputs: usize, inputs: usize) -> Self {
        Self(Winograd2d::new(kernels, outputs, inputs))
    }

    /// Tiles of the transposed convolution. Its output has one row and one column more than twice the size, and then zeros.
    fn tiles(&self, extent: Extent) -> [usize; 2] {
        [extent.height, extent.width].map(|size| (size + 1).div_ceil(Transposed::STEP))
    }

    /// Values of a row of tiles.
    fn band(&self, extent: Extent) -> usize {
        let [_, across] = self.tiles(extent);
        Transposed::OUTPUTS * Transposed::OUTPUTS * across * self.outputs()
    }

    /// Rows of tiles that are computed at once.
    fn bands_at_once(&self, extent: Extent) -> usize {
        let threads = rayon::current_num_threads();
        let within = WORKING_SET / size_of::<f32>() / self.band(extent);
        within.next_multiple_of(threads).max(2 * threads).min(self.tiles(extent)[0])
    }

    /// The most rows of output that are computed at once.
    pub(super) fn rows_at_once(&self, extent: Extent) -> usize {
        Transposed::OUTPUTS * self.bands_at_once(extent)
    }

    /// Computes the output a group of rows at a time.
    pub(super) fn forward_by_rows(
        &self,
        map: &[f32],
        extent: Extent,
        prologue: &Prologue,
        epilogue: &Epilogue,
        out: &mut impl Rows,
    ) {
        let (outputs, wide) = (self.outputs(), 2 * extent.width);
        let (tiles, band, at_once) = (self.tiles(extent), self.band(extent), self.bands_at_once(extent));
        let row = band / Transposed::OUTPUTS;
        let (prologue, epilogue) = (prologue.dense(self.0.inputs()), epilogue.dense(outputs));
        let width = row / outputs;
        let prologue = &prologue;
        let convolution = &self.0;
        let tiling = Tiling {
            convolution,
            maps: map,
            extent,
            prologue,
            tiles,
            above: 0,
            stride: width,
            width,
            epilogue: None,
            pixel: 0,
        };
        // Rows of the transposed convolution, after the last rows of the group before.
        let mut rows = Scratch::new(KEPT * row + at_once * band);
        let rows = rows.values_mut();
        rows[..KEPT * row].fill(0.0);
        for first in (0..tiles[0]).step_by(at_once) {
            let bands = at_once.min(tiles[0] - first);
            let mut parts: Vec<&mut [f32]> = rows[KEPT * row..][..bands * band].chunks_exact_mut(band).collect();
            tiling.bands(first, &mut parts);
            // A blurred row depends on the two rows after it.
            let above = Transposed::OUTPUTS * first;
            let done = above.saturating_sub(2);
            let end = (above + Transposed::OUTPUTS * bands - 2).min(2 * extent.height);
            let kept = &*rows;
            let now = out.rows(done..end);
            let blurred = || Scratch::new((STRIP + KEPT) * outputs);
            let some = (end - done).div_ceil(4 * rayon::current_num_threads()).max(1);
            now.par_chunks_mut(some * wide * outputs).enumerate().for_each_init(blurred, |blurred, (index, out)| {
                let first = done + index * some;
                let rows = &kept[(first + KEPT - 1 - above) * row..];
                let blurred = blurred.values_mut();
                arch().dispatch(Blur { rows, row, blurred, first, wide, outputs, epilogue: &epilogue, out });
            });
            out.filled(end);
            let end = Transposed::OUTPUTS * bands * row;
            rows.copy_within(end..end + KEPT * row, 0);
        }
    }
}

impl Convolution for Upsample {
    fn outputs(&self) -> usize {
        self.0.outputs()
    }

    fn out(&self, Extent { images, height, width }: Extent) -> Extent {
        Extent { images, height: 2 * height, width: 2 * width }
    }

    /// One map to one of twice the size.
    fn forward(&self, map: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]) {
        let row = 2 * extent.width * self.outputs();
        self.forward_by_rows(map, extent, prologue, epilogue, &mut Whole { row, out });
    }
}

/// The destination of rows, which are computed in groups from the first to the last.
pub(super) trait Rows {
    /// The memory of the next rows.
    fn rows(&mut self, rows: Range<usize>) -> &mut [f32];
    /// The rows before `end` are computed.
    fn filled(&mut self, end: usize);
}

/// All rows of a map.
struct Whole<'a> {
    row: usize,
    out: &'a mut [f32],
}

impl Rows for Whole<'_> {
    fn rows(&mut self, rows: Range<usize>) -> &mut [f32] {
        &mut self.out[rows.start * self.row..rows.end * self.row]
    }

    fn filled(&mut self, _: usize) {}
}

/// Computes some rows of the output.
struct Blur<'a> {
    /// Rows of the transposed convolution, from the one before the first row's place on.
    rows: &'a [f32],
    row: usize,
    /// Scratch memory for a part of a row.
    blurred: &'a mut [f32],
    first: usize,
    wide: usize,
    outputs: usize,
    epilogue: &'a DenseEpilogue<'a>,
    out: &'a mut [f32],
}

impl WithSimd for Blur<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, row, blurred, first: first_row, wide, outputs, epilogue, out } = self;
        let (vectors, row) = (outputs / S::F32_LANES, row / S::F32_LANES);
        let (rows, blurred) = (S::as_simd_f32s(rows).0, S::as_mut_simd_f32s(blurred).0);
        let (epilogue, out) = (epilogue.simd::<S>(), S::as_mut_simd_f32s(out).0);
        // Strip by strip, so that a row is still in the cache when the next row needs it.
        for left in (0..wide).step_by(STRIP) {
            let columns = STRIP.min(wide - left);
            for (y, out) in out.chunks_exact_mut(wide * vectors).enumerate() {
                // One column before the strip, except before the first one, and two after it.
                let (start, skipped) = if left == 0 { (0, vectors) } else { ((left - 1) * vectors, 0) };
                let count = (columns + KEPT) * vectors - skipped;
                let line = |index: usize| &rows[(y + index) * row + start..][..count];
                let (first, second, third, fourth) = (line(0), line(1), line(2), line(3));
                let blurred = &mut blurred[..skipped + count];
                for index in 0..skipped {
                    blurred[index] = simd.splat_f32s(0.0);
                }
                for (index, blurred) in blurred[skipped..].iter_mut().enumerate() {
                    *blurred = blur(simd, first[index], second[index], third[index], fourth[index]);
                }
                for x in 0..columns {
                    let pixel = (first_row + y) * wide + left + x;
                    let out = &mut out[(left + x) * vectors..][..vectors];
                    for (vector, out) in out.iter_mut().enumerate() {
                        let at = |column: usize| (x + column) * vectors + vector;
                        let (first, second) = (blurred[at(0)], blurred[at(1)]);
                        let (third, fourth) = (blurred[at(2)], blurred[at(3)]);
                        *out = epilogue.apply(simd, blur(simd, first, second, third, fourth), vector, pixel);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn blur<S: Simd>(simd: S, first: S::f32s, second: S::f32s, third: S::f32s, fourth: S::f32s) -> S::f32s {
    let outer = simd.mul_f32s(simd.splat_f32s(0.25), simd.add_f32s(first, fourth));
    simd.mul_add_e_f32s(simd.splat_f32s(0.75), simd.add_f32s(second, third), outer)
}
