//! The colours of a scale of StyleGAN2, added to those of the scale before.

use std::sync::Arc;

use nn::kernels::gemm::{self, COLUMNS, Line, Panels};
use nn::kernels::{Extent, MapOp, Maps, Prologue, arch};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Colour channels.
pub(super) const RGB: usize = 3;
/// Pixels that are computed at once.
const PIXELS: usize = 64;

/// The weights of a convolution of 1x1 to three colours.
#[derive(Debug)]
pub(in crate::sam) struct ToRgb {
    /// A line for each input, of which three values are used.
    weights: Vec<Line>,
    bias: [f32; RGB],
}

impl ToRgb {
    /// Packs weights: colours by inputs.
    ///
    /// # Panics
    /// If the number of inputs is no multiple of 16.
    pub(in crate::sam) fn new(weights: &[f32], bias: [f32; RGB]) -> Self {
        let inputs = weights.len() / RGB;
        assert_eq!(inputs % COLUMNS, 0, "whole lines of {inputs} channels");
        let line = |input: usize| {
            let weight = |colour| if colour < RGB { weights[colour * inputs + input] } else { 0.0 };
            std::array::from_fn(weight)
        };
        Self { weights: (0..inputs).map(line).collect(), bias }
    }

    /// For a map of `extent` whose channels a style scales. `before` is a picture of half its size, or empty.
    pub(super) fn styled<'a>(&'a self, style: &Prologue, before: &'a [f32], extent: Extent) -> StyledToRgb<'a> {
        let mut weights = self.weights.clone();
        if let Some(scale) = &style.scale {
            weights
                .iter_mut()
                .zip(&**scale)
                .for_each(|(line, scale)| line.iter_mut().for_each(|value| *value *= scale));
        }
        StyledToRgb { weights, bias: self.bias, before, extent }
    }
}

/// Computes the colours of a map, and adds the picture of the scale before.
///
/// It takes one input, the map, or two: the map, and a picture of half its size.
#[derive(Debug)]
pub(in crate::sam) struct AddRgb {
    pub(in crate::sam) to_rgb: Arc<ToRgb>,
    /// The factors of the map's channels.
    pub(in crate::sam) style: Prologue,
}

impl MapOp for AddRgb {
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize) {
        (inputs[0].extent, RGB)
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        let before = inputs.get(1).map_or(&[][..], |before| before.values);
        self.to_rgb.styled(&self.style, before, inputs[0].extent).forward(inputs[0].values, out);
    }
}

/// [`ToRgb`] for one style and one picture before.
pub(super) struct StyledToRgb<'a> {
    weights: Vec<Line>,
    bias: [f32; RGB],
    before: &'a [f32],
    extent: Extent,
}

impl StyledToRgb<'_> {
    /// Computes the picture of a map.
    pub(super) fn forward(&self, map: &[f32], out: &mut [f32]) {
        let (row, map_row) = (self.extent.width * RGB, self.extent.width * self.weights.len());
        let rows = out.par_chunks_exact_mut(row).zip(map.par_chunks_exact(map_row));
        rows.enumerate().for_each(|(y, (out, map))| self.rows(y, map, out));
    }

    /// Computes rows of the picture from number `first` on, from the same rows of the map.
    pub(super) fn rows(&self, first: usize, map: &[f32], out: &mut [f32]) {
        let Extent { height, width, .. } = self.extent;
        let mut line = vec![0.0; (width / 2 + 2) * RGB];
        for (y, out) in (first..).zip(out.chunks_exact_mut(width * RGB)) {
            if self.before.is_empty() {
                out.fill(0.0);
            } else {
                double_row(self.before, [height / 2, width / 2], y, &mut line, out);
            }
        }
        for (out, map) in out.chunks_mut(PIXELS * RGB).zip(map.chunks(PIXELS * self.weights.len())) {
            arch().dispatch(Colours { weights: &self.weights, bias: self.bias, map, out });
        }
    }
}

/// Computes a row of a picture of twice the size. `line` is scratch memory for a row of the picture with a pixel on each side.
fn double_row(picture: &[f32], [height, width]: [usize; 2], y: usize, line: &mut [f32], out: &mut [f32]) {
    // Even rows are nearer to the row before, odd ones to the row after. Zeros surround the picture.
    let near = y / 2;
    let far = if y.is_multiple_of(2) { near.checked_sub(1) } else { Some(near + 1).filter(|row| *row < height) };
    let row = |y: usize| &picture[y * width * RGB..][..width * RGB];
    line.fill(0.0);
    let inner = &mut line[RGB..][..width * RGB];
    inner.iter_mut().zip(row(near)).for_each(|(line, value)| *line = 0.75 * value);
    if let Some(far) = far {
        inner.iter_mut().zip(row(far)).for_each(|(line, value)| *line += 0.25 * value);
    }
    for (x, out) in out.as_chunks_mut::<{ 2 * RGB }>().0.iter_mut().enumerate() {
        let line = &line[x * RGB..][..3 * RGB];
        for colour in 0..RGB {
            let (before, here, after) = (line[colour], line[RGB + colour], line[2 * RGB + colour]);
            out[colour] = 0.25 * before + 0.75 * here;
            out[RGB + colour] = 0.75 * here + 0.25 * after;
        }
    }
}

/// Adds the colours of some pixels to `out`.
struct Colours<'a> {
    weights: &'a [Line],
    bias: [f32; RGB],
    map: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Colours<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, bias, map, out } = self;
        let depth = weights.len();
        let pixels = out.len() / RGB;
        let mut sums = [[0.0; COLUMNS]; PIXELS];
        let panels = Panels { lines: weights, stride: depth, depth, count: 1 };
        gemm::multiply(simd, pixels, |pixel| &map[pixel * depth..][..depth], panels, &mut sums, false);
        for (out, sums) in out.as_chunks_mut::<RGB>().0.iter_mut().zip(&sums) {
            for colour in 0..RGB {
                out[colour] += sums[colour] + bias[colour];
            }
        }
    }
}
