//! Convolutions with 7x7 kernels and a stride of 2 on few channels, such as the stem of a ResNet, by the minimal filtering algorithm F(5, 4)
//! along the rows (Lavin and Gray 2016, arXiv 1509.09308).
//!
//! A row of the input is a row of pairs of pixels. On it, the seven taps of a kernel's row are four taps of stride 1. The points are those
//! of [`F63`]: 0, ±1/2, ±1, ±2 and infinity.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::convolution::Convolution;
use super::extent::Extent;
use super::fused::{DenseEpilogue, Epilogue, Prologue};
use super::gemm::{self, COLUMNS, Line, Panels, Sums};
use super::packed::{Packed, Use};
use super::pooled::{ByRow, Rows};
use super::prepared::prepared;
use super::scratch::Scratch;
use super::winograd::{F63, MOST, Winograd};

/// Rows and columns of the kernel, and pixels before its centre.
const SIDE: usize = 7;
const BEFORE: usize = SIDE / 2;
const STRIDE: usize = 2;
/// Pixels of a pair.
const PAIR: usize = 2;
/// Outputs of a tile, and its products.
const OUTPUTS: usize = 5;
const POSITIONS: usize = 8;
/// Rows of the output that share the transformed rows in memory, and how many rows of the input these are.
const AT_ONCE: usize = 8;
const KEPT: usize = SIDE + (AT_ONCE - 1) * STRIDE;

/// A convolution with a 7x7 kernel and a stride of 2, padded by 3. It has fewer than half of the products of [`Patches`](super::Patches).
/// Its weights take 2.3 times the memory of the taps.
#[derive(Debug)]
pub struct Strided7x7 {
    inputs: usize,
    outputs: usize,
    /// For each position, for each panel of outputs, for each row of the kernel: a line of every channel of a pair of pixels.
    weights: Packed,
}

/// The weights of the positions for four taps.
fn transformed([first, second, third, fourth]: [f64; 4]) -> [f64; POSITIONS] {
    // The even and the odd part for the points of this square. The other two squares make the divisor.
    let part = |square: f64, other: f64, another: f64| {
        let divisor = 2.0 * square * (square - other) * (square - another);
        ((first + square * third) / divisor, square.sqrt() * (second + square * fourth) / divisor)
    };
    let ((even_half, odd_half), (even_one, odd_one), (even_two, odd_two)) =
        (part(0.25, 1.0, 4.0), part(1.0, 0.25, 4.0), part(4.0, 0.25, 1.0));
    [
        -first,
        even_half + odd_half,
        even_half - odd_half,
        even_one + odd_one,
        even_one - odd_one,
        even_two + odd_two,
        even_two - odd_two,
        fourth,
    ]
}

impl Strided7x7 {
    /// Transforms weights: outputs by inputs by 7 by 7.
    ///
    /// # Panics
    /// If the number of outputs is no multiple of 16.
    pub fn new(kernels: &[f32], [outputs, inputs]: [usize; 2]) -> Self {
        assert_eq!(outputs % COLUMNS, 0, "whole lines of {outputs} channels");
        let (panels, depth) = (outputs / COLUMNS, SIDE * PAIR * inputs);
        let mut weights = Packed::new(POSITIONS * panels * COLUMNS * depth, Use::Lasting);
        let lines = weights.values_mut().as_chunks_mut::<COLUMNS>().0;
        for (index, taps) in kernels.as_chunks::<SIDE>().0.iter().enumerate() {
            let (output, input, row) = (index / SIDE / inputs, index / SIDE % inputs, index % SIDE);
            let [w0, w1, w2, w3, w4, w5, w6] = taps.map(f64::from);
            // The first tap is under the second pixel of a pair.
            for (pixel, taps) in [[0.0, w1, w3, w5], [w0, w2, w4, w6]].into_iter().enumerate() {
                let place = row * PAIR * inputs + pixel * inputs + input;
                for (position, weight) in transformed(taps).into_iter().enumerate() {
                    let panel = position * panels + output / COLUMNS;
                    lines[panel * depth + place][output % COLUMNS] = weight as f32;
                }
            }
        }
        Self { inputs, outputs, weights }
    }

    /// Values under the kernel, of both pixels of pairs.
    fn depth(&self) -> usize {
        SIDE * PAIR * self.inputs
    }
}

impl Convolution for Strided7x7 {
    fn outputs(&self) -> usize {
        self.outputs
    }

    fn out(&self, extent: Extent) -> Extent {
        extent.strided(STRIDE)
    }

    fn forward(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]) {
        let maps = &*prepared(prologue, maps, self.inputs);
        let epilogue = epilogue.dense(self.outputs);
        let (rows, Extent { height, width, .. }) = (&self.rows(extent, &epilogue), self.out(extent));
        let images = maps.chunks_exact(extent.height * extent.width * self.inputs).enumerate();
        let images = out.chunks_exact_mut(height * width * self.outputs).zip(images);
        let tasks: Vec<_> = images
            .flat_map(|(out, image)| {
                let parts = out.chunks_mut(AT_ONCE * width * self.outputs).enumerate();
                parts.map(move |(index, out)| (index * AT_ONCE, image, out))
            })
            .collect();
        tasks.into_par_iter().for_each_init(
            || rows.memory(),
            |memory, (first, (number, image), out)| {
                rows.start(memory, first);
                for (row, out) in (first..).zip(out.chunks_exact_mut(width * self.outputs)) {
                    rows.convolve(image, row, (number * height + row) * width, memory, out);
                }
            },
        );
    }
}

impl ByRow for Strided7x7 {
    type Rows<'a> = StridedRows<'a>;

    fn rows<'a>(&'a self, extent: Extent, epilogue: &'a DenseEpilogue) -> StridedRows<'a> {
        let width = self.out(extent).width;
        StridedRows { convolution: self, extent, width, tiles: width.div_ceil(OUTPUTS), epilogue }
    }
}

/// The rows of the output.
#[derive(Debug)]
pub struct StridedRows<'a> {
    convolution: &'a Strided7x7,
    /// Of the input.
    extent: Extent,
    /// Pixels and tiles of a row of the output.
    width: usize,
    tiles: usize,
    epilogue: &'a DenseEpilogue<'a>,
}

/// What a task keeps from row to row.
#[derive(Debug)]
pub struct Memory {
    /// Rows of the input with their padding that are transformed: the number of the first one, and how many there are.
    first: usize,
    count: usize,
    /// A row of the input with its padding.
    padded: Scratch,
    /// The transformed rows: row by tile by position by channel of a pair.
    transformed: Scratch,
    /// Position by tile by panel.
    products: Scratch,
}

impl StridedRows<'_> {
    /// Values of a pair of pixels.
    fn pair(&self) -> usize {
        PAIR * self.convolution.inputs
    }

    /// Values of a row with its padding: all pairs of all tiles.
    fn padded(&self) -> usize {
        (self.tiles * OUTPUTS + POSITIONS - OUTPUTS) * self.pair()
    }

    /// Values of a transformed row.
    fn pitch(&self) -> usize {
        self.tiles * POSITIONS * self.pair()
    }

    fn panels(&self) -> usize {
        self.convolution.outputs / COLUMNS
    }

    /// Lines from the products of one position to those of the next. One is unused, as in other kernels.
    fn of_position(&self) -> usize {
        self.tiles * self.panels() + 1
    }

    /// Transforms a row of the input, counted from the first one of the padding.
    fn transform(&self, image: &[f32], row: usize, padded: &mut [f32], out: &mut [f32]) {
        let Extent { height, width, .. } = self.extent;
        let row = row.wrapping_sub(BEFORE);
        if row >= height {
            return out.fill(0.0);
        }
        let values = width * self.convolution.inputs;
        // The first tap of the first output is under the second pixel of the first pair.
        let before = (BEFORE + 1) * self.convolution.inputs;
        padded[..before].fill(0.0);
        padded[before..][..values].copy_from_slice(&image[row * values..][..values]);
        padded[before + values..].fill(0.0);
        arch().dispatch(Transform { pair: self.pair(), padded, out });
    }
}

impl Rows for StridedRows<'_> {
    type Memory = Memory;

    fn memory(&self) -> Memory {
        Memory {
            first: 0,
            count: 0,
            padded: Scratch::new(self.padded()),
            transformed: Scratch::new(KEPT * self.pitch()),
            products: Scratch::new(POSITIONS * self.of_position() * COLUMNS),
        }
    }

    fn start(&self, memory: &mut Memory, row: usize) {
        (memory.first, memory.count) = (row * STRIDE, 0);
    }

    fn convolve(&self, image: &[f32], row: usize, first: usize, memory: &mut Memory, out: &mut [f32]) {
        let Memory { first: first_row, count, padded, transformed, products } = memory;
        let (pitch, transformed) = (self.pitch(), transformed.values_mut());
        let top = row * STRIDE;
        if top + SIDE > *first_row + KEPT {
            let passed = top - *first_row;
            transformed.copy_within(passed * pitch..*count * pitch, 0);
            (*first_row, *count) = (top, *count - passed);
        }
        while *first_row + *count < top + SIDE {
            let out = &mut transformed[*count * pitch..][..pitch];
            self.transform(image, *first_row + *count, padded.values_mut(), out);
            *count += 1;
        }
        let rows = &transformed[(top - *first_row) * pitch..][..SIDE * pitch];
        arch().dispatch(Row { rows: self, transformed: rows, first, products: products.lines_mut(), out });
    }
}

/// Transforms a row: tile by position by channel of a pair.
struct Transform<'a> {
    pair: usize,
    padded: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pair, padded, out } = self;
        for (tile, out) in out.chunks_exact_mut(POSITIONS * pair).enumerate() {
            let padded = &padded[tile * OUTPUTS * pair..][..POSITIONS * pair];
            for first in (0..pair).step_by(S::F32_LANES) {
                let some = S::F32_LANES.min(pair - first);
                let mut values = [simd.splat_f32s(0.0); MOST];
                for index in 0..POSITIONS {
                    values[index] = simd.partial_load_f32s(&padded[index * pair + first..][..some]);
                }
                let values = F63::patch(simd, values);
                for index in 0..POSITIONS {
                    simd.partial_store_f32s(&mut out[index * pair + first..][..some], values[index]);
                }
            }
        }
    }
}

/// Computes a row of the output from the transformed rows under the kernel.
struct Row<'a> {
    rows: &'a StridedRows<'a>,
    transformed: &'a [f32],
    /// The number of the first pixel of the output.
    first: usize,
    products: &'a mut [Line],
    out: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows: all, transformed, first, products, out } = self;
        let StridedRows { convolution, width, tiles, epilogue, .. } = *all;
        let (pair, pitch, panels, depth) = (all.pair(), all.pitch(), all.panels(), convolution.depth());
        let places: Vec<usize> = (0..depth).map(|index| index / pair * pitch + index % pair).collect();
        let span = (SIDE - 1) * pitch + pair;
        let lines = convolution.weights.values().as_chunks::<COLUMNS>().0;
        let mut rows: Vec<&[f32]> = Vec::with_capacity(tiles);
        for (position, products) in products.chunks_exact_mut(all.of_position()).enumerate() {
            rows.clear();
            rows.extend((0..tiles).map(|tile| &transformed[(tile * POSITIONS + position) * pair..][..span]));
            let panels = Panels { lines: &lines[position * panels * depth..], stride: depth, depth, count: panels };
            let mut sums = Sums { out: products, stride: panels.count, add: false };
            gemm::multiply_into(simd, tiles, |row| rows[row], &places[..], panels, &mut sums);
        }
        let of_line = COLUMNS / S::F32_LANES;
        let (vectors, of_position) = (panels * of_line, all.of_position() * of_line);
        let products = S::as_simd_f32s(products.as_flattened()).0;
        let out = S::as_mut_simd_f32s(out).0;
        let epilogue = epilogue.simd::<S>();
        for tile in 0..tiles {
            let column = tile * OUTPUTS;
            let out = &mut out[column * vectors..][..OUTPUTS.min(width - column) * vectors];
            for vector in 0..vectors {
                let quiet = epilogue.is_quiet().then(|| epilogue.of_vector(simd, vector));
                let mut values = [simd.splat_f32s(0.0); MOST];
                for position in 0..POSITIONS {
                    values[position] = products[position * of_position + tile * vectors + vector];
                }
                let mut sums = F63::outputs(simd, values);
                // The products of the point at infinity belong to the last output.
                sums[OUTPUTS - 1] = simd.add_f32s(sums[OUTPUTS - 1], values[POSITIONS - 1]);
                for x in 0..OUTPUTS {
                    let Some(out) = out.get_mut(x * vectors + vector) else { break };
                    *out = match &quiet {
                        Some(epilogue) => epilogue.apply(simd, sums[x]),
                        None => epilogue.apply(simd, sums[x], vector, first + column + x),
                    };
                }
            }
        }
    }
}
