//! Convolutions with kernels of one pixel by Strassen's algorithm ("Gaussian elimination is not optimal", 1969, doi
//! 10.1007/BF02165411): seven products of halved matrices in place of eight. Cong and Xiao (2014, doi
//! 10.1007/978-3-319-11179-7_36) applied it to convolutions.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::convolution::Convolution;
use super::extent::Extent;
use super::fused::{DenseEpilogue, Epilogue, Prologue};
use super::gemm::{self, Adjacent, COLUMNS, Line, Panels, Sink};
use super::huge_pages::HugePages;
use super::pixels::{Pixels, Pointwise, Source};
use super::prefetch::{prefetch_read, prefetch_write};
use super::prepared::prepared;
use super::scratch::Scratch;

/// Pixels that a task multiplies with all weights, at most: with weights up to this size, in bytes, and with larger ones.
const PIXELS: usize = 96;
const LOCAL_WEIGHTS: usize = 4 << 20;
const MANY_PIXELS: usize = 504;
/// The memory for sums of pixels, in bytes, if it has these inputs at least.
const SUMS_SET: usize = 704 << 10;
const INPUTS: usize = 256;
/// Pixels of a half that are multiplied at once, with most instructions.
const ROWS: usize = 6;
/// Panels of a half of the outputs whose products are in memory together.
const PANELS: usize = 4;
/// Pairs of pixels from the one in work to the one that is prefetched.
const AHEAD: usize = 2;
/// Products, and blocks of each matrix: upper left, upper right, lower left and lower right.
const PRODUCTS: usize = 7;
const BLOCKS: usize = 4;

/// For each product, its factors of the blocks of weights. Rows are inputs, and columns are outputs.
const OF_WEIGHTS: [[f32; BLOCKS]; PRODUCTS] = [
    [1.0, 0.0, 0.0, 1.0],
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 1.0, 0.0, -1.0],
    [-1.0, 0.0, 1.0, 0.0],
    [0.0, 0.0, 0.0, 1.0],
    [1.0, 1.0, 0.0, 0.0],
    [0.0, 0.0, 1.0, 1.0],
];

/// The pixels' factor of a product. Rows are pixels, and columns are inputs.
#[derive(Clone, Copy)]
enum Factor {
    /// A sum of blocks, of this index.
    Sum(usize),
    /// The first half of the inputs of the first pixels of pairs.
    UpperLeft,
    /// The second half of the inputs of the others.
    LowerRight,
}

/// Sums of blocks.
const SUMS: usize = 5;

const OF_PIXELS: [Factor; PRODUCTS] = [
    Factor::Sum(0),
    Factor::Sum(1),
    Factor::UpperLeft,
    Factor::LowerRight,
    Factor::Sum(2),
    Factor::Sum(3),
    Factor::Sum(4),
];

/// The sums of the blocks of pixels.
#[inline(always)]
fn sums<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; BLOCKS]) -> [S::f32s; SUMS] {
    [simd.add_f32s(a, d), simd.add_f32s(c, d), simd.add_f32s(a, b), simd.sub_f32s(c, a), simd.sub_f32s(b, d)]
}

/// The blocks of the output, from the products. Rows are pixels, and columns are outputs.
#[inline(always)]
fn blocks<S: Simd>(simd: S, [m0, m1, m2, m3, m4, m5, m6]: [S::f32s; PRODUCTS]) -> [S::f32s; BLOCKS] {
    [
        simd.add_f32s(simd.sub_f32s(simd.add_f32s(m0, m3), m4), m6),
        simd.add_f32s(m2, m4),
        simd.add_f32s(m1, m3),
        simd.add_f32s(simd.add_f32s(simd.sub_f32s(m0, m1), m2), m5),
    ]
}

/// A convolution with a kernel of one pixel. Its weights take 1.75 times the memory.
#[derive(Debug)]
pub struct Strassen {
    inputs: usize,
    outputs: usize,
    stride: usize,
    /// For each product, for each panel of a half of the outputs: a line of every input of a half.
    weights: HugePages,
}

impl Strassen {
    /// Whether the halves of the channels have whole lines.
    pub fn takes(channels: [usize; 2]) -> bool {
        channels.iter().all(|channels| channels.is_multiple_of(2 * COLUMNS))
    }

    /// Adds and packs weights: outputs by inputs.
    ///
    /// # Panics
    /// If it does not [take](Self::takes) the channels.
    pub fn new(kernels: &[f32], [outputs, inputs]: [usize; 2], stride: usize) -> Self {
        assert!(Self::takes([outputs, inputs]), "whole lines of halves of {outputs} and {inputs} channels");
        let (depth, panels) = (inputs / 2, outputs / 2 / COLUMNS);
        let mut weights = HugePages::new(PRODUCTS * depth * panels * COLUMNS);
        let lines = weights.values_mut().as_chunks_mut::<COLUMNS>().0;
        lines.par_chunks_exact_mut(depth).enumerate().for_each(|(index, lines)| {
            let factors = OF_WEIGHTS[index / panels].iter().enumerate().filter(|(_, factor)| **factor != 0.0);
            for (block, factor) in factors {
                let first = (block % 2 * panels + index % panels) * COLUMNS;
                for output in 0..COLUMNS {
                    let kernels = &kernels[(first + output) * inputs + block / 2 * depth..][..depth];
                    // The memory is zero at first.
                    lines.iter_mut().zip(kernels).for_each(|(line, kernel)| line[output] += factor * kernel);
                }
            }
        });
        Self { inputs, outputs, stride, weights }
    }

    /// Inputs and panels of a half.
    fn half(&self) -> (usize, usize) {
        (self.inputs / 2, self.outputs / 2 / COLUMNS)
    }

    /// Pixels of a task, at most.
    fn most(&self) -> usize {
        if size_of_val(self.weights.values()) <= LOCAL_WEIGHTS { PIXELS } else { MANY_PIXELS }
    }

    /// Inputs of a half whose sums are in memory together. It depends on no extent, since another order of the terms would change the
    /// results.
    fn inputs_at_once(&self) -> usize {
        let (depth, _) = self.half();
        let most = (SUMS_SET / (PRODUCTS * self.most() / 2 * size_of::<f32>())).max(INPUTS);
        depth.div_ceil(depth.div_ceil(most)).next_multiple_of(COLUMNS)
    }
}

/// The pixels of the output by twos, of which one is in the upper half of a matrix and the other in the lower one. They are neighbours in
/// a row, and the last one of a row may be alone, so that the results are the same for any batch and any number of threads.
#[derive(Clone, Copy)]
struct Pairs {
    width: usize,
}

impl Pairs {
    fn of_row(self) -> usize {
        self.width.div_ceil(2)
    }

    /// The number of the first pixel of a pair.
    fn pixel(self, pair: usize) -> usize {
        pair / self.of_row() * self.width + 2 * (pair % self.of_row())
    }

    /// Whether the pair has both pixels.
    fn is_whole(self, pair: usize) -> bool {
        2 * (pair % self.of_row()) + 1 < self.width
    }
}

impl Convolution for Strassen {
    fn outputs(&self) -> usize {
        self.outputs
    }

    fn out(&self, extent: Extent) -> Extent {
        extent.strided(self.stride)
    }

    fn forward(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]) {
        self.run(maps, extent, prologue, epilogue, false, out);
    }

    fn forward_add(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]) {
        self.run(maps, extent, prologue, epilogue, true, out);
    }
}

impl Strassen {
    /// Convolves maps into `out`, or adds to what it holds.
    fn run(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, adds: bool, out: &mut [f32]) {
        let maps = &*prepared(prologue, maps, self.inputs);
        let source = Source { maps, extent, channels: self.inputs, stride: self.stride };
        self.multiply(Pixels::of(source), epilogue, adds, out);
    }
}

impl Pointwise for Strassen {
    fn multiply(&self, pixels: Pixels, epilogue: &Epilogue, adds: bool, out: &mut [f32]) {
        let epilogue = &epilogue.dense(self.outputs);
        let out_extent = pixels.out();
        let pairs = Pairs { width: out_extent.width };
        let (count, threads) = (out_extent.images * out_extent.height * pairs.of_row(), rayon::current_num_threads());
        if count == 0 {
            return;
        }
        // The same number of tasks for each thread, and about the same number of blocks of rows for each task.
        let blocks = count.div_ceil(ROWS);
        let tasks = count.div_ceil(self.most() / 2).next_multiple_of(threads).min(blocks);
        let some = blocks.div_ceil(tasks) * ROWS;
        let (depth, panels) = self.half();
        let inputs = self.inputs_at_once();
        // The products of one part of the inputs wait for those of the others.
        let together = if inputs < depth { panels } else { panels.min(PANELS) };
        let memory = || {
            let [sums, products] = [some * inputs, some * together * COLUMNS].map(stride);
            [pixels.memory(2 * some), Scratch::new(SUMS * sums), Scratch::new(PRODUCTS * products)]
        };
        let zeros = vec![0.0; self.inputs];
        let mut rest = out;
        let start = |task: usize| count.min(task * blocks / tasks * ROWS);
        let tasks: Vec<_> = (0..tasks)
            .map(|task| {
                let task = start(task)..start(task + 1);
                let pixels = pairs.pixel(task.end) - pairs.pixel(task.start);
                let out = rest.split_off_mut(..pixels * self.outputs).expect("the output has all pixels");
                (task, out)
            })
            .collect();
        tasks.into_par_iter().for_each_init(memory, |[rows, sums, products], (task, out)| {
            let start = pairs.pixel(task.start);
            let rows = pixels.some(start..pairs.pixel(task.end), rows);
            let both = |pair: usize| {
                let first = pairs.pixel(pair) - start;
                [rows[first], if pairs.is_whole(pair) { rows[first + 1] } else { &zeros }]
            };
            let pixels: Vec<[&[f32]; 2]> = task.clone().map(both).collect();
            let at_once = (inputs, together);
            let (sums, products) = (sums.values_mut(), products.lines_mut());
            let first = task.start;
            let work =
                Work { strassen: self, pairs, first, pixels: &pixels, at_once, sums, products, epilogue, adds, out };
            arch().dispatch(work);
        });
    }
}

/// The distance from the first number of a matrix to that of the next one, where each matrix has `numbers` of them. A line between them is
/// unused: matrices at distances of powers of two would share cache sets.
fn stride(numbers: usize) -> usize {
    numbers + COLUMNS
}

/// Multiplies some pixels with all weights.
struct Work<'a> {
    strassen: &'a Strassen,
    pairs: Pairs,
    /// The number of the first pair.
    first: usize,
    pixels: &'a [[&'a [f32]; 2]],
    /// Inputs and panels of a half that are in memory together.
    at_once: (usize, usize),
    /// Memory for the sums of pixels, and for the products.
    sums: &'a mut [f32],
    products: &'a mut [Line],
    epilogue: &'a DenseEpilogue<'a>,
    /// Whether the values that `out` holds are added before the activation.
    adds: bool,
    out: &'a mut [f32],
}

impl WithSimd for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { strassen, pairs, first, pixels, at_once: (inputs, together), sums, products, epilogue, adds, out } =
            self;
        let (depth, panels) = strassen.half();
        let rows = pixels.len();
        let lines = strassen.weights.values().as_chunks::<COLUMNS>().0;
        for panel in (0..panels).step_by(together) {
            let count = together.min(panels - panel);
            let of_product = stride(rows * count * COLUMNS) / COLUMNS;
            for input in (0..depth).step_by(inputs) {
                let some = inputs.min(depth - input);
                let of_sum = stride(rows * some);
                if panel == 0 {
                    Sums { pixels, inputs: input..input + some, out: &mut *sums }.with_simd(simd);
                }
                // The outputs follow after the last part of the inputs.
                let is_last = input + some == depth;
                let map = &*out;
                for product in 0..PRODUCTS {
                    let factor: Vec<&[f32]> = match OF_PIXELS[product] {
                        Factor::Sum(index) => sums[index * of_sum..].chunks_exact(some).take(rows).collect(),
                        Factor::UpperLeft => pixels.iter().map(|[upper, _]| &upper[input..][..some]).collect(),
                        Factor::LowerRight => pixels.iter().map(|[_, lower]| &lower[depth + input..][..some]).collect(),
                    };
                    let lines = &lines[(product * panels + panel) * depth + input..];
                    let panels = Panels { lines, stride: depth, depth: some, count };
                    let out = &mut products[product * of_product..][..rows * count];
                    let sums = gemm::Sums { out, stride: count, add: input > 0 };
                    let turn = is_last.then_some(product);
                    let mut sink = Products { sums, turn, strassen, pairs, first, panel, map };
                    gemm::multiply_into(simd, rows, |row| factor[row], Adjacent, panels, &mut sink);
                }
            }
            let panels = (panel, count);
            let products = &*products;
            Outputs { strassen, pairs, first, products, rows, panels, epilogue, adds, out: &mut *out }.with_simd(simd);
        }
    }
}

/// Computes the sums of some inputs of pixels: sum by row by input.
struct Sums<'a> {
    pixels: &'a [[&'a [f32]; 2]],
    /// Of the inputs of a half.
    inputs: Range<usize>,
    out: &'a mut [f32],
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pixels, inputs, out } = self;
        let (rows, vectors, depth) = (pixels.len(), inputs.len() / S::F32_LANES, pixels[0][0].len() / 2);
        let of_sum = stride(rows * inputs.len()) / S::F32_LANES;
        let out = S::as_mut_simd_f32s(out).0;
        for row in 0..rows {
            let [(a, b), (c, d)] = pixels[row].map(|pixel| pixel.split_at(depth));
            let [a, b, c, d] = [a, b, c, d].map(|half| S::as_simd_f32s(&half[inputs.clone()]).0);
            let later = pixels[(row + AHEAD).min(rows - 1)].map(|pixel| pixel.split_at(depth));
            for vector in 0..vectors {
                for half in later.iter().flat_map(|(left, right)| [left, right]) {
                    prefetch_read(half, inputs.start + vector * S::F32_LANES);
                }
                let sums = sums(simd, [a[vector], b[vector], c[vector], d[vector]]);
                for sum in 0..SUMS {
                    out[sum * of_sum + row * vectors + vector] = sums[sum];
                }
            }
        }
    }
}

/// Puts the sums of a product into memory. While they are computed, the memory of the outputs is brought into the cache.
struct Products<'a> {
    sums: gemm::Sums<'a>,
    /// The pair of each block whose outputs this product prefetches. A part of the inputs that is not the last one prefetches none.
    turn: Option<usize>,
    strassen: &'a Strassen,
    pairs: Pairs,
    /// The numbers of the first pair, and of the first panel of a half.
    first: usize,
    panel: usize,
    map: &'a [f32],
}

impl<S: Simd> Sink<S> for Products<'_> {
    #[inline(always)]
    fn prefetch<const ROWS: usize, const PANELS: usize>(&mut self, row: usize, panel: usize) {
        let Some(turn) = self.turn.filter(|turn| *turn < ROWS) else { return };
        let outputs = self.strassen.outputs;
        let pixel = self.pairs.pixel(self.first + row + turn) - self.pairs.pixel(self.first);
        for block in 0..BLOCKS {
            let values = (pixel + block / 2) * outputs + block % 2 * (outputs / 2);
            for place in 0..PANELS {
                prefetch_write(self.map, values + (self.panel + panel + place) * COLUMNS);
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
        self.sums.put(simd, row, panel, sums);
    }
}

/// Computes the outputs in some panels of each half.
struct Outputs<'a> {
    strassen: &'a Strassen,
    pairs: Pairs,
    first: usize,
    /// Product by row by panel.
    products: &'a [Line],
    rows: usize,
    /// The first panel, and the number of panels.
    panels: (usize, usize),
    epilogue: &'a DenseEpilogue<'a>,
    adds: bool,
    out: &'a mut [f32],
}

impl WithSimd for Outputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { strassen, pairs, first, products, rows, panels: (panel, count), epilogue, adds, out } = self;
        let lanes = COLUMNS / S::F32_LANES;
        let (of_half, of_pixel) = (strassen.half().1 * lanes, strassen.outputs / S::F32_LANES);
        let epilogue = epilogue.simd::<S>();
        let products = S::as_simd_f32s(products.as_flattened()).0;
        let out = S::as_mut_simd_f32s(out).0;
        let (vectors, first_pixel) = (count * lanes, pairs.pixel(first));
        let of_product = stride(rows * count * COLUMNS) / S::F32_LANES;
        for row in 0..rows {
            let pixel = pairs.pixel(first + row);
            let computed = if pairs.is_whole(first + row) { BLOCKS } else { BLOCKS / 2 };
            for vector in 0..vectors {
                let mut found = [simd.splat_f32s(0.0); PRODUCTS];
                for product in 0..PRODUCTS {
                    found[product] = products[product * of_product + row * vectors + vector];
                }
                let found = blocks(simd, found);
                for block in 0..BLOCKS {
                    if block < computed {
                        let (pixel, vector) = (pixel + block / 2, block % 2 * of_half + panel * lanes + vector);
                        let out = &mut out[(pixel - first_pixel) * of_pixel + vector];
                        *out = if adds {
                            epilogue.apply_added(simd, found[block], vector, pixel, *out)
                        } else {
                            epilogue.apply(simd, found[block], vector, pixel)
                        };
                    }
                }
            }
        }
    }
}
