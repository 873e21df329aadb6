//! The gradient of a convolution's input, for any stride and any number of channels.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::convolution::Shape;
use crate::kernels::arch::arch;
use crate::kernels::extent::Extent;
use crate::kernels::gemm::{self, COLUMNS, Line, Panels};
use crate::kernels::scratch::Scratch;

/// Pixels of a task.
const PIXELS: usize = 96;
/// Weights up to this size, in numbers, are read again for every task.
const LOCAL_WEIGHTS: usize = 1 << 19;
/// Tasks that weights are divided among, at least, where they are larger.
const TASKS: usize = 8;

/// Pixels of the input whose distance to the kernel's centres is the same: for a stride of 2, those of even or odd rows and columns.
struct Phase {
    /// The first row and column.
    first: [usize; 2],
    /// Their number, down and across.
    size: [usize; 2],
    /// The taps that reach them: the index in the kernel, and the row and column of the output, relative to their own.
    taps: Vec<(usize, [isize; 2])>,
}

impl Phase {
    fn of(shape: Shape, extent: Extent, first: [usize; 2]) -> Self {
        let Shape { side, stride, .. } = shape;
        let [above, before] = shape.before(extent);
        let along = |first: usize, before: usize| {
            let shifted = move |tap: usize| (first + before) as isize - tap as isize;
            let reached = move |tap: &usize| shifted(*tap).rem_euclid(stride as isize) == 0;
            (0..side).filter(reached).map(move |tap| (tap, shifted(tap).div_euclid(stride as isize)))
        };
        let down = along(first[0], above);
        let taps =
            down.flat_map(|(row, y)| along(first[1], before).map(move |(column, x)| (row * side + column, [y, x])));
        let count = |length: usize, first: usize| length.saturating_sub(first).div_ceil(stride);
        let size = [count(extent.height, first[0]), count(extent.width, first[1])];
        Self { first, size, taps: taps.collect() }
    }
}

/// Writes the gradient of maps of this extent.
pub(super) fn convolve(shape: Shape, weights: &[f32], gradient: &[f32], extent: Extent, out: &mut [f32]) {
    let Shape { inputs, outputs, stride, .. } = shape;
    let panels = inputs.div_ceil(COLUMNS);
    let packed = pack(shape, weights);
    let packed = packed.values();
    let row = extent.width * inputs;
    for first in (0..stride).flat_map(|row| (0..stride).map(move |column| [row, column])) {
        let phase = &Phase::of(shape, extent, first);
        let pixels = extent.images * phase.size[0] * phase.size[1];
        if pixels == 0 {
            continue;
        }
        let mut sums = Scratch::new(pixels * panels * COLUMNS);
        let work = Work { shape, extent: shape.out(extent), gradient, weights: packed.as_chunks().0, phase };
        // Each task multiplies some pixels with all weights, or all pixels with some.
        let at_once = if packed.len() <= LOCAL_WEIGHTS { panels } else { panels.div_ceil(TASKS).max(2).min(panels) };
        if at_once == panels {
            sums.lines_mut().par_chunks_mut(PIXELS * panels).enumerate().for_each(|(task, out)| {
                let count = out.len() / panels;
                arch().dispatch(Product { work, first: task * PIXELS, count, panels: (0, panels), out });
            });
        } else {
            sums.lines_mut().par_chunks_mut(pixels * at_once).enumerate().for_each(|(task, out)| {
                let panels = (task * at_once, out.len() / pixels);
                arch().dispatch(Product { work, first: 0, count: pixels, panels, out });
            });
        }
        let sums: &[Line] = sums.lines_mut();
        out.par_chunks_exact_mut(row).enumerate().for_each(|(index, out)| {
            let (image, y) = (index / extent.height, index % extent.height);
            if y < first[0] || (y - first[0]) % stride != 0 {
                return;
            }
            let line = (image * phase.size[0] + (y - first[0]) / stride) * phase.size[1];
            for (pixel, out) in (line..).zip(out.chunks_exact_mut(inputs).skip(phase.first[1]).step_by(stride)) {
                for (panel, out) in out.chunks_mut(COLUMNS).enumerate() {
                    let (group, place) = (panel / at_once, panel % at_once);
                    let width = at_once.min(panels - group * at_once);
                    let sum = &sums[group * pixels * at_once + pixel * width + place];
                    out.copy_from_slice(&sum[..out.len()]);
                }
            }
        });
    }
    debug_assert_eq!(gradient.len(), shape.out(extent).pixels() * outputs, "a gradient of the output");
}

/// For each panel of inputs, for each tap: a line for every output.
fn pack(shape: Shape, weights: &[f32]) -> Scratch {
    let (taps, inputs, outputs) = (shape.taps(), shape.inputs, shape.outputs);
    let mut scratch = Scratch::new(inputs.div_ceil(COLUMNS) * COLUMNS * taps * outputs);
    scratch.values_mut().par_chunks_exact_mut(COLUMNS * taps * outputs).enumerate().for_each(|(panel, packed)| {
        // Inputs that do not exist fill the last line.
        if !inputs.is_multiple_of(COLUMNS) {
            packed.fill(0.0);
        }
        let lines = packed.as_chunks_mut::<COLUMNS>().0;
        for (output, weights) in weights.chunks_exact(inputs * taps).enumerate() {
            let kernels = weights[panel * COLUMNS * taps..].chunks_exact(taps).take(COLUMNS);
            for (input, kernel) in kernels.enumerate() {
                for (tap, weight) in kernel.iter().enumerate() {
                    lines[tap * outputs + output][input] = *weight;
                }
            }
        }
    });
    scratch
}

#[derive(Clone, Copy)]
struct Work<'a> {
    shape: Shape,
    /// That of the output.
    extent: Extent,
    gradient: &'a [f32],
    weights: &'a [Line],
    phase: &'a Phase,
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
        let Self { work: Work { shape, extent, gradient, weights, phase }, first, count, panels, out } = self;
        let (taps, outputs) = (shape.taps(), shape.outputs);
        let weights = &weights[panels.0 * taps * outputs..];
        let zeros = vec![0.0; outputs];
        let [height, width] = phase.size;
        if phase.taps.is_empty() {
            out.as_flattened_mut().fill(0.0);
        }
        let mut rows: Vec<&[f32]> = Vec::with_capacity(count);
        for (index, (tap, [down, across])) in phase.taps.iter().enumerate() {
            rows.clear();
            rows.extend((first..first + count).map(|pixel| {
                let (image, y, x) = (pixel / (height * width), pixel / width % height, pixel % width);
                let (y, x) = (y as isize + down, x as isize + across);
                let inside = (0..extent.height as isize).contains(&y) && (0..extent.width as isize).contains(&x);
                if inside {
                    let pixel = (image * extent.height + y as usize) * extent.width + x as usize;
                    &gradient[pixel * outputs..][..outputs]
                } else {
                    &zeros[..]
                }
            }));
            let panels =
                Panels { lines: &weights[tap * outputs..], stride: taps * outputs, depth: outputs, count: panels.1 };
            gemm::multiply(simd, count, |row| rows[row], panels, out, index > 0);
        }
    }
}
