//! The outputs of tiles, from the products of a [`Winograd`] algorithm along both axes.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::gemm::{COLUMNS, Line};
use super::prefetch::prefetch_write;
use super::winograd::{MOST, Winograd};
use super::winograd_2d::{Group, Tiling, Winograd2d};

/// Computes the output pixels of tiles of one row, in the channels of a group.
pub(super) struct Outputs<'a, F> {
    pub(super) tiling: Tiling<'a, F>,
    pub(super) group: Group,
    pub(super) products: &'a [Line],
    /// The first tile of the products, and their number.
    pub(super) tile: usize,
    pub(super) tiles: usize,
    /// The tiles to compute, counted from the first.
    pub(super) range: Range<usize>,
    pub(super) band: &'a mut [f32],
}

impl<F: Winograd> WithSimd for Outputs<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiling, group, products, tile, tiles, range, band } = self;
        let Tiling { convolution, tiles: [down, across], stride, width, epilogue, pixel, .. } = tiling;
        let products = S::as_simd_f32s(products.as_flattened()).0;
        let band = S::as_mut_simd_f32s(band).0;
        let vectors = convolution.outputs / S::F32_LANES;
        let of_line = COLUMNS / S::F32_LANES;
        let (skipped, computed) = (group.first * of_line, group.count * of_line);
        let position_stride = Winograd2d::<F>::product_stride(tiles, group.count) * of_line;
        let epilogue = epilogue.map(|epilogue| epilogue.simd::<S>());
        let rows = band.len() / (stride * vectors);
        let zero = simd.splat_f32s(0.0);
        let mut between = [[zero; MOST]; MOST];
        for index in range {
            let (row, column) = ((tile + index) / across % down, (tile + index) % across * F::OUTPUTS);
            let columns = F::OUTPUTS.min(width - column);
            let products = &products[index * computed..];
            macro_rules! tile {
                ($y:ident, $x:ident, $vector:ident, $value:ident, $end:ident = $parameters:expr, $finished:expr) => {
                    for $vector in 0..computed {
                        let $end = $parameters;
                        for x in 0..F::POSITIONS {
                            let mut values = [zero; MOST];
                            for y in 0..F::POSITIONS {
                                values[y] = products[(y * F::POSITIONS + x) * position_stride + $vector];
                            }
                            let values = F::outputs(simd, values);
                            for y in 0..F::OUTPUTS {
                                between[y][x] = values[y];
                            }
                        }
                        for $y in 0..rows {
                            let values = F::outputs(simd, between[$y]);
                            let line = &mut band[($y * stride + column) * vectors..][..columns * vectors];
                            for $x in 0..F::OUTPUTS {
                                let index = $x * vectors + skipped + $vector;
                                if let Some(out) = line.get_mut(index) {
                                    let $value = values[$x];
                                    *out = $finished;
                                }
                                prefetch_write(line, index + 1);
                            }
                        }
                    }
                };
            }
            match &epilogue {
                None => tile!(y, x, vector, value, _end = None::<()>, value),
                Some(epilogue) if epilogue.is_quiet() => {
                    tile!(
                        y,
                        x,
                        vector,
                        value,
                        end = epilogue.of_vector(simd, skipped + vector),
                        end.apply(simd, value)
                    );
                }
                Some(epilogue) => {
                    let first = pixel + row * F::OUTPUTS * width + column;
                    let apply = |value, vector, index| epilogue.apply(simd, value, skipped + vector, first + index);
                    tile!(y, x, vector, value, end = apply, end(value, vector, y * width + x));
                }
            }
        }
    }
}
