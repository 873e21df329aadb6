//! Convolutions with 3x3 kernels by one [`Winograd`] algorithm along both axes.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::convolution::Convolution;
use super::extent::Extent;
use super::fused::{DenseEpilogue, Epilogue, Prologue};
use super::gemm::{self, Adjacent, COLUMNS, Far, Line, Panels, Places, Sums};
use super::huge_pages::HugePages;
use super::packed::{Packed, Use};
use super::scratch::Scratch;
use super::winograd::Winograd;
use super::winograd_outputs::Outputs;
use super::winograd_patches::Patches;
use super::winograd_taps::{PANELS, Transformed};
use super::winograd_weights::Transform;

/// Tiles whose patches are adjacent in memory. One task transforms them.
pub(super) const BLOCK: usize = 4;
/// The fewest tiles that a task computes at once, in all steps.
const AT_ONCE: usize = 16;
/// The memory for the transformed values of the tiles in work, in bytes: if all cores share the tiles, and if one core has its own.
const WORKING_SET: usize = 32 << 20;
const LOCAL_SET: usize = 256 << 10;
/// Weights up to this size, in bytes, are read again for every part of a map.
const LOCAL_WEIGHTS: usize = 4 << 20;
/// The memory for the transformed patches where weights are transformed at each run, in bytes.
const PATCHES_SET: usize = 10 << 20;
/// The fewest tiles that are worth the transformation of their weights.
const TILES: usize = 24;

/// A convolution with a 3x3 kernel, whose weights are transformed.
#[derive(Debug)]
pub struct Winograd2d<F> {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    weights: Weights,
    algorithm: PhantomData<F>,
}

#[derive(Debug)]
enum Weights {
    /// For each pair of weights, down and across: for each panel of outputs, a line of every input.
    Transformed(Packed),
    /// For each panel of outputs, for every input: a line of each tap.
    Taps(HugePages),
}

/// Some panels of outputs: the first one, and their number.
#[derive(Clone, Copy)]
pub(super) struct Group {
    pub(super) first: usize,
    pub(super) count: usize,
}

impl<F: Winograd> Winograd2d<F> {
    /// Transforms weights: outputs by inputs by 3 by 3.
    ///
    /// # Panics
    /// If the numbers of channels are no multiples of 16.
    pub fn new(kernels: &[f32], outputs: usize, inputs: usize) -> Self {
        Self::of_use(kernels, outputs, inputs, Use::Lasting)
    }

    /// The same; `of` is how long the weights are used.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn of_use(kernels: &[f32], outputs: usize, inputs: usize, of: Use) -> Self {
        assert_eq!((outputs % COLUMNS, inputs % COLUMNS), (0, 0), "whole lines of {outputs} and {inputs} channels");
        let kernels = kernels.as_chunks::<9>().0;
        let panels = outputs / COLUMNS;
        let mut weights = Packed::new(F::WEIGHTS * F::WEIGHTS * outputs * inputs, of);
        let mut tasks: Vec<Vec<&mut [Line]>> = (0..panels).map(|_| Vec::new()).collect();
        let lines = weights.values_mut().as_chunks_mut::<COLUMNS>().0;
        for matrix in lines.chunks_exact_mut(panels * inputs) {
            matrix.chunks_exact_mut(inputs).zip(&mut tasks).for_each(|(panel, task)| task.push(panel));
        }
        tasks.into_par_iter().enumerate().for_each(|(panel, mut matrices)| {
            let kernels = &kernels[panel * COLUMNS * inputs..][..COLUMNS * inputs];
            arch().dispatch(Transform::<F> { kernels, matrices: &mut matrices, algorithm: PhantomData });
        });
        Self { inputs, outputs, weights: Weights::Transformed(weights), algorithm: PhantomData }
    }

    /// The same with weights that are transformed at each run, some at a time. It saves the memory of the transformed ones.
    ///
    /// # Panics
    /// If the numbers of channels are no multiples of 16.
    pub fn sparing(kernels: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!((outputs % COLUMNS, inputs % COLUMNS), (0, 0), "whole lines of {outputs} and {inputs} channels");
        let kernels = kernels.as_chunks::<9>().0;
        let mut weights = HugePages::new(9 * outputs * inputs);
        let lines = weights.values_mut().as_chunks_mut::<COLUMNS>().0;
        lines.par_chunks_exact_mut(9 * inputs).enumerate().for_each(|(panel, lines)| {
            let kernels = &kernels[panel * COLUMNS * inputs..][..COLUMNS * inputs];
            for (index, line) in lines.iter_mut().enumerate() {
                let (input, tap) = (index / 9, index % 9);
                *line = std::array::from_fn(|column| kernels[column * inputs + input][tap]);
            }
        });
        Self { inputs, outputs, weights: Weights::Taps(weights), algorithm: PhantomData }
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// All panels of outputs.
    fn all(&self) -> Group {
        Group { first: 0, count: self.outputs / COLUMNS }
    }

    /// The weights of a position, for all panels.
    ///
    /// # Panics
    /// If the weights are not transformed.
    fn panels(&self, position: usize) -> Panels<'_> {
        let Weights::Transformed(weights) = &self.weights else { panic!("weights that are transformed at each run") };
        let (depth, count) = (self.inputs, self.outputs / COLUMNS);
        let (y, x) = (F::weight(position / F::POSITIONS), F::weight(position % F::POSITIONS));
        let lines = &weights.values().as_chunks().0[(y * F::WEIGHTS + x) * count * depth..];
        Panels { lines, stride: depth, depth, count }
    }

    /// Lines from one tile's patch to the next tile's. One line is unused: strides of powers of two would share cache sets.
    pub(super) fn patch_stride(&self) -> usize {
        self.inputs / COLUMNS + 1
    }

    fn patch_lines(&self, tiles: usize) -> usize {
        tiles.next_multiple_of(BLOCK) * F::POSITIONS * F::POSITIONS * self.patch_stride()
    }

    /// Lines from the products of one position to those of the next, for a number of panels.
    pub(super) fn product_stride(tiles: usize, panels: usize) -> usize {
        tiles * panels + 1
    }

    fn product_lines(tiles: usize, panels: usize) -> usize {
        F::POSITIONS * F::POSITIONS * Self::product_stride(tiles, panels)
    }

    /// The tiles whose transformed values fit in `bytes`.
    fn tiles_within(&self, bytes: usize) -> usize {
        bytes / size_of::<f32>() / (F::POSITIONS * F::POSITIONS * (self.inputs + self.outputs))
    }

    /// The tiles of the whole output. `prologue` is [dense](Prologue::dense).
    pub fn tiling<'a>(
        &'a self,
        maps: &'a [f32],
        extent: Extent,
        prologue: &'a Prologue,
        epilogue: &'a DenseEpilogue,
    ) -> Tiling<'a, F> {
        let Extent { height, width, .. } = self.out(extent);
        let tiles = [height, width].map(|size| size.div_ceil(F::OUTPUTS));
        let epilogue = Some(epilogue);
        Tiling { convolution: self, maps, extent, prologue, tiles, above: 0, stride: width, width, epilogue, pixel: 0 }
    }
}

impl<F: Winograd> Convolution for Winograd2d<F> {
    fn outputs(&self) -> usize {
        self.outputs
    }

    fn out(&self, Extent { images, height, width }: Extent) -> Extent {
        let size = |size: usize| (size * F::OUTPUTS).div_ceil(F::STEP);
        Extent { images, height: size(height), width: size(width) }
    }

    fn forward(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]) {
        let Extent { height, width, .. } = self.out(extent);
        let (prologue, epilogue) = (prologue.dense(self.inputs), epilogue.dense(self.outputs));
        let tiling = self.tiling(maps, extent, &prologue, &epilogue);
        let row = width * self.outputs;
        let images = out.chunks_exact_mut(height * row);
        let mut bands: Vec<&mut [f32]> = images.flat_map(|image| image.chunks_mut(F::OUTPUTS * row)).collect();
        tiling.bands(0, &mut bands);
    }
}

/// The tiles of a convolution's output: its inputs, and where its outputs go.
#[derive(Clone, Copy, Debug)]
pub struct Tiling<'a, F> {
    /// The weights.
    pub convolution: &'a Winograd2d<F>,
    /// The input.
    pub maps: &'a [f32],
    /// The extent of the input.
    pub extent: Extent,
    /// [Dense](Prologue::dense).
    pub prologue: &'a Prologue,
    /// Tiles of an image, down and across.
    pub tiles: [usize; 2],
    /// Rows at the top of the input that only the rows below them depend on. The first tile begins after them.
    pub above: usize,
    /// Pixels from one row of outputs to the next.
    pub stride: usize,
    /// Pixels of a row of outputs that belong to the map.
    pub width: usize,
    /// `None` leaves the sums as they are.
    pub epilogue: Option<&'a DenseEpilogue<'a>>,
    /// The number of the first output pixel.
    pub pixel: usize,
}

impl<F: Winograd> Tiling<'_, F> {
    /// The tiles of a row that one task computes at once.
    fn at_once(&self) -> usize {
        let tiles = self.convolution.tiles_within(LOCAL_SET) / AT_ONCE * AT_ONCE;
        tiles.clamp(AT_ONCE, self.tiles[1].next_multiple_of(AT_ONCE))
    }

    /// Scratch memory of one task for [`band`](Self::band): its patches and its products.
    pub fn scratch(&self) -> [Scratch; 2] {
        let at_once = self.at_once();
        let panels = self.convolution.outputs / COLUMNS;
        [self.convolution.patch_lines(at_once), Winograd2d::<F>::product_lines(at_once, panels)]
            .map(|lines| Scratch::new(lines * COLUMNS))
    }

    /// Computes one row of tiles into the rows of outputs that it covers.
    ///
    /// # Panics
    /// If the weights are [transformed at each run](Winograd2d::sparing).
    pub fn band(self, row: usize, [patches, products]: &mut [Scratch; 2], band: &mut [f32]) {
        let (convolution, across, at_once) = (self.convolution, self.tiles[1], self.at_once());
        let group = convolution.all();
        for tile in (0..across).step_by(at_once) {
            let tiles = at_once.min(across - tile);
            let patches = &mut patches.lines_mut()[..convolution.patch_lines(tiles)];
            let products = &mut products.lines_mut()[..Winograd2d::<F>::product_lines(tiles, group.count)];
            arch().dispatch(All { tiling: self, group, tile: row * across + tile, tiles, patches, products, band });
        }
    }

    /// Computes rows of tiles from number `first` on, each into the rows of outputs that it covers. Rows of tiles are counted
    /// through all images.
    pub fn bands(self, first: usize, bands: &mut [&mut [f32]]) {
        let [_, across] = self.tiles;
        let convolution = self.convolution;
        let threads = rayon::current_num_threads();
        let is_local = |weights: &Packed| size_of_val(weights.values()) <= LOCAL_WEIGHTS;
        match &convolution.weights {
            Weights::Transformed(weights) if is_local(weights) && bands.len() > threads && is_even(bands.len()) => {
                // Each task does all steps on its own tiles.
                let scratch = || self.scratch();
                bands.par_iter_mut().enumerate().for_each_init(scratch, |scratch, (index, band)| {
                    self.band(first + index, scratch, band);
                });
            }
            // All tasks share each step on many tiles, so that weights are read once for all of them.
            Weights::Transformed(_) => {
                let at_once = (convolution.tiles_within(WORKING_SET) / across).clamp(1, bands.len());
                self.shared(first, bands, at_once);
            }
            Weights::Taps(taps) => {
                let patch = convolution.patch_lines(BLOCK) / BLOCK * size_of::<Line>();
                let most = (PATCHES_SET / patch / across).clamp(1, bands.len());
                // All parts have about the same number of rows, and so do all cores.
                let at_once = bands.len().div_ceil(bands.len().div_ceil(most)).next_multiple_of(threads).min(most);
                self.with_taps(taps.values().as_chunks().0, first, bands, at_once);
            }
        }
    }

    /// Computes `at_once` rows of tiles together.
    fn shared(self, first: usize, bands: &mut [&mut [f32]], at_once: usize) {
        let [_, across] = self.tiles;
        let (convolution, group) = (self.convolution, self.convolution.all());
        let mut patches = Scratch::new(convolution.patch_lines(at_once * across) * COLUMNS);
        let mut products = Scratch::new(Winograd2d::<F>::product_lines(at_once * across, group.count) * COLUMNS);
        for (index, bands) in bands.chunks_mut(at_once).enumerate() {
            let (tile, tiles) = ((first + index * at_once) * across, bands.len() * across);
            let patches = self.patches(tile, tiles, patches.lines_mut());
            let stride = Winograd2d::<F>::product_stride(tiles, group.count);
            let products = &mut products.lines_mut()[..Winograd2d::<F>::product_lines(tiles, group.count)];
            products.par_chunks_exact_mut(stride).enumerate().for_each(|(position, out)| {
                let panels = convolution.panels(position);
                arch().dispatch(Product { convolution, panels, patches, places: Far, position, tiles: 0..tiles, out });
            });
            let products = &*products;
            bands.par_iter_mut().enumerate().for_each(|(index, band)| {
                let range = index * across..(index + 1) * across;
                arch().dispatch(Outputs { tiling: self, group, products, tile, tiles, range, band });
            });
        }
    }

    /// Computes `at_once` rows of tiles together, with weights that are transformed for them. A task transforms those of some panels, and
    /// multiplies them with a part of the tiles.
    fn with_taps(self, taps: &[Line], first: usize, bands: &mut [&mut [f32]], at_once: usize) {
        let [_, across] = self.tiles;
        let convolution = self.convolution;
        let panels = convolution.outputs / COLUMNS;
        let groups = panels.div_ceil(PANELS);
        let group = |index: usize| Group { first: index * PANELS, count: PANELS.min(panels - index * PANELS) };
        let most = (at_once * across / TILES).max(1);
        let parts = (1..most).find(|parts| is_even(groups * parts)).unwrap_or(most);
        let some = (at_once * across).div_ceil(parts);
        let unit = Winograd2d::<F>::product_lines(some, PANELS);
        let mut patches = Scratch::new(convolution.patch_lines(at_once * across) * COLUMNS);
        let mut products = Scratch::new(parts * groups * unit * COLUMNS);
        for (index, bands) in bands.chunks_mut(at_once).enumerate() {
            let (tile, tiles) = ((first + index * at_once) * across, bands.len() * across);
            let patches = self.patches(tile, tiles, patches.lines_mut());
            let part = |index: usize| (index * some).min(tiles)..((index + 1) * some).min(tiles);
            let memory = || Scratch::new(Transformed::<F>::lines(convolution.inputs) * COLUMNS);
            products.lines_mut().par_chunks_exact_mut(unit).enumerate().for_each_init(
                memory,
                |weights, (index, out)| {
                    let (group, tiles) = (group(index % groups), part(index / groups));
                    let taps = &taps[group.first * convolution.inputs * 9..][..group.count * convolution.inputs * 9];
                    let weights = weights.lines_mut();
                    arch().dispatch(Transformed { convolution, taps, weights, patches, tiles, out });
                },
            );
            let products = &*products.lines_mut();
            bands.par_iter_mut().enumerate().for_each(|(index, band)| {
                let range = index * across..(index + 1) * across;
                for (index, products) in products.chunks_exact(unit).enumerate() {
                    let (group, part) = (group(index % groups), part(index / groups));
                    let range = range.start.max(part.start)..range.end.min(part.end);
                    if range.is_empty() {
                        continue;
                    }
                    let range = range.start - part.start..range.end - part.start;
                    let (tile, tiles) = (tile + part.start, part.len());
                    arch().dispatch(Outputs { tiling: self, group, products, tile, tiles, range, band });
                }
            });
        }
    }

    /// Computes the transformed patches of some tiles.
    fn patches<'a>(&self, tile: usize, tiles: usize, lines: &'a mut [Line]) -> &'a [Line] {
        let patches = &mut lines[..self.convolution.patch_lines(tiles)];
        patches.par_chunks_mut(self.convolution.patch_lines(BLOCK)).enumerate().for_each(|(block, out)| {
            let tiles = BLOCK.min(tiles - block * BLOCK);
            arch().dispatch(Patches { tiling: *self, tile: tile + block * BLOCK, tiles, out });
        });
        patches
    }
}

/// Whether all cores get about the same number of tasks.
fn is_even(tasks: usize) -> bool {
    let threads = rayon::current_num_threads();
    tasks.is_multiple_of(threads) || tasks >= 4 * threads
}

/// All steps on some tiles of a row.
struct All<'a, F> {
    tiling: Tiling<'a, F>,
    group: Group,
    tile: usize,
    tiles: usize,
    patches: &'a mut [Line],
    products: &'a mut [Line],
    band: &'a mut [f32],
}

impl<F: Winograd> WithSimd for All<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiling, group, tile, tiles, patches, products, band } = self;
        let convolution = tiling.convolution;
        for (block, out) in patches.chunks_mut(convolution.patch_lines(BLOCK)).enumerate() {
            let tiles = BLOCK.min(tiles - block * BLOCK);
            Patches { tiling, tile: tile + block * BLOCK, tiles, out }.with_simd(simd);
        }
        let stride = Winograd2d::<F>::product_stride(tiles, group.count);
        for (position, out) in products.chunks_exact_mut(stride).enumerate() {
            let panels = convolution.panels(position);
            Product { convolution, panels, patches, places: Adjacent, position, tiles: 0..tiles, out }.with_simd(simd);
        }
        Outputs { tiling, group, products, tile, tiles, range: 0..tiles, band }.with_simd(simd);
    }
}

/// Computes the products of one position: tile by output channel.
pub(super) struct Product<'a, F, P> {
    pub(super) convolution: &'a Winograd2d<F>,
    pub(super) panels: Panels<'a>,
    pub(super) patches: &'a [Line],
    pub(super) places: P,
    pub(super) position: usize,
    /// The tiles to multiply, of those that have patches.
    pub(super) tiles: Range<usize>,
    pub(super) out: &'a mut [Line],
}

impl<F: Winograd, P: Places> WithSimd for Product<'_, F, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { convolution, panels, patches, places, position, tiles, out } = self;
        let stride = convolution.patch_stride();
        let patch = |tile: usize| {
            let tile = tiles.start + tile;
            let line = ((tile / BLOCK * F::POSITIONS * F::POSITIONS + position) * BLOCK + tile % BLOCK) * stride;
            patches[line..][..stride].as_flattened()
        };
        let mut sums = Sums { out, stride: panels.count, add: false };
        gemm::multiply_into(simd, tiles.len(), patch, places, panels, &mut sums);
    }
}
