//! Convolutions as products of matrices: for each tap, its weights times the pixels under it.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::convolution::Convolution;
use super::extent::Extent;
use super::finish::{self, Finish};
use super::fused::{Epilogue, Prologue};
use super::gemm::{self, COLUMNS, Far, Line, Panels};
use super::packed::{Packed, Use};
use super::pixels::{Pixels, Pointwise, Source};
use super::prepared::prepared;
use super::scratch::Scratch;

/// Pixels that a task multiplies with all weights, where the map has enough for all cores.
const PIXELS: usize = 96;
/// The same where the weights are large.
const MANY_PIXELS: usize = 192;
/// Pixels that are multiplied at once, with most instructions.
const ROWS: usize = 6;
/// Weights up to this size, in bytes, are read again for every part of a map.
const LOCAL_WEIGHTS: usize = 2 << 20;

/// A convolution with a square kernel of an odd side, padded so that the kernel's centre is on every pixel.
#[derive(Debug)]
pub struct Direct {
    inputs: usize,
    outputs: usize,
    side: usize,
    stride: usize,
    /// Pixels from tap to tap.
    dilation: usize,
    /// For each panel of outputs, for each tap: a line of every input.
    weights: Packed,
}

/// A convolution, its input and the extent of its output.
#[derive(Clone, Copy)]
struct Work<'a> {
    direct: &'a Direct,
    maps: &'a [f32],
    extent: Extent,
    out: Extent,
}

impl Direct {
    /// Packs weights: outputs by inputs by `side` by `side`.
    ///
    /// # Panics
    /// If the number of inputs is no multiple of 16.
    pub fn new(kernels: &[f32], channels: [usize; 2], side: usize, stride: usize) -> Self {
        Self::of_use(kernels, channels, side, stride, Use::Lasting)
    }

    /// The same; `of` is how long the weights are used.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn of_use(kernels: &[f32], [outputs, inputs]: [usize; 2], side: usize, stride: usize, of: Use) -> Self {
        assert_eq!(inputs % COLUMNS, 0, "whole lines of {inputs} channels");
        let taps = side * side;
        let panels = outputs.div_ceil(COLUMNS);
        let mut weights = Packed::new(panels * COLUMNS * inputs * taps, of);
        let lines = weights.values_mut().as_chunks_mut::<COLUMNS>().0;
        lines.par_chunks_exact_mut(taps * inputs).enumerate().for_each(|(panel, lines)| {
            let row = taps * inputs;
            let kernels = &kernels[panel * COLUMNS * row..];
            // The first output stands in for missing ones, whose sums are not used.
            let mut rows = [&kernels[..row]; COLUMNS];
            rows.iter_mut().zip(kernels.chunks_exact(row)).for_each(|(row, kernels)| *row = kernels);
            for input in 0..inputs {
                for tap in 0..taps {
                    let index = input * taps + tap;
                    lines[tap * inputs + input] = rows.map(|row| row[index]);
                }
            }
        });
        Self { inputs, outputs, side, stride, dilation: 1, weights }
    }

    /// The same with `dilation` pixels from tap to tap.
    pub fn dilated(self, dilation: usize) -> Self {
        Self { dilation, ..self }
    }

    fn panels(&self) -> usize {
        self.outputs.div_ceil(COLUMNS)
    }
}

impl Convolution for Direct {
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

impl Direct {
    /// Convolves maps into `out`, or adds to what it holds.
    fn run(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, adds: bool, out: &mut [f32]) {
        let maps = &*prepared(prologue, maps, self.inputs);
        if self.side == 1 {
            let source = Source { maps, extent, channels: self.inputs, stride: self.stride };
            return self.multiply(Pixels::of(source), epilogue, adds, out);
        }
        let epilogue = epilogue.dense(self.outputs);
        let work = Work { direct: self, maps, extent, out: self.out(extent) };
        let (pixels, panels) = (work.out.pixels(), self.panels());
        let threads = rayon::current_num_threads();
        if size_of_val(self.weights.values()) <= LOCAL_WEIGHTS && pixels >= PIXELS * threads {
            out.par_chunks_mut(PIXELS * self.outputs).enumerate().for_each_init(
                || Scratch::new(PIXELS * panels * COLUMNS),
                |sums, (index, out)| {
                    let (first, count) = (index * PIXELS, out.len() / self.outputs);
                    let sums = &mut sums.lines_mut()[..count * panels];
                    arch().dispatch(Product { work, first, count, panels: (0, panels), out: sums });
                    let sums = [&*sums];
                    let (outputs, skipped, at_once) = (self.outputs, first, panels);
                    let epilogue = &epilogue;
                    arch().dispatch(Finish { outputs, sums: &sums, at_once, skipped, epilogue, adds, first, out });
                },
            );
            return;
        }
        // Each task multiplies all pixels with some of the weights, which are read once.
        let at_once = panels.div_ceil(4 * threads).next_multiple_of(2).min(panels);
        let mut sums = Scratch::new(pixels * panels * COLUMNS);
        let tasks = sums.lines_mut().par_chunks_mut(pixels * at_once).enumerate();
        tasks.for_each(|(task, out)| {
            let panels = (task * at_once, out.len() / pixels);
            arch().dispatch(Product { work, first: 0, count: pixels, panels, out });
        });
        let sums: Vec<&[Line]> = sums.lines_mut().chunks(pixels * at_once).collect();
        let some = pixels.div_ceil(4 * threads).max(1);
        out.par_chunks_mut(some * self.outputs).enumerate().for_each(|(index, out)| {
            let first = index * some;
            let (outputs, skipped) = (self.outputs, 0);
            let epilogue = &epilogue;
            arch().dispatch(Finish { outputs, sums: &sums, at_once, skipped, epilogue, adds, first, out });
        });
    }
}

impl Pointwise for Direct {
    /// Whole sums stay in registers.
    ///
    /// # Panics
    /// If the kernel has more than one pixel.
    fn multiply(&self, pixels: Pixels, epilogue: &Epilogue, adds: bool, out: &mut [f32]) {
        assert_eq!(self.side, 1, "the side of the kernel");
        let (inputs, outputs) = (self.inputs, self.outputs);
        let epilogue = &epilogue.dense(outputs);
        let lines = self.weights.values().as_chunks::<COLUMNS>().0;
        let weights = Panels { lines, stride: inputs, depth: inputs, count: self.panels() };
        // Large weights are read for as many pixels as each core has.
        let some = if size_of_val(self.weights.values()) <= LOCAL_WEIGHTS { PIXELS } else { MANY_PIXELS };
        let of_thread = pixels.out().pixels().div_ceil(rayon::current_num_threads());
        let some = some.min(of_thread.next_multiple_of(ROWS));
        out.par_chunks_mut(some * outputs).enumerate().for_each_init(
            || pixels.memory(some),
            |memory, (index, out)| {
                let first = index * some;
                // A list also where rows are adjacent: the compiler would else compute each address in the innermost loop.
                let rows = &pixels.some(first..first + out.len() / outputs, memory)[..];
                let places = Far;
                arch().dispatch(finish::Product { rows, places, weights, outputs, epilogue, adds, first, out });
            },
        );
    }
}

/// Computes the sums of some pixels in some panels.
struct Product<'a> {
    work: Work<'a>,
    first: usize,
    count: usize,
    /// The first panel, and the number of panels.
    panels: (usize, usize),
    out: &'a mut [Line],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work: Work { direct, maps, extent, out: out_extent }, first, count, panels, out } = self;
        let Direct { inputs, side, stride, dilation, .. } = *direct;
        let taps = side * side;
        let weights = &direct.weights.values().as_chunks::<COLUMNS>().0[panels.0 * taps * inputs..];
        let zeros = vec![0.0; inputs];
        let mut rows: Vec<&[f32]> = Vec::with_capacity(count);
        for tap in 0..taps {
            let (down, across) = (tap / side, tap % side);
            rows.clear();
            let (mut image, rest) =
                (first / (out_extent.height * out_extent.width), first % (out_extent.height * out_extent.width));
            let (mut y, mut x) = (rest / out_extent.width, rest % out_extent.width);
            for _ in 0..count {
                // The kernel is centred on its pixel.
                let row = (y * stride + down * dilation).wrapping_sub(side / 2 * dilation);
                let column = (x * stride + across * dilation).wrapping_sub(side / 2 * dilation);
                rows.push(if row < extent.height && column < extent.width {
                    &maps[((image * extent.height + row) * extent.width + column) * inputs..][..inputs]
                } else {
                    &zeros
                });
                x += 1;
                if x == out_extent.width {
                    (x, y) = (0, y + 1);
                }
                if y == out_extent.height {
                    (y, image) = (0, image + 1);
                }
            }
            let panels =
                Panels { lines: &weights[tap * inputs..], stride: taps * inputs, depth: inputs, count: panels.1 };
            gemm::multiply(simd, count, |row| rows[row], panels, out, tap > 0);
        }
    }
}
