//! The patches of tiles, transformed for a [`Winograd`] algorithm along both axes.

use pulp::{Simd, WithSimd};

use super::extent::Extent;
use super::gemm::{COLUMNS, Line};
use super::prefetch::prefetch_read;
use super::winograd::{MOST, Winograd};
use super::winograd_2d::{BLOCK, Tiling};

/// The most vectors of a pixel with which the pixels of a patch fit into a core's innermost cache.
const FEW_VECTORS: usize = 8;

/// Computes the transformed patches of up to [`BLOCK`] tiles: position by tile by channel.
pub(super) struct Patches<'a, F> {
    pub(super) tiling: Tiling<'a, F>,
    pub(super) tile: usize,
    pub(super) tiles: usize,
    pub(super) out: &'a mut [Line],
}

impl<F: Winograd> WithSimd for Patches<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiling, tile, tiles, out } = self;
        let Tiling { convolution, maps, extent, prologue, tiles: [down, across], above, .. } = tiling;
        let Extent { height, width, .. } = extent;
        let maps = S::as_simd_f32s(maps).0;
        let out = S::as_mut_simd_f32s(out.as_flattened_mut()).0;
        let vectors = convolution.inputs / S::F32_LANES;
        let stride = convolution.patch_stride() * COLUMNS / S::F32_LANES;
        let zero = simd.splat_f32s(0.0);
        let mut columns = [[zero; MOST]; MOST];
        // The same channels of the next tile, or those after the next ones.
        let ahead = if vectors <= FEW_VECTORS { F::STEP * vectors } else { 2 };
        for index in 0..tiles {
            let (row, column) = ((tile + index) / across, (tile + index) % across);
            let (image, row) = (row / down, row % down);
            // A patch begins one row and one column before its tile.
            let (top, left) = (above + row * F::STEP, column * F::STEP);
            let inside = |first: usize, size: usize| first > 0 && first - 1 + F::PATCH <= size;
            let origin = (image * height + top).wrapping_sub(1).wrapping_mul(width).wrapping_add(left).wrapping_sub(1);
            let is_inside = inside(top, height) && inside(left, width);
            let mut lines: [&[S::f32s]; MOST] = [&[]; MOST];
            for y in (0..F::PATCH).filter(|_| is_inside) {
                lines[y] = &maps[(origin + y * width) * vectors..][..F::PATCH * vectors];
            }
            let out = &mut out[index * stride..];
            macro_rules! tile {
                ($y:ident, $x:ident, $vector:ident, $value:expr) => {
                    for $vector in 0..vectors {
                        for $x in 0..F::PATCH {
                            let mut values = [zero; MOST];
                            for $y in 0..F::PATCH {
                                values[$y] = $value;
                            }
                            let values = F::patch(simd, values);
                            for position in 0..F::POSITIONS {
                                columns[position][$x] = values[position];
                            }
                        }
                        for y in 0..F::POSITIONS {
                            let values = F::patch(simd, columns[y]);
                            for x in 0..F::POSITIONS {
                                out[(y * F::POSITIONS + x) * BLOCK * stride + $vector] = values[x];
                            }
                        }
                    }
                };
            }
            macro_rules! inner {
                ($y:ident, $x:ident, $vector:ident) => {{
                    let index = $x * vectors + $vector;
                    prefetch_read(lines[$y], index + ahead);
                    lines[$y][index]
                }};
            }
            macro_rules! value {
                ($y:ident, $x:ident, $vector:ident) => {
                    maps[origin.wrapping_add($y * width + $x).wrapping_mul(vectors) + $vector]
                };
            }
            macro_rules! or_zero {
                ($y:ident, $x:ident, $value:expr) => {
                    if (1..=height).contains(&(top + $y)) && (1..=width).contains(&(left + $x)) { $value } else { zero }
                };
            }
            match (prologue.simd::<S>(), is_inside) {
                (None, true) => tile!(y, x, vector, inner!(y, x, vector)),
                (None, false) => tile!(y, x, vector, or_zero!(y, x, value!(y, x, vector))),
                (Some(prologue), true) => tile!(y, x, vector, prologue.apply(simd, inner!(y, x, vector), vector)),
                (Some(prologue), false) => {
                    tile!(y, x, vector, or_zero!(y, x, prologue.apply(simd, value!(y, x, vector), vector)))
                }
            }
        }
    }
}
