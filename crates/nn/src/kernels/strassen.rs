//! Convolutions with kernels of one pixel by Strassen's algorithm ("Gaussian elimination is not optimal", 1969, doi
//! 10.1007/BF02165411): seven products of halved matrices in place of eight. Cong and Xiao (2014, doi
//! 10.1007/978-3-319-11179-7_36) applied it to convolutions.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::convolution::Convolution;
use super::extent::Extent;
use super::fused::{DenseEpilogue, Epilogue, Prologue};
use super::gemm::{self, COLUMNS, Line, Panels};
use super::huge_pages::HugePages;
use super::prepared;
use super::scratch::Scratch;

/// Pixels that a task multiplies with all weights, at most.
const PIXELS: usize = 96;
/// The memory for the sums of these pixels, in bytes.
const SUMS: usize = 512 << 10;
/// Pixels of a half that are multiplied at once, with most instructions.
const ROWS: usize = 6;
/// Panels of a half of the outputs whose products are in memory together.
const PANELS: usize = 4;
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

/// For each product, its sum of the blocks of pixels. Rows are pixels, and columns are inputs.
#[inline(always)]
fn sums<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; BLOCKS]) -> [S::f32s; PRODUCTS] {
    [simd.add_f32s(a, d), simd.add_f32s(c, d), a, d, simd.add_f32s(a, b), simd.sub_f32s(c, a), simd.sub_f32s(b, d)]
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

    /// Pixels of a task, if each of `threads` has the same number of tasks.
    fn at_once(&self, pixels: usize, threads: usize) -> usize {
        let whole = 2 * ROWS;
        let fit = 2 * SUMS / (PRODUCTS * self.half().0 * size_of::<f32>());
        let most = (fit / whole * whole).clamp(whole, PIXELS);
        pixels.div_ceil(pixels.div_ceil(most).next_multiple_of(threads)).next_multiple_of(whole)
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
        self.forward_add(maps, extent, prologue, epilogue, &[], out);
    }

    fn forward_add(
        &self,
        maps: &[f32],
        extent: Extent,
        prologue: &Prologue,
        epilogue: &Epilogue,
        others: &[f32],
        out: &mut [f32],
    ) {
        let mut memory = prepared::memory(prologue, maps);
        let maps = prepared::prepared(prologue, maps, self.inputs, &mut memory);
        let epilogue = &epilogue.dense(self.outputs);
        let some = self.at_once(self.out(extent).pixels(), rayon::current_num_threads());
        let (depth, panels) = self.half();
        let of_row = [depth, panels.min(PANELS) * COLUMNS];
        let memory = || of_row.map(|count| Scratch::new(PRODUCTS * (some / 2) * count));
        let zeros = vec![0.0; self.inputs];
        out.par_chunks_mut(some * self.outputs).enumerate().for_each_init(memory, |[sums, products], (index, out)| {
            let (first, count) = (index * some, out.len() / self.outputs);
            let pixel = |index: usize| match index {
                index if index < count => {
                    &maps[extent.under(self.stride, first + index) * self.inputs..][..self.inputs]
                }
                _ => &zeros[..],
            };
            let pixels: Vec<&[f32]> = (0..count.next_multiple_of(2)).map(pixel).collect();
            let (sums, products) = (sums.values_mut(), products.lines_mut());
            let work = Work { strassen: self, pixels: &pixels, sums, products, epilogue, others, first, out };
            arch().dispatch(work);
        });
    }
}

/// Multiplies some pixels with all weights.
struct Work<'a> {
    strassen: &'a Strassen,
    /// As many for each half.
    pixels: &'a [&'a [f32]],
    /// Memory for the sums of pixels, and for the products of some panels.
    sums: &'a mut [f32],
    products: &'a mut [Line],
    epilogue: &'a DenseEpilogue<'a>,
    /// Values that are added to those of `out`'s whole map before the activation; empty for none.
    others: &'a [f32],
    /// The number of `out`'s first pixel.
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { strassen, pixels, sums, products, epilogue, others, first, out } = self;
        let (depth, panels) = strassen.half();
        let rows = pixels.len() / 2;
        let sums = &mut sums[..PRODUCTS * rows * depth];
        Sums { pixels, depth, out: sums }.with_simd(simd);
        let lines = strassen.weights.values().as_chunks::<COLUMNS>().0;
        for panel in (0..panels).step_by(PANELS) {
            let count = PANELS.min(panels - panel);
            let products = &mut products[..PRODUCTS * rows * count];
            let factors = sums.chunks_exact(rows * depth).zip(lines.chunks_exact(panels * depth));
            for ((sums, lines), out) in factors.zip(products.chunks_exact_mut(rows * count)) {
                let panels = Panels { lines: &lines[panel * depth..], stride: depth, depth, count };
                gemm::multiply(simd, rows, |row| &sums[row * depth..][..depth], panels, out, false);
            }
            let panels = (panel, count);
            Outputs { strassen, products, rows, panels, epilogue, others, first, out: &mut *out }.with_simd(simd);
        }
    }
}

/// Computes the sums of pixels for all products: product by row by input of a half.
struct Sums<'a> {
    pixels: &'a [&'a [f32]],
    depth: usize,
    out: &'a mut [f32],
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pixels, depth, out } = self;
        let (rows, vectors) = (pixels.len() / 2, depth / S::F32_LANES);
        let out = S::as_mut_simd_f32s(out).0;
        for row in 0..rows {
            let [upper, lower] = [pixels[row], pixels[rows + row]].map(|pixel| S::as_simd_f32s(pixel).0);
            for vector in 0..vectors {
                let (left, right) = (vector, vectors + vector);
                let sums = sums(simd, [upper[left], upper[right], lower[left], lower[right]]);
                for product in 0..PRODUCTS {
                    out[(product * rows + row) * vectors + vector] = sums[product];
                }
            }
        }
    }
}

/// Computes the outputs in some panels of each half.
struct Outputs<'a> {
    strassen: &'a Strassen,
    /// Product by row by panel.
    products: &'a [Line],
    rows: usize,
    /// The first panel, and the number of panels.
    panels: (usize, usize),
    epilogue: &'a DenseEpilogue<'a>,
    others: &'a [f32],
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for Outputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { strassen, products, rows, panels: (panel, count), epilogue, others, first, out } = self;
        let lanes = COLUMNS / S::F32_LANES;
        let (of_half, of_pixel) = (strassen.half().1 * lanes, strassen.outputs / S::F32_LANES);
        let epilogue = epilogue.simd::<S>();
        let products = S::as_simd_f32s(products.as_flattened()).0;
        let (others, out) = (S::as_simd_f32s(others).0, S::as_mut_simd_f32s(out).0);
        let (vectors, pixels) = (count * lanes, out.len() / of_pixel);
        for row in 0..rows {
            for vector in 0..vectors {
                let mut found = [simd.splat_f32s(0.0); PRODUCTS];
                for product in 0..PRODUCTS {
                    found[product] = products[(product * rows + row) * vectors + vector];
                }
                let found = blocks(simd, found);
                for block in 0..BLOCKS {
                    let pixel = block / 2 * rows + row;
                    // The last half may lack a pixel.
                    if pixel < pixels {
                        let vector = block % 2 * of_half + panel * lanes + vector;
                        let place = pixel * of_pixel + vector;
                        let pixel = first + pixel;
                        out[place] = match others.get(first * of_pixel + place) {
                            Some(other) => epilogue.apply_added(simd, found[block], vector, pixel, *other),
                            None => epilogue.apply(simd, found[block], vector, pixel),
                        };
                    }
                }
            }
        }
    }
}
