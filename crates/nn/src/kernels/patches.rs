//! Convolutions of few channels: the pixels under a kernel are one row of a matrix.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::convolution::Convolution;
use super::extent::Extent;
use super::finish::Finished;
use super::fused::{DenseEpilogue, Epilogue, Prologue};
use super::gemm::{self, COLUMNS, Panels};
use super::packed::{Packed, Use};
use super::padding::Padding;
use super::prepared;
use super::scratch::Scratch;

/// Pixels that a task multiplies with all weights.
const PIXELS: usize = 96;

/// A convolution with a square kernel of an odd side, padded by half of it or as TensorFlow does, for any number of channels. [`Direct`](super::Direct)
/// copies no pixels, and would waste the registers that few channels leave empty.
#[derive(Debug)]
pub struct Patches {
    inputs: usize,
    outputs: usize,
    side: usize,
    stride: usize,
    padding: Padding,
    /// For each panel of outputs, for each tap: a line of every input.
    weights: Packed,
}

impl Patches {
    /// Packs weights: outputs by inputs by `side` by `side`.
    pub fn new(kernels: &[f32], channels: [usize; 2], side: usize, stride: usize) -> Self {
        Self::of_use(kernels, channels, side, stride, Use::Lasting)
    }

    /// The same for weights that are used so long.
    pub fn of_use(kernels: &[f32], [outputs, inputs]: [usize; 2], side: usize, stride: usize, of: Use) -> Self {
        let (taps, panels) = (side * side, outputs.div_ceil(COLUMNS));
        let depth = taps * inputs;
        let mut weights = Packed::new(panels * COLUMNS * depth, of);
        let lines = weights.values_mut().as_chunks_mut::<COLUMNS>().0;
        // The sums of outputs that do not exist are not used. They should be no slow numbers.
        if !outputs.is_multiple_of(COLUMNS) {
            lines[(panels - 1) * depth..].as_flattened_mut().fill(0.0);
        }
        for (output, kernel) in kernels.chunks_exact(depth).enumerate() {
            let (panel, column) = (output / COLUMNS, output % COLUMNS);
            for (index, weight) in kernel.iter().enumerate() {
                let (input, tap) = (index / taps, index % taps);
                lines[panel * depth + tap * inputs + input][column] = *weight;
            }
        }
        Self { inputs, outputs, side, stride, padding: Padding::Centred, weights }
    }

    /// With another padding.
    pub fn padded(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    fn panels(&self) -> usize {
        self.outputs.div_ceil(COLUMNS)
    }

    /// Values of a patch.
    fn depth(&self) -> usize {
        self.side * self.side * self.inputs
    }

    /// Copies the pixels under the kernel at some pixels of the output.
    fn gather(&self, maps: &[f32], extent: Extent, first: usize, patches: &mut [f32]) {
        let Self { inputs, side, stride, padding, .. } = *self;
        let out = self.out(extent);
        let [above, before] = [extent.height, extent.width].map(|length| padding.before(side, stride, length) as isize);
        for (pixel, patch) in (first..).zip(patches.chunks_exact_mut(self.depth())) {
            let (row, column) = (pixel / out.width, pixel % out.width);
            let (image, row) = (row / out.height, row % out.height);
            let top = (row * stride) as isize - above;
            let left = (column * stride) as isize - before;
            // The columns of the kernel that lie on the map.
            let start = (-left).clamp(0, side as isize) as usize;
            let end = (extent.width as isize - left).clamp(start as isize, side as isize) as usize;
            for (y, patch) in (top..).zip(patch.chunks_exact_mut(side * inputs)) {
                if !(0..extent.height as isize).contains(&y) {
                    patch.fill(0.0);
                    continue;
                }
                patch[..start * inputs].fill(0.0);
                patch[end * inputs..].fill(0.0);
                if start < end {
                    let x = (left + start as isize) as usize;
                    let from = ((image * extent.height + y as usize) * extent.width + x) * inputs;
                    let count = (end - start) * inputs;
                    patch[start * inputs..end * inputs].copy_from_slice(&maps[from..][..count]);
                }
            }
        }
    }
}

impl Convolution for Patches {
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
        let (depth, outputs) = (self.depth(), self.outputs);
        let epilogue = &epilogue.dense(outputs);
        // A kernel of one pixel takes the map as it is.
        let in_place = self.side == 1 && self.stride == 1;
        out.par_chunks_mut(PIXELS * outputs).enumerate().for_each_init(
            || Scratch::new(if in_place { 0 } else { PIXELS * depth }),
            |patches, (index, out)| {
                let (first, count) = (index * PIXELS, out.len() / outputs);
                let rows = if in_place {
                    &maps[first * depth..][..count * depth]
                } else {
                    let patches = &mut patches.values_mut()[..count * depth];
                    self.gather(maps, extent, first, patches);
                    patches
                };
                arch().dispatch(Product { patches: self, rows, epilogue, others, first, out });
            },
        );
    }
}

/// Multiplies patches with all weights.
struct Product<'a> {
    patches: &'a Patches,
    rows: &'a [f32],
    epilogue: &'a DenseEpilogue<'a>,
    /// Values that are added to those of `out`'s whole map before the activation; empty for none.
    others: &'a [f32],
    /// The number of `out`'s first pixel.
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { patches, rows, epilogue, others, first, out } = self;
        let depth = patches.depth();
        let lines = patches.weights.values().as_chunks::<COLUMNS>().0;
        let panels = Panels { lines, stride: depth, depth, count: patches.panels() };
        let mut sink = Finished::<S>::new(patches.outputs, epilogue, others, first, out);
        // A list of rows: the compiler would else compute each address in the innermost loop.
        let rows: Vec<&[f32]> = rows.chunks_exact(depth).collect();
        gemm::multiply_into(simd, rows.len(), |row| rows[row], panels, &mut sink);
    }
}
