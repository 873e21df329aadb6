//! The doubling of the size in StyleGAN2: a transposed convolution of 3x3 with stride 2, then a blur by [1, 3, 3, 1].
//!
//! The transposed convolution's outputs are of four kinds, by even and odd rows and columns, which are sums over the inputs at
//! their place, before it, above it and both: nine products in all.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::around::{Entry, Epilogue, Exit, Prologue};
use super::gemm::{self, Block, COLUMNS, ROWS};
use super::pages::Pages;
use super::space::Space;

/// The inputs that an output may depend on: rows and columns before its own.
const TAPS: [[usize; 2]; 4] = [[0, 0], [0, 1], [1, 0], [1, 1]];
/// For the kinds (even, even), (even, odd), (odd, even) and (odd, odd): the taps, and the weights' places in their kernels.
const KINDS: [&[(usize, usize)]; 4] =
    [&[(0, 0), (1, 2), (2, 6), (3, 8)], &[(0, 1), (2, 7)], &[(0, 3), (1, 5)], &[(0, 4)]];
/// What the outputs of a part of a map may take, in bytes.
const LOCAL_SET: usize = 6 << 20;
/// Strips of weights that one task multiplies, while a panel is in the nearest caches.
const STRIPS: usize = 8;

/// The weights of the transposed convolution.
#[derive(Debug)]
pub(crate) struct Upsample {
    inputs: usize,
    outputs: usize,
    /// A matrix of outputs by inputs for each place in a kernel, packed by [`ROWS`] outputs; missing ones are zero.
    weights: Pages,
}

/// A convolution and what it is of.
#[derive(Clone, Copy)]
struct Work<'a> {
    upsample: &'a Upsample,
    map: &'a [f32],
    height: usize,
    width: usize,
    prologue: &'a Prologue,
}

impl Upsample {
    /// Of weights: outputs by inputs by 3 by 3.
    pub(crate) fn new(kernels: &[f32], outputs: usize, inputs: usize) -> Self {
        let rows = outputs.next_multiple_of(ROWS);
        let mut weights = Pages::new(9 * rows * inputs);
        let matrices = weights.values_mut().par_chunks_exact_mut(rows * inputs).take(9);
        matrices.enumerate().for_each(|(place, matrix)| {
            for (output, kernels) in kernels.as_chunks::<9>().0.chunks_exact(inputs).enumerate() {
                let strip = &mut matrix[output / ROWS * ROWS * inputs..][..ROWS * inputs];
                for (weights, kernel) in strip.as_chunks_mut::<ROWS>().0.iter_mut().zip(kernels) {
                    weights[output % ROWS] = kernel[place];
                }
            }
        });
        Self { inputs, outputs, weights }
    }

    /// Output channels.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The weights of a place for six outputs: inputs by outputs.
    fn strip(&self, place: usize, strip: usize) -> &[[f32; ROWS]] {
        let size = ROWS * self.inputs;
        let matrix = self.outputs.div_ceil(ROWS) * size;
        self.weights.values()[place * matrix + strip * size..][..size].as_chunks().0
    }

    /// A map of `height` x `width` pixels to one of twice the size.
    pub(crate) fn forward(
        &self,
        map: &[f32],
        [height, width]: [usize; 2],
        prologue: &Prologue,
        epilogue: &Epilogue,
        out: &mut [f32],
    ) {
        let work = Work { upsample: self, map, height, width, prologue };
        let line = size_of::<f32>() * 4 * self.outputs * work.columns();
        // One row of inputs before and one after them is needed for those of a part.
        let part = (LOCAL_SET / line).saturating_sub(2).clamp(8, height.div_ceil(rayon::current_num_threads()).max(8));
        let mut parts: Vec<Vec<&mut [f32]>> = (0..height.div_ceil(part)).map(|_| Vec::new()).collect();
        for plane in out.chunks_exact_mut(4 * height * width) {
            plane.chunks_mut(4 * part * width).zip(&mut parts).for_each(|(rows, part)| part.push(rows));
        }
        let do_part = |(index, mut out): (usize, Vec<&mut [f32]>)| work.part(index * part, &mut out, epilogue);
        // Where there are few parts, the cores share the work on each.
        if parts.len() >= rayon::current_num_threads() {
            parts.into_par_iter().enumerate().for_each(do_part);
        } else {
            parts.into_iter().enumerate().for_each(do_part);
        }
    }
}

impl Work<'_> {
    /// Pixels of each kind in a row: one more than the map has.
    fn columns(&self) -> usize {
        self.width + 1
    }

    /// The output rows that belong to the inputs' from `top` on: some rows of each channel.
    fn part(self, top: usize, out: &mut [&mut [f32]], epilogue: &Epilogue) {
        let arch = Arch::new();
        let inputs = self.upsample.inputs;
        let lines = out[0].len() / (4 * self.width) + 2;
        let panels = (lines * self.columns()).div_ceil(COLUMNS);
        // Inputs: panel by tap by channel; panels go on from line to line.
        let panel_size = TAPS.len() * inputs * COLUMNS;
        let mut gathered = Space::new(panels * panel_size);
        gathered.values_mut().par_chunks_exact_mut(panel_size).enumerate().for_each(|(panel, out)| {
            arch.dispatch(Gather { work: self, top, lines, panel, out: out.as_chunks_mut().0 });
        });
        let gathered = gathered.values_mut().as_chunks().0;
        // Outputs: channel by kind by pixel.
        let channel_size = KINDS.len() * panels * COLUMNS;
        let strips = self.upsample.outputs.div_ceil(ROWS);
        let at_once = strips.div_ceil(rayon::current_num_threads()).clamp(1, STRIPS);
        let mut kinds = Space::new(strips * ROWS * channel_size);
        let kinds = kinds.values_mut().par_chunks_mut(at_once * ROWS * channel_size);
        kinds.zip(out.par_chunks_mut(at_once * ROWS)).enumerate().for_each(|(task, (kinds, out))| {
            let strip = task * at_once;
            arch.dispatch(Product { work: self, gathered, strip, panels, out: kinds });
            for (channel, (kinds, out)) in kinds.chunks_exact(channel_size).zip(out).enumerate() {
                let exit = epilogue.channel(strip * ROWS + channel);
                arch.dispatch(Blur { kinds, width: self.width, top, exit, out });
            }
        });
    }
}

/// The inputs that a panel depends on: tap by channel by pixel.
struct Gather<'a> {
    work: Work<'a>,
    /// The first row of inputs of the part; there is one line before it.
    top: usize,
    lines: usize,
    panel: usize,
    out: &'a mut [[f32; COLUMNS]],
}

impl WithSimd for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { work, top, lines, panel, out } = self;
        let Work { upsample, map, height, width, prologue } = work;
        out.as_flattened_mut().fill(0.0);
        let mut lane = 0;
        while lane < COLUMNS {
            let pixel = panel * COLUMNS + lane;
            let (line, column) = (pixel / work.columns(), pixel % work.columns());
            if line == lines {
                break;
            }
            let run = (work.columns() - column).min(COLUMNS - lane);
            for ([above, before], out) in TAPS.into_iter().zip(out.chunks_exact_mut(upsample.inputs)) {
                let Some(line) = (top + line).checked_sub(1 + above).filter(|line| *line < height) else { continue };
                // There is no pixel before the first, and none beyond the last.
                let skipped = before.saturating_sub(column);
                let start = column + skipped - before;
                let count = run.saturating_sub(skipped).min(width - start.min(width));
                for (channel, out) in out.iter_mut().enumerate() {
                    let Entry { scale, shift } = prologue.channel(channel);
                    let pixels = &map[(channel * height + line) * width + start.min(width)..][..count];
                    for (out, value) in out[lane + skipped.min(run)..].iter_mut().zip(pixels) {
                        *out = value * scale + shift;
                    }
                }
            }
            lane += run;
        }
    }
}

/// Some output channels: channel by kind by pixel.
struct Product<'a> {
    work: Work<'a>,
    gathered: &'a [[f32; COLUMNS]],
    /// The first six of them.
    strip: usize,
    panels: usize,
    out: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, gathered, strip, panels, out } = self;
        let inputs = work.upsample.inputs;
        let pixels = panels * COLUMNS;
        for (panel, gathered) in gathered.chunks_exact(TAPS.len() * inputs).enumerate() {
            for (index, out) in out.chunks_exact_mut(ROWS * KINDS.len() * pixels).enumerate() {
                for (kind, parts) in KINDS.iter().enumerate() {
                    let mut sum: Block = [[0.0; COLUMNS]; ROWS];
                    for &(tap, place) in *parts {
                        let weights = work.upsample.strip(place, strip + index);
                        let block = gemm::multiply_packed(simd, weights, &gathered[tap * inputs..][..inputs]);
                        for (sum, value) in sum.as_flattened_mut().iter_mut().zip(block.as_flattened()) {
                            *sum += value;
                        }
                    }
                    for (out, sum) in out.chunks_exact_mut(KINDS.len() * pixels).zip(&sum) {
                        out[kind * pixels + panel * COLUMNS..][..COLUMNS].copy_from_slice(sum);
                    }
                }
            }
        }
    }
}

/// Interleaves the four kinds of pixels of a channel and blurs them.
struct Blur<'a> {
    /// Kind by pixel.
    kinds: &'a [f32],
    /// Of the map before.
    width: usize,
    /// The first row of inputs whose outputs these are.
    top: usize,
    exit: Exit<'a>,
    out: &'a mut [f32],
}

impl WithSimd for Blur<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { kinds, width, top, exit, out } = self;
        let (wide, pixels) = (2 * width, kinds.len() / KINDS.len());
        let rows = out.len() / wide;
        // Each row is blurred along itself once, and four of them make one.
        let mut blurred = Space::new(4 * wide);
        let blurred = blurred.values_mut();
        // What is interleaved has a zero before it.
        let mut line = Space::new(wide + 2 * COLUMNS);
        let line = line.values_mut();
        line[0] = 0.0;
        // The transposed convolution's rows that are needed begin with the odd one of the line before the first.
        for index in 0..rows + 3 {
            let transposed = 1 + index;
            let (line_of_inputs, odd_row) = (transposed / 2, transposed % 2);
            let kind = |odd_column: usize| {
                let start = (2 * odd_row + odd_column) * pixels + line_of_inputs * (width + 1);
                &kinds[start..][..width + 1]
            };
            for (pair, (even, odd)) in line[1..].as_chunks_mut::<2>().0.iter_mut().zip(kind(0).iter().zip(kind(1))) {
                *pair = [*even, *odd];
            }
            let row = &mut blurred[index % 4 * wide..][..wide];
            for (x, value) in row.iter_mut().enumerate() {
                *value = 0.25 * (line[x] + line[x + 3]) + 0.75 * (line[x + 1] + line[x + 2]);
            }
            let Some(y) = index.checked_sub(3) else { continue };
            let row = |offset: usize| &blurred[(y + offset) % 4 * wide..][..wide];
            let (first, second, third, fourth) = (row(0), row(1), row(2), row(3));
            let out = &mut out[y * wide..][..wide];
            for (x, out) in out.iter_mut().enumerate() {
                *out = 0.25 * (first[x] + fourth[x]) + 0.75 * (second[x] + third[x]);
            }
            exit.finish(out, (2 * top + y) * wide);
        }
    }
}
