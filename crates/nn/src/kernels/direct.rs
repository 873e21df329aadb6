//! Convolutions as products of matrices: for each tap, its weights times the pixels under it.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::convolution::Convolution;
use super::extent::Extent;
use super::fused::{DenseEpilogue, Epilogue, Prologue};
use super::gemm::{self, COLUMNS, Line, Panels};
use super::huge_pages::HugePages;
use super::scratch::Scratch;

/// Pixels that a task multiplies with all weights, where the map has enough for all cores.
const PIXELS: usize = 96;
/// Weights up to this size, in bytes, are read again for every part of a map.
const LOCAL_WEIGHTS: usize = 2 << 20;

/// A convolution with a square kernel, padded by half of its side.
#[derive(Debug)]
pub struct Direct {
    inputs: usize,
    outputs: usize,
    side: usize,
    stride: usize,
    /// For each panel of outputs, for each tap: a line of every input.
    weights: HugePages,
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
    pub fn new(kernels: &[f32], [outputs, inputs]: [usize; 2], side: usize, stride: usize) -> Self {
        assert_eq!(inputs % COLUMNS, 0, "whole lines of {inputs} channels");
        let taps = side * side;
        let panels = outputs.div_ceil(COLUMNS);
        let mut weights = HugePages::new(panels * COLUMNS * inputs * taps);
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
        Self { inputs, outputs, side, stride, weights }
    }

    fn panels(&self) -> usize {
        self.outputs.div_ceil(COLUMNS)
    }
}

impl Convolution for Direct {
    fn outputs(&self) -> usize {
        self.outputs
    }

    fn out(&self, Extent { images, height, width }: Extent) -> Extent {
        Extent { images, height: height.div_ceil(self.stride), width: width.div_ceil(self.stride) }
    }

    fn forward(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]) {
        let mut prepared = Scratch::new(if prologue.is_empty() { 0 } else { maps.len() });
        let maps = if prologue.is_empty() {
            maps
        } else {
            let prologue = prologue.dense(self.inputs);
            let rows = extent.width * self.inputs;
            prepared.values_mut().par_chunks_mut(rows).zip(maps.par_chunks(rows)).for_each(|(out, values)| {
                arch().dispatch(ApplyPrologue { prologue: &prologue, values, out });
            });
            prepared.values_mut()
        };
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
                    arch().dispatch(ApplyEpilogue {
                        direct: self,
                        sums: &sums,
                        skipped: first,
                        at_once: panels,
                        epilogue: &epilogue,
                        first,
                        out,
                    });
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
            arch().dispatch(ApplyEpilogue {
                direct: self,
                sums: &sums,
                skipped: 0,
                at_once,
                epilogue: &epilogue,
                first,
                out,
            });
        });
    }
}

/// Applies the prologue to rows of the input.
struct ApplyPrologue<'a> {
    prologue: &'a Prologue,
    values: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for ApplyPrologue<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Some(prologue) = self.prologue.simd::<S>() else { return };
        let vectors = prologue.vectors();
        let (values, out) = (S::as_simd_f32s(self.values).0, S::as_mut_simd_f32s(self.out).0);
        for (out, values) in out.chunks_exact_mut(vectors).zip(values.chunks_exact(vectors)) {
            for (vector, (out, values)) in out.iter_mut().zip(values).enumerate() {
                *out = prologue.apply(simd, *values, vector);
            }
        }
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
        let Direct { inputs, side, stride, .. } = *direct;
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
                let row = (y * stride + down).wrapping_sub(side / 2);
                let column = (x * stride + across).wrapping_sub(side / 2);
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

/// Applies the epilogue to the sums of some pixels.
struct ApplyEpilogue<'a> {
    direct: &'a Direct,
    /// Pixel by panel, for `at_once` panels each.
    sums: &'a [&'a [Line]],
    at_once: usize,
    /// Pixels before the sums' first.
    skipped: usize,
    epilogue: &'a DenseEpilogue<'a>,
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for ApplyEpilogue<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { direct, sums, at_once, skipped, epilogue, first, out } = self;
        let (vectors, simd_epilogue) = (COLUMNS / S::F32_LANES, epilogue.simd::<S>());
        for (pixel, out) in (first..).zip(out.chunks_exact_mut(direct.outputs)) {
            for (panel, out) in out.chunks_mut(COLUMNS).enumerate() {
                let (task, index) = (panel / at_once, panel % at_once);
                let width = at_once.min(direct.panels() - task * at_once);
                let line = &sums[task][(pixel - skipped) * width + index];
                if out.len() == COLUMNS {
                    let values = S::as_simd_f32s(line).0;
                    for (index, out) in S::as_mut_simd_f32s(out).0.iter_mut().enumerate() {
                        *out = simd_epilogue.apply(simd, values[index], panel * vectors + index, pixel);
                    }
                } else {
                    for (index, (out, value)) in out.iter_mut().zip(line).enumerate() {
                        *out = epilogue.apply(*value, panel * COLUMNS + index, pixel);
                    }
                }
            }
        }
    }
}
