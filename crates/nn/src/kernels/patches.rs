//! Convolutions of few channels: the pixels under a row of the kernel are adjacent in memory.

use rayon::prelude::*;

use super::arch::arch;
use super::convolution::Convolution;
use super::extent::Extent;
use super::finish::Product;
use super::fused::{DenseEpilogue, Epilogue, Prologue};
use super::gemm::{Adjacent, COLUMNS, Panels};
use super::packed::{Packed, Use};
use super::padding::Padding;
use super::pooled::{ByRow, Rows};
use super::prepared::prepared;
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

    /// The same; `of` is how long the weights are used.
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
        let maps = &*prepared(prologue, maps, self.inputs);
        let (depth, outputs) = (self.depth(), self.outputs);
        let epilogue = &epilogue.dense(outputs);
        if self.side == 1 && self.stride == 1 {
            // A kernel of one pixel takes the map as it is.
            let lines = self.weights.values().as_chunks::<COLUMNS>().0;
            let weights = Panels { lines, stride: depth, depth, count: self.panels() };
            out.par_chunks_mut(PIXELS * outputs).enumerate().for_each(|(index, out)| {
                let first = index * PIXELS;
                let rows: Vec<&[f32]> = maps[first * depth..].chunks_exact(depth).take(out.len() / outputs).collect();
                let (rows, places) = (&rows[..], Adjacent);
                arch().dispatch(Product { rows, places, weights, outputs, epilogue, adds, first, out });
            });
            return;
        }
        let out_extent = self.out(extent);
        let bands = Bands::new(self, extent, epilogue, adds);
        let rows = PIXELS.div_ceil(out_extent.width).min(out_extent.height.div_ceil(rayon::current_num_threads()));
        let images = maps.chunks_exact(extent.height * extent.width * self.inputs);
        let tasks = out.chunks_exact_mut(out_extent.height * out_extent.width * outputs).zip(images).enumerate();
        let tasks: Vec<_> = tasks
            .flat_map(|(number, (out, image))| {
                let bands = out.chunks_mut(rows * out_extent.width * outputs).enumerate();
                bands.map(move |(index, out)| (number * out_extent.height, index * rows, image, out))
            })
            .collect();
        tasks.into_par_iter().for_each_init(
            || bands.memory(rows),
            |padded, (rows_before, row, image, out)| {
                let first = (rows_before + row) * out_extent.width;
                bands.convolve(image, row, first, padded.values_mut(), out);
            },
        );
    }
}

impl ByRow for Patches {
    type Rows<'a> = Bands<'a>;

    fn rows<'a>(&'a self, extent: Extent, epilogue: &'a DenseEpilogue) -> Bands<'a> {
        Bands::new(self, extent, epilogue, false)
    }
}

impl Rows for Bands<'_> {
    type Memory = Scratch;

    fn memory(&self) -> Scratch {
        self.memory(1)
    }

    fn start(&self, _: &mut Scratch, _: usize) {}

    fn convolve(&self, image: &[f32], row: usize, first: usize, memory: &mut Scratch, out: &mut [f32]) {
        self.convolve(image, row, first, memory.values_mut(), out);
    }
}

/// A convolution of some rows at a time.
#[derive(Debug)]
pub struct Bands<'a> {
    patches: &'a Patches,
    extent: Extent,
    epilogue: &'a DenseEpilogue<'a>,
    adds: bool,
    /// The places of the values under the kernel, counted from the first one. Rows have their padding.
    places: Vec<usize>,
}

impl<'a> Bands<'a> {
    /// Of maps of an extent. `adds` is whether the values that the output holds are added before the activation.
    fn new(patches: &'a Patches, extent: Extent, epilogue: &'a DenseEpilogue, adds: bool) -> Self {
        let of_kernel = patches.side * patches.inputs;
        let mut bands = Self { patches, extent, epilogue, adds, places: Vec::new() };
        let pitch = bands.pitch();
        bands.places = (0..patches.depth()).map(|index| index / of_kernel * pitch + index % of_kernel).collect();
        bands
    }

    /// Memory for the rows of the input that `rows` rows of the output depend on.
    fn memory(&self, rows: usize) -> Scratch {
        Scratch::new(((rows - 1) * self.patches.stride + self.patches.side) * self.pitch())
    }

    /// Computes the rows of the output that `out` has room for. The first one is `row` of the image, and `first` is the number of its first
    /// pixel.
    fn convolve(&self, image: &[f32], row: usize, first: usize, padded: &mut [f32], out: &mut [f32]) {
        let Self { patches, extent, epilogue, adds, ref places } = *self;
        let Patches { inputs, outputs, stride, .. } = *patches;
        self.copy(image, row, padded);
        let (pitch, depth, width) = (self.pitch(), patches.depth(), patches.out(extent).width);
        let span = places.last().map_or(0, |last| last + 1);
        let mut rows = Vec::with_capacity(out.len() / outputs);
        for row in 0..out.len() / (width * outputs) {
            let values = &padded[row * stride * pitch..];
            rows.extend((0..width).map(|column| &values[column * stride * inputs..][..span]));
        }
        let lines = patches.weights.values().as_chunks::<COLUMNS>().0;
        let weights = Panels { lines, stride: depth, depth, count: patches.panels() };
        let (rows, places) = (&rows[..], &places[..]);
        arch().dispatch(Product { rows, places, weights, outputs, epilogue, adds, first, out });
    }

    /// Copies the rows of the input that the output depends on from `row` on, with their padding.
    fn copy(&self, image: &[f32], row: usize, padded: &mut [f32]) {
        let Patches { inputs, side, stride, padding, .. } = *self.patches;
        let Extent { height, width, .. } = self.extent;
        let above = padding.before(side, stride, height);
        let before = padding.before(side, stride, width) * inputs;
        for (index, padded) in padded.chunks_exact_mut(self.pitch()).enumerate() {
            let y = (row * stride + index).wrapping_sub(above);
            if y < height {
                padded[..before].fill(0.0);
                padded[before..][..width * inputs].copy_from_slice(&image[y * width * inputs..][..width * inputs]);
                padded[before + width * inputs..].fill(0.0);
            } else {
                padded.fill(0.0);
            }
        }
    }

    /// Values of a row with its padding.
    fn pitch(&self) -> usize {
        let Patches { inputs, side, stride, padding, .. } = *self.patches;
        (self.extent.width + padding.both(side, stride, self.extent.width)) * inputs
    }
}
