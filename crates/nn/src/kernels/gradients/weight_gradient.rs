//! The gradient of a convolution's weights: for each tap, the products of inputs and gradients, summed over all pixels.

use std::borrow::Cow;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::convolution::Shape;
use super::depthwise;
use crate::kernels::arch::arch;
use crate::kernels::extent::Extent;
use crate::kernels::gemm::{COLUMNS, Line};
use crate::kernels::scratch::Scratch;

/// Panels of outputs whose sums a task holds.
const PANELS: usize = 4;
/// Pixels that a task sums before it goes on to other weights, about: their gradients stay in a near cache.
const PIXELS: usize = 192;
/// Tasks that images are divided among, at least, where weights are too few.
const TASKS: usize = 16;

/// Writes the gradient of weights, outputs by inputs by kernel, from the maps and the gradient of the output.
pub(crate) fn weight_gradient(shape: Shape, maps: &[f32], gradient: &[f32], extent: Extent, out: &mut [f32]) {
    if shape.depthwise {
        return depthwise::weight_gradient(shape, maps, gradient, extent, out);
    }
    let Shape { inputs, outputs, side, .. } = shape;
    let padded = Padded::of(shape, maps, extent);
    let panels = outputs.div_ceil(COLUMNS);
    let gradient = whole_lines(gradient, outputs);
    let groups = panels.div_ceil(PANELS);
    // A row of the kernel is one run of numbers in padded maps.
    let depth = side * inputs;
    let parts = TASKS.div_ceil(side * groups).min(extent.images);
    let images = extent.images.div_ceil(parts);
    let parts = extent.images.div_ceil(images);
    let task = depth * PANELS;
    let mut sums = Scratch::new(parts * side * groups * task * COLUMNS);
    sums.lines_mut().par_chunks_exact_mut(task).enumerate().for_each(|(index, sums)| {
        let (part, rest) = (index / (side * groups), index % (side * groups));
        let (row, group) = (rest / groups, rest % groups);
        let images = part * images..((part + 1) * images).min(extent.images);
        let gradients = Gradients { lines: gradient.as_chunks().0, panels, first: group * PANELS };
        arch().dispatch(Sum { padded: &padded, shape, gradients, images, row, sums });
    });
    // In the order of the parts, back to the order of weights.
    let sums: &[Line] = sums.lines_mut();
    let taps = shape.taps();
    out.par_chunks_mut(COLUMNS * inputs * taps).enumerate().for_each(|(panel, out)| {
        let (group, place) = (panel / PANELS, panel % PANELS);
        let count = PANELS.min(panels - group * PANELS);
        for row in 0..side {
            for index in 0..depth {
                let mut sum = [0.0; COLUMNS];
                for part in 0..parts {
                    let line = &sums[((part * side + row) * groups + group) * task + index * count + place];
                    sum.iter_mut().zip(line).for_each(|(sum, value)| *sum += value);
                }
                let (column, input) = (index / inputs, index % inputs);
                let weights = out[input * taps + row * side + column..].iter_mut().step_by(inputs * taps);
                weights.zip(sum).for_each(|(weight, sum)| *weight = sum);
            }
        }
    });
}

/// Gradients with zeros for the channels that fill the last line.
fn whole_lines(gradient: &[f32], outputs: usize) -> Cow<'_, [f32]> {
    if outputs.is_multiple_of(COLUMNS) {
        return Cow::Borrowed(gradient);
    }
    let width = outputs.next_multiple_of(COLUMNS);
    let mut lines = vec![0.0; gradient.len() / outputs * width];
    for (line, gradient) in lines.chunks_exact_mut(width).zip(gradient.chunks_exact(outputs)) {
        line[..outputs].copy_from_slice(gradient);
    }
    Cow::Owned(lines)
}

/// Maps with zeros around, as far as kernels reach.
struct Padded<'a> {
    values: Values<'a>,
    /// Rows of an image, and numbers of a row.
    rows: usize,
    row: usize,
    /// The extent of the output.
    out: Extent,
}

enum Values<'a> {
    Maps(&'a [f32]),
    Copied(Scratch),
}

impl<'a> Padded<'a> {
    fn of(shape: Shape, maps: &'a [f32], extent: Extent) -> Self {
        let Shape { inputs, side, stride, .. } = shape;
        let (out, [above, before]) = (shape.out(extent), shape.before(extent));
        if side == 1 {
            return Self { values: Values::Maps(maps), rows: extent.height, row: extent.width * inputs, out };
        }
        let [rows, columns] = [out.height, out.width].map(|length| (length - 1) * stride + side);
        let row = columns * inputs;
        let mut scratch = Scratch::new(extent.images * rows * row);
        scratch.values_mut().par_chunks_exact_mut(row).enumerate().for_each(|(index, padded)| {
            let (image, y) = (index / rows, index % rows);
            if y < above || y - above >= extent.height {
                padded.fill(0.0);
                return;
            }
            let width = extent.width.min(columns - before) * inputs;
            let (left, rest) = padded.split_at_mut(before * inputs);
            left.fill(0.0);
            let from = (image * extent.height + y - above) * extent.width * inputs;
            rest[..width].copy_from_slice(&maps[from..][..width]);
            rest[width..].fill(0.0);
        });
        Self { values: Values::Copied(scratch), rows, row, out }
    }

    fn values(&self) -> &[f32] {
        match &self.values {
            Values::Maps(maps) => maps,
            Values::Copied(scratch) => scratch.values(),
        }
    }
}

/// The lines of a gradient, of which a task takes some panels.
#[derive(Clone, Copy)]
struct Gradients<'a> {
    lines: &'a [Line],
    /// Lines of a pixel.
    panels: usize,
    first: usize,
}

/// Sums the products of a row of the kernel with some panels, over some images.
struct Sum<'a> {
    padded: &'a Padded<'a>,
    shape: Shape,
    gradients: Gradients<'a>,
    images: std::ops::Range<usize>,
    row: usize,
    /// For each number of a row of the kernel: a line for each panel.
    sums: &'a mut [Line],
}

impl WithSimd for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { padded, shape, gradients, images, row, sums } = self;
        let depth = shape.side * shape.inputs;
        let count = PANELS.min(gradients.panels - gradients.first);
        let Extent { height, width, .. } = padded.out;
        let values = padded.values();
        sums.as_flattened_mut().fill(0.0);
        let at_once = (PIXELS / width).clamp(1, height);
        let step = shape.stride * shape.inputs;
        let mut rows: Vec<(&[f32], &[Line])> = Vec::new();
        let blocks = images.flat_map(|image| (0..height).step_by(at_once).map(move |y| (image, y)));
        let mut blocks = blocks.peekable();
        while let Some((image, first)) = blocks.next() {
            for y in first..(first + at_once).min(height) {
                let from = (image * padded.rows + y * shape.stride + row) * padded.row;
                let to = (image * height + y) * width * gradients.panels + gradients.first;
                let run = (width - 1) * step + depth;
                rows.push((&values[from..][..run], &gradients.lines[to..][..(width - 1) * gradients.panels + count]));
            }
            // Small images are summed together.
            if rows.len() * width < PIXELS / 2 && blocks.peek().is_some() {
                continue;
            }
            let block = Block { rows: &rows, step, panels: gradients.panels, width };
            match COLUMNS / S::F32_LANES {
                1 => tiles::<S, 1>(simd, block, depth, count, sums),
                2 => tiles::<S, 2>(simd, block, depth, count, sums),
                4 => tiles::<S, 4>(simd, block, depth, count, sums),
                _ => tiles::<S, 16>(simd, block, depth, count, sums),
            }
            rows.clear();
        }
    }
}

/// Some rows of maps and gradients.
#[derive(Clone, Copy)]
struct Block<'a> {
    rows: &'a [(&'a [f32], &'a [Line])],
    /// Numbers from pixel to pixel of the maps.
    step: usize,
    /// Lines from pixel to pixel of the gradients.
    panels: usize,
    width: usize,
}

#[inline(always)]
fn tiles<S: Simd, const VECTORS: usize>(simd: S, block: Block, depth: usize, count: usize, sums: &mut [Line]) {
    macro_rules! down {
        ($panels:literal at $panel:expr, $($rows:literal),+) => {{
            let mut done = 0;
            while done < depth {
                $(if depth - done >= $rows {
                    tile::<S, $rows, $panels, VECTORS>(simd, block, done, $panel, count, sums);
                    done += $rows;
                    continue;
                })+
            }
        }};
    }
    let mut panel = 0;
    while panel < count {
        // The sums fill the registers, except a few for the factors.
        if VECTORS == 1 && count - panel >= 4 {
            down!(4 at panel, 6, 3, 1);
            panel += 4;
        } else if VECTORS == 1 && count - panel >= 2 {
            down!(2 at panel, 12, 6, 3, 1);
            panel += 2;
        } else {
            down!(1 at panel, 6, 3, 1);
            panel += 1;
        }
    }
}

/// Adds the products of `ROWS` numbers of maps and `PANELS` panels of gradients.
#[inline(always)]
fn tile<S: Simd, const ROWS: usize, const PANELS: usize, const VECTORS: usize>(
    simd: S,
    block: Block,
    first: usize,
    panel: usize,
    count: usize,
    sums: &mut [Line],
) {
    let Block { rows, step, panels, width } = block;
    let mut found = [[[simd.splat_f32s(0.0); VECTORS]; PANELS]; ROWS];
    for (maps, gradients) in rows {
        let maps = &maps[first..];
        let lines: &[[S::f32s; VECTORS]] = S::as_simd_f32s(gradients.as_flattened()).0.as_chunks::<VECTORS>().0;
        let lines = &lines[panel..];
        for x in 0..width {
            let values: &[f32; ROWS] = maps[x * step..].first_chunk().expect("a row has all pixels");
            let lines: &[[S::f32s; VECTORS]; PANELS] = lines[x * panels..].first_chunk().expect("a row has all pixels");
            for row in 0..ROWS {
                let value = simd.splat_f32s(values[row]);
                for panel in 0..PANELS {
                    for vector in 0..VECTORS {
                        found[row][panel][vector] =
                            simd.mul_add_e_f32s(value, lines[panel][vector], found[row][panel][vector]);
                    }
                }
            }
        }
    }
    for row in 0..ROWS {
        for index in 0..PANELS {
            let line = S::as_mut_simd_f32s(&mut sums[(first + row) * count + panel + index]).0;
            for vector in 0..VECTORS {
                line[vector] = simd.add_f32s(line[vector], found[row][index][vector]);
            }
        }
    }
}
