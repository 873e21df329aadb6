//! Convolutions of few channels: the pixels under a row of the kernel are adjacent in memory.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::convolution::Convolution;
use super::extent::Extent;
use super::finish::Finished;
use super::fused::{DenseEpilogue, Epilogue, Prologue};
use super::gemm::{self, Adjacent, COLUMNS, Panels, Places};
use super::packed::{Packed, Use};
use super::padding::Padding;
use super::prepared;
use super::scratch::Scratch;

/// Pixels that a task multiplies with all weights, if the map has them, up to whole rows.
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

    /// Values under the kernel.
    fn depth(&self) -> usize {
        self.side * self.side * self.inputs
    }

    /// Copies rows of an image with their padding, from a row on that may be above it.
    fn copy(&self, image: &[f32], extent: Extent, top: isize, padded: &mut [f32]) {
        let row = extent.width * self.inputs;
        let before = self.padding.before(self.side, self.stride, extent.width) * self.inputs;
        for (y, padded) in (top..).zip(padded.chunks_exact_mut(self.pitch(extent))) {
            if (0..extent.height as isize).contains(&y) {
                padded[..before].fill(0.0);
                padded[before..][..row].copy_from_slice(&image[y as usize * row..][..row]);
                padded[before + row..].fill(0.0);
            } else {
                padded.fill(0.0);
            }
        }
    }

    /// Values of a row with its padding.
    fn pitch(&self, extent: Extent) -> usize {
        (extent.width + self.padding.both(self.side, self.stride, extent.width)) * self.inputs
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
        self.run(maps, extent, prologue, epilogue, false, out);
    }

    fn forward_add(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]) {
        self.run(maps, extent, prologue, epilogue, true, out);
    }
}

impl Patches {
    /// Convolves maps into `out`, or adds to what it holds.
    fn run(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, adds: bool, out: &mut [f32]) {
        let mut memory = prepared::memory(prologue, maps);
        let maps = prepared::prepared(prologue, maps, self.inputs, &mut memory);
        let (depth, outputs) = (self.depth(), self.outputs);
        let epilogue = &epilogue.dense(outputs);
        let lines = self.weights.values().as_chunks::<COLUMNS>().0;
        let weights = Panels { lines, stride: depth, depth, count: self.panels() };
        if self.side == 1 && self.stride == 1 {
            // A kernel of one pixel takes the map as it is.
            out.par_chunks_mut(PIXELS * outputs).enumerate().for_each(|(index, out)| {
                let first = index * PIXELS;
                let rows = maps[first * depth..].chunks_exact(depth).take(out.len() / outputs).collect();
                let places = Adjacent;
                arch().dispatch(Product { rows, places, weights, outputs, epilogue, adds, first, out });
            });
            return;
        }
        let out_extent = self.out(extent);
        let above = self.padding.before(self.side, self.stride, extent.height) as isize;
        let pitch = self.pitch(extent);
        let rows = PIXELS.div_ceil(out_extent.width).min(out_extent.height.div_ceil(rayon::current_num_threads()));
        let images = maps.chunks_exact(extent.height * extent.width * self.inputs);
        let bands = out.chunks_exact_mut(out_extent.height * out_extent.width * outputs).zip(images).enumerate();
        let bands: Vec<_> = bands
            .flat_map(|(number, (out, image))| {
                let bands = out.chunks_mut(rows * out_extent.width * outputs).enumerate();
                bands.map(move |(index, out)| (number * out_extent.height, index * rows, image, out))
            })
            .collect();
        let of_kernel = self.side * self.inputs;
        let places: Vec<usize> = (0..depth).map(|index| index / of_kernel * pitch + index % of_kernel).collect();
        let span = (self.side - 1) * pitch + of_kernel;
        let memory = || Scratch::new(((rows - 1) * self.stride + self.side) * pitch);
        bands.into_par_iter().for_each_init(memory, |padded, (rows_before, row, image, out)| {
            self.copy(image, extent, (row * self.stride) as isize - above, padded.values_mut());
            let padded = padded.values();
            let step = self.stride * self.inputs;
            let mut rows = Vec::with_capacity(out.len() / outputs);
            for row in 0..out.len() / (out_extent.width * outputs) {
                let values = &padded[row * self.stride * pitch..];
                rows.extend((0..out_extent.width).map(|column| &values[column * step..][..span]));
            }
            let places = &places[..];
            let first = (rows_before + row) * out_extent.width;
            arch().dispatch(Product { rows, places, weights, outputs, epilogue, adds, first, out });
        });
    }
}

/// Multiplies the pixels under the kernel with all weights.
struct Product<'a, P> {
    /// For each pixel of the output: the values from the first one under the kernel on.
    rows: Vec<&'a [f32]>,
    /// Those under the kernel.
    places: P,
    weights: Panels<'a>,
    outputs: usize,
    epilogue: &'a DenseEpilogue<'a>,
    /// Whether the values that `out` holds are added before the activation.
    adds: bool,
    /// The number of `out`'s first pixel.
    first: usize,
    out: &'a mut [f32],
}

impl<P: Places> WithSimd for Product<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, places, weights, outputs, epilogue, adds, first, out } = self;
        let mut sink = Finished::<S>::new(outputs, epilogue, adds, first, out);
        gemm::multiply_into(simd, rows.len(), |row| rows[row], places, weights, &mut sink);
    }
}
