//! Convolutions of 3x3 by the same [`Filtering`] along both axes.

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::around::{Epilogue, Exit, Prologue};
use super::filtering::{Filtering, MOST};
use super::gemm::{self, COLUMNS, Line, Panels};
use super::maps::Extent;
use super::pages::Pages;
use super::space::Space;

/// Tiles whose patches lie together.
const BLOCK: usize = 16;
/// What the transformed values of the tiles worked on at once may take, in bytes, if all cores work on them, and if one does.
const WORKING_SET: usize = 32 << 20;
const LOCAL_SET: usize = 256 << 10;
/// Up to so many bytes of weights are read again for every part of a map.
const LOCAL_WEIGHTS: usize = 4 << 20;

/// The weights of a convolution, transformed.
#[derive(Debug)]
pub(crate) struct Nested<F> {
    inputs: usize,
    outputs: usize,
    /// For each pair of weights, down and across: for each panel of outputs, a line of every input.
    weights: Pages,
    filtering: PhantomData<F>,
}

impl<F: Filtering> Nested<F> {
    /// Of weights: outputs by inputs by 3 by 3.
    ///
    /// # Panics
    /// If channels are no multiples of 16.
    pub(crate) fn new(kernels: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!((outputs % COLUMNS, inputs % COLUMNS), (0, 0), "whole lines of {outputs} and {inputs} channels");
        let kernels = kernels.as_chunks::<9>().0;
        let panels = outputs / COLUMNS;
        let mut weights = Pages::new(F::WEIGHTS * F::WEIGHTS * outputs * inputs);
        let mut tasks: Vec<Vec<&mut [Line]>> = (0..panels).map(|_| Vec::new()).collect();
        let lines = weights.values_mut().as_chunks_mut::<COLUMNS>().0;
        for matrix in lines.chunks_exact_mut(panels * inputs) {
            matrix.chunks_exact_mut(inputs).zip(&mut tasks).for_each(|(panel, task)| task.push(panel));
        }
        tasks.into_par_iter().enumerate().for_each(|(panel, mut matrices)| {
            let kernels = &kernels[panel * COLUMNS * inputs..][..COLUMNS * inputs];
            arch().dispatch(Transform::<F> { kernels, matrices: &mut matrices, filtering: PhantomData });
        });
        Self { inputs, outputs, weights, filtering: PhantomData }
    }

    /// Output channels.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Input channels.
    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    /// The weights of a position.
    fn panels(&self, position: usize) -> Panels<'_> {
        let (depth, count) = (self.inputs, self.outputs / COLUMNS);
        let (y, x) = (F::weight(position / F::POSITIONS), F::weight(position % F::POSITIONS));
        let lines = &self.weights.values().as_chunks().0[(y * F::WEIGHTS + x) * count * depth..];
        Panels { lines, stride: depth, depth, count }
    }

    /// Lines from one of a tile's patches to the next tile's; one more than it takes, as powers of two fall on each other in caches.
    fn patch_stride(&self) -> usize {
        self.inputs / COLUMNS + 1
    }

    fn patch_lines(&self, tiles: usize) -> usize {
        tiles.next_multiple_of(BLOCK) * F::POSITIONS * F::POSITIONS * self.patch_stride()
    }

    /// Lines from the products of one position to the next one's.
    fn product_stride(&self, tiles: usize) -> usize {
        tiles * self.outputs / COLUMNS + 1
    }

    fn product_lines(&self, tiles: usize) -> usize {
        F::POSITIONS * F::POSITIONS * self.product_stride(tiles)
    }

    /// How many tiles may be worked on at once in so many bytes.
    fn tiles_within(&self, bytes: usize) -> usize {
        bytes / size_of::<f32>() / (F::POSITIONS * F::POSITIONS * (self.inputs + self.outputs))
    }

    /// What comes of maps.
    pub(crate) fn out(&self, Extent { images, height, width }: Extent) -> Extent {
        let size = |size: usize| (size * F::OUTPUTS).div_ceil(F::STEP);
        Extent { images, height: size(height), width: size(width) }
    }

    /// Maps to maps, of a convolution that puts out no more than it takes in.
    pub(crate) fn forward(
        &self,
        maps: &[f32],
        extent: Extent,
        prologue: &Prologue,
        epilogue: &Epilogue,
        out: &mut [f32],
    ) {
        let Extent { height, width, .. } = self.out(extent);
        let (prologue, exit) = (prologue.whole(self.inputs), epilogue.exit(self.outputs));
        let work = self.work(maps, extent, &prologue, &exit);
        let row = width * self.outputs;
        let images = out.chunks_exact_mut(height * row);
        let mut bands: Vec<&mut [f32]> = images.flat_map(|image| image.chunks_mut(F::OUTPUTS * row)).collect();
        work.bands(0, &mut bands);
    }

    /// The work on all maps.
    pub(super) fn work<'a>(
        &'a self,
        maps: &'a [f32],
        extent: Extent,
        prologue: &'a Prologue,
        exit: &'a Exit,
    ) -> Work<'a, F> {
        let Extent { height, width, .. } = self.out(extent);
        let tiles = [height, width].map(|size| size.div_ceil(F::OUTPUTS));
        Work { nested: self, maps, extent, prologue, tiles, above: 0, stride: width, width, exit: Some(exit), pixel: 0 }
    }
}

/// The weights of a panel, from outputs by inputs by kernel.
struct Transform<'a, 'b, F> {
    kernels: &'a [[f32; 9]],
    /// A line of every input for each pair of weights.
    matrices: &'a mut [&'b mut [Line]],
    filtering: PhantomData<F>,
}

impl<F: Filtering> WithSimd for Transform<'_, '_, F> {
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

/// A convolution, what it is of, and what comes of it.
#[derive(Clone, Copy)]
pub(super) struct Work<'a, F> {
    pub(super) nested: &'a Nested<F>,
    pub(super) maps: &'a [f32],
    pub(super) extent: Extent,
    pub(super) prologue: &'a Prologue,
    /// Tiles of an image, down and across.
    pub(super) tiles: [usize; 2],
    /// Rows of the maps that are there for the outputs' sake, before those with places of their own.
    pub(super) above: usize,
    /// Pixels from one row of outputs to the next, and those that are in the map.
    pub(super) stride: usize,
    pub(super) width: usize,
    pub(super) exit: Option<&'a Exit<'a>>,
    /// The number of the first output pixel.
    pub(super) pixel: usize,
}

impl<F: Filtering> Work<'_, F> {
    /// How many tiles of a row one task works on at once.
    fn at_once(&self) -> usize {
        let tiles = self.nested.tiles_within(LOCAL_SET) / BLOCK * BLOCK;
        tiles.clamp(BLOCK, self.tiles[1].next_multiple_of(BLOCK))
    }

    /// Space for the patches and the products of that many.
    pub(super) fn space(&self) -> [Space; 2] {
        let at_once = self.at_once();
        [self.nested.patch_lines(at_once), self.nested.product_lines(at_once)].map(|lines| Space::new(lines * COLUMNS))
    }

    /// Puts out one row of tiles.
    pub(super) fn band(self, row: usize, [patches, products]: &mut [Space; 2], band: &mut [f32]) {
        let (nested, across, at_once) = (self.nested, self.tiles[1], self.at_once());
        for tile in (0..across).step_by(at_once) {
            let tiles = at_once.min(across - tile);
            let patches = &mut patches.lines_mut()[..nested.patch_lines(tiles)];
            let products = &mut products.lines_mut()[..nested.product_lines(tiles)];
            arch().dispatch(All { work: self, tile: row * across + tile, tiles, patches, products, band });
        }
    }

    /// Puts out some rows of tiles from `first` on, each into rows of outputs. The number of a row of tiles goes on from image
    /// to image.
    pub(super) fn bands(self, first: usize, bands: &mut [&mut [f32]]) {
        let [_, across] = self.tiles;
        let nested = self.nested;
        if size_of_val(nested.weights.values()) <= LOCAL_WEIGHTS && bands.len() >= 2 * rayon::current_num_threads() {
            // Every task does all the work on some tiles.
            let space = || self.space();
            bands.par_iter_mut().enumerate().for_each_init(space, |space, (index, band)| {
                self.band(first + index, space, band);
            });
            return;
        }
        // All tasks do one step on many tiles, then the next one, so that weights are read once for many.
        let at_once = (nested.tiles_within(WORKING_SET) / across).clamp(1, bands.len());
        let mut patches = Space::new(nested.patch_lines(at_once * across) * COLUMNS);
        let mut products = Space::new(nested.product_lines(at_once * across) * COLUMNS);
        for (index, bands) in bands.chunks_mut(at_once).enumerate() {
            let tile = (first + index * at_once) * across;
            let tiles = bands.len() * across;
            let patches = &mut patches.lines_mut()[..nested.patch_lines(tiles)];
            patches.par_chunks_mut(nested.patch_lines(BLOCK)).enumerate().for_each(|(block, out)| {
                let tiles = BLOCK.min(tiles - block * BLOCK);
                arch().dispatch(Patches { work: self, tile: tile + block * BLOCK, tiles, out });
            });
            let patches = &*patches;
            let products = &mut products.lines_mut()[..nested.product_lines(tiles)];
            products.par_chunks_exact_mut(nested.product_stride(tiles)).enumerate().for_each(|(position, out)| {
                arch().dispatch(Product { nested, patches, position, tiles, out });
            });
            let products = &*products;
            bands.par_iter_mut().enumerate().for_each(|(index, band)| {
                let first = index * across;
                let range = first..first + across;
                arch().dispatch(Outputs { work: self, products, tile, tiles, range, band });
            });
        }
    }
}

/// All steps on some tiles of a row.
struct All<'a, F> {
    work: Work<'a, F>,
    tile: usize,
    tiles: usize,
    patches: &'a mut [Line],
    products: &'a mut [Line],
    band: &'a mut [f32],
}

impl<F: Filtering> WithSimd for All<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, tile, tiles, patches, products, band } = self;
        let nested = work.nested;
        for (block, out) in patches.chunks_mut(nested.patch_lines(BLOCK)).enumerate() {
            let tiles = BLOCK.min(tiles - block * BLOCK);
            Patches { work, tile: tile + block * BLOCK, tiles, out }.with_simd(simd);
        }
        for (position, out) in products.chunks_exact_mut(nested.product_stride(tiles)).enumerate() {
            Product { nested, patches, position, tiles, out }.with_simd(simd);
        }
        Outputs { work, products, tile, tiles, range: 0..tiles, band }.with_simd(simd);
    }
}

/// The transformed patches of up to [`BLOCK`] tiles: position by tile by channel.
struct Patches<'a, F> {
    work: Work<'a, F>,
    tile: usize,
    tiles: usize,
    out: &'a mut [Line],
}

impl<F: Filtering> WithSimd for Patches<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, tile, tiles, out } = self;
        let Work { nested, maps, extent, prologue, tiles: [down, across], above, .. } = work;
        let Extent { height, width, .. } = extent;
        let maps = S::as_simd_f32s(maps).0;
        let out = S::as_mut_simd_f32s(out.as_flattened_mut()).0;
        let vectors = nested.inputs / S::F32_LANES;
        let stride = nested.patch_stride() * COLUMNS / S::F32_LANES;
        let zero = simd.splat_f32s(0.0);
        let mut columns = [[zero; MOST]; MOST];
        for index in 0..tiles {
            let (row, column) = ((tile + index) / across, (tile + index) % across);
            let (image, row) = (row / down, row % down);
            // A patch begins one before the tile.
            let (top, left) = (above + row * F::STEP, column * F::STEP);
            let inside = |first: usize, size: usize| first > 0 && first - 1 + F::PATCH <= size;
            let origin = (image * height + top).wrapping_sub(1).wrapping_mul(width).wrapping_add(left).wrapping_sub(1);
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
            match (prologue.entry::<S>(), inside(top, height) && inside(left, width)) {
                (None, true) => tile!(y, x, vector, value!(y, x, vector)),
                (None, false) => tile!(y, x, vector, or_zero!(y, x, value!(y, x, vector))),
                (Some(entry), true) => tile!(y, x, vector, entry.apply(simd, value!(y, x, vector), vector)),
                (Some(entry), false) => {
                    tile!(y, x, vector, or_zero!(y, x, entry.apply(simd, value!(y, x, vector), vector)))
                }
            }
        }
    }
}

/// The products of one position: tile by output channel.
struct Product<'a, F> {
    nested: &'a Nested<F>,
    patches: &'a [Line],
    position: usize,
    tiles: usize,
    out: &'a mut [Line],
}

impl<F: Filtering> WithSimd for Product<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { nested, patches, position, tiles, out } = self;
        let stride = nested.patch_stride();
        let patch = |tile: usize| {
            let line = ((tile / BLOCK * F::POSITIONS * F::POSITIONS + position) * BLOCK + tile % BLOCK) * stride;
            patches[line..][..stride].as_flattened()
        };
        gemm::multiply(simd, tiles, patch, nested.panels(position), out, false);
    }
}

/// The output pixels of some tiles of one row.
struct Outputs<'a, F> {
    work: Work<'a, F>,
    products: &'a [Line],
    /// The first tile that there are products of, and how many there are.
    tile: usize,
    tiles: usize,
    /// Which of them.
    range: std::ops::Range<usize>,
    band: &'a mut [f32],
}

impl<F: Filtering> WithSimd for Outputs<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, products, tile, tiles, range, band } = self;
        let Work { nested, tiles: [down, across], stride, width, exit, pixel, .. } = work;
        let products = S::as_simd_f32s(products.as_flattened()).0;
        let band = S::as_mut_simd_f32s(band).0;
        let vectors = nested.outputs / S::F32_LANES;
        let position_stride = nested.product_stride(tiles) * COLUMNS / S::F32_LANES;
        let exit = exit.map(|exit| exit.vectors::<S>());
        let rows = band.len() / (stride * vectors);
        let zero = simd.splat_f32s(0.0);
        let mut between = [[zero; MOST]; MOST];
        for index in range {
            let (row, column) = ((tile + index) / across % down, (tile + index) % across * F::OUTPUTS);
            let columns = F::OUTPUTS.min(width - column);
            let products = &products[index * vectors..];
            macro_rules! tile {
                ($y:ident, $x:ident, $vector:ident, $value:ident, $finished:expr) => {
                    for $vector in 0..vectors {
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
                            for $x in 0..F::OUTPUTS {
                                if $x < columns {
                                    let $value = values[$x];
                                    band[($y * stride + column + $x) * vectors + $vector] = $finished;
                                }
                            }
                        }
                    }
                };
            }
            match &exit {
                None => tile!(y, x, vector, value, value),
                Some(exit) => {
                    let first = pixel + row * F::OUTPUTS * width + column;
                    tile!(y, x, vector, value, exit.apply(simd, value, vector, first + y * width + x));
                }
            }
        }
    }
}
