//! Convolutions as one product of matrices: the pixels that an output depends on are gathered into panels.

use burn::tensor::TensorData;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::around::{Entry, Epilogue, Prologue};
use super::gemm::{self, COLUMNS, DEPTH, ROWS};
use super::space::Space;

/// Strips of weights that one task multiplies.
const STRIPS: usize = 8;
/// What the panels worked on at once may take, in bytes, if all cores work on them, and if one does.
const WORKING_SET: usize = 6 << 20;
const LOCAL_SET: usize = 400 << 10;
/// Up to so many weights are read again for every part of a map.
const LOCAL_WEIGHTS: usize = 1 << 18;
/// Panels for each core, from which on a map is divided between them.
const PANELS: usize = 16;

/// A convolution: which inputs an output depends on, and the weights of each.
#[derive(Clone, Debug)]
pub(crate) struct Direct {
    inputs: usize,
    outputs: usize,
    stride: usize,
    /// Where an input lies from `stride` times the output's place: down and across.
    taps: Vec<[isize; 2]>,
    /// Outputs by inputs by taps, as PyTorch has them; they may lie in a mapped file.
    weights: TensorData,
}

/// Output pixels of a panel that lie side by side in the map.
#[derive(Clone, Copy, Debug)]
struct Run {
    lane: usize,
    pixels: usize,
    row: usize,
    column: usize,
}

impl Direct {
    /// Of float32 weights: outputs by inputs by `side` by `side`, padded by half of it.
    pub(crate) fn new(weights: TensorData, [outputs, inputs]: [usize; 2], side: usize, stride: usize) -> Self {
        let before = (side / 2) as isize;
        let place = |index: usize| index as isize - before;
        let taps = (0..side * side).map(|tap| [place(tap / side), place(tap % side)]).collect();
        Self { inputs, outputs, stride, taps, weights }
    }

    /// Output channels.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    fn weights(&self) -> &[f32] {
        self.weights.as_slice().expect("the weights are float32")
    }

    /// How far outputs are apart, in inputs.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// A map of `inputs` channels of `size` (height, width) to one of `outputs` channels of `out_size`.
    pub(crate) fn forward(
        &self,
        map: &[f32],
        size: [usize; 2],
        prologue: &Prologue,
        epilogue: &Epilogue,
        out_size: [usize; 2],
        out: &mut [f32],
    ) {
        let pixels = out_size[0] * out_size[1];
        let panels = pixels.div_ceil(COLUMNS);
        let depth = self.taps.len() * self.inputs;
        let arch = Arch::new();
        let gather = |panel: usize, out: &mut [[f32; COLUMNS]]| {
            let runs = runs(panel, out_size);
            arch.dispatch(Gather { map, size, prologue, convolution: self, runs: &runs, out });
        };
        let weights = self.weights();
        if weights.len() <= LOCAL_WEIGHTS && panels >= PANELS * rayon::current_num_threads() {
            // Every task does all the work on some pixels.
            let at_once = (LOCAL_SET / (size_of::<f32>() * COLUMNS * depth)).clamp(1, panels / 8);
            let mut tasks: Vec<Vec<&mut [f32]>> = (0..panels.div_ceil(at_once)).map(|_| Vec::new()).collect();
            for plane in out.chunks_exact_mut(pixels) {
                plane.chunks_mut(at_once * COLUMNS).zip(&mut tasks).for_each(|(part, task)| task.push(part));
            }
            let space = || Space::new(at_once * depth * COLUMNS);
            tasks.into_par_iter().enumerate().for_each_init(space, |gathered, (task, mut out)| {
                let first = task * at_once;
                let gathered = &mut gathered.values_mut().as_chunks_mut().0[..at_once.min(panels - first) * depth];
                gathered.chunks_exact_mut(depth).enumerate().for_each(|(panel, out)| gather(first + panel, out));
                let product = Product { weights, depth, row: 0, gathered, top: first * COLUMNS, first, epilogue };
                arch.dispatch(Into { product, out: &mut out });
            });
            return;
        }
        // All tasks gather for many pixels, then multiply, so that weights are read once for many.
        let at_once = (WORKING_SET / (size_of::<f32>() * COLUMNS * depth)).clamp(4, 64).min(panels);
        let strips = self.outputs.div_ceil(ROWS).div_ceil(rayon::current_num_threads()).clamp(1, STRIPS);
        let mut gathered = Space::new(at_once * depth * COLUMNS);
        for first in (0..panels).step_by(at_once) {
            let gathered = &mut gathered.values_mut().as_chunks_mut().0[..at_once.min(panels - first) * depth];
            gathered.par_chunks_exact_mut(depth).enumerate().for_each(|(panel, out)| gather(first + panel, out));
            out.par_chunks_mut(strips * ROWS * pixels).enumerate().for_each(|(chunk, out)| {
                let product = Product { weights, depth, row: chunk * strips * ROWS, gathered, top: 0, first, epilogue };
                let mut out: Vec<&mut [f32]> = out.chunks_exact_mut(pixels).collect();
                arch.dispatch(Into { product, out: &mut out });
            });
        }
    }
}

fn runs(panel: usize, [height, width]: [usize; 2]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut lane = 0;
    while lane < COLUMNS {
        let pixel = panel * COLUMNS + lane;
        let (row, column) = (pixel / width, pixel % width);
        if row == height {
            break;
        }
        let pixels = (width - column).min(COLUMNS - lane);
        runs.push(Run { lane, pixels, row, column });
        lane += pixels;
    }
    runs
}

/// What the pixels of a panel depend on: channel by tap by pixel.
struct Gather<'a> {
    map: &'a [f32],
    size: [usize; 2],
    prologue: &'a Prologue,
    convolution: &'a Direct,
    runs: &'a [Run],
    out: &'a mut [[f32; COLUMNS]],
}

impl WithSimd for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { map, size: [height, width], prologue, convolution, runs, out } = self;
        let Direct { stride, taps, .. } = convolution;
        out.as_flattened_mut().fill(0.0);
        for (index, tap) in taps.iter().enumerate() {
            for run in runs {
                let row = (run.row * stride) as isize + tap[0];
                if !(0..height as isize).contains(&row) {
                    continue;
                }
                // The first and the last pixel of the run that are not beyond the edge.
                let start = (run.column * stride) as isize + tap[1];
                let skipped = usize::try_from(-start).map_or(0, |missing| missing.div_ceil(*stride));
                let reach = (width as isize - start).max(0) as usize;
                let end = run.pixels.min(reach.div_ceil(*stride));
                if skipped >= end {
                    continue;
                }
                let from = row as usize * width + (start + (skipped * stride) as isize) as usize;
                for (channel, out) in out.iter_mut().skip(index).step_by(taps.len()).enumerate() {
                    let Entry { scale, shift } = prologue.channel(channel);
                    let line = &map[channel * height * width + from..];
                    let out = &mut out[run.lane + skipped..run.lane + end];
                    match stride {
                        1 => out.iter_mut().zip(line).for_each(|(out, value)| *out = value * scale + shift),
                        _ => {
                            let values = line.iter().step_by(*stride);
                            out.iter_mut().zip(values).for_each(|(out, value)| *out = value * scale + shift);
                        }
                    }
                }
            }
        }
    }
}

/// Some output channels of the panels from `first` on.
struct Product<'a> {
    weights: &'a [f32],
    /// Weights of a row.
    depth: usize,
    /// The first row of weights, and output channel.
    row: usize,
    gathered: &'a [[f32; COLUMNS]],
    first: usize,
    /// The first pixel that is in the output.
    top: usize,
    epilogue: &'a Epilogue,
}

/// A product, and where it goes: some pixels of each channel.
struct Into<'a, 'b> {
    product: Product<'a>,
    out: &'a mut [&'b mut [f32]],
}

impl WithSimd for Into<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { product: Product { weights, depth, row: first_row, gathered, first, top, epilogue }, out } = self;
        let last_row = first_row + out.len() - 1;
        for start in (0..depth).step_by(DEPTH) {
            let end = (start + DEPTH).min(depth);
            for (panel, gathered) in gathered.chunks_exact(depth).enumerate() {
                let pixel = (first + panel) * COLUMNS;
                for (strip, out) in out.chunks_mut(ROWS).enumerate() {
                    let first_row = first_row + strip * ROWS;
                    // Where there are no six rows, the last is multiplied again and its sums are not used.
                    let mut rows = [&[][..]; ROWS];
                    for (index, row) in rows.iter_mut().enumerate() {
                        *row = &weights[(first_row + index).min(last_row) * depth..][start..end];
                    }
                    let block = gemm::multiply_rows(simd, rows, &gathered[start..end]);
                    for (row, (out, block)) in out.iter_mut().zip(&block).enumerate() {
                        let count = COLUMNS.min(out.len() + top - pixel);
                        let out = &mut out[pixel - top..][..count];
                        if start == 0 {
                            out.copy_from_slice(&block[..count]);
                        } else {
                            out.iter_mut().zip(block).for_each(|(out, value)| *out += value);
                        }
                        if end == depth {
                            epilogue.channel(first_row + row).finish(out, pixel);
                        }
                    }
                }
            }
        }
    }
}
