//! The colours of a scale of StyleGAN2, on top of those of the scale before.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::around::Prologue;
use super::gemm::{self, COLUMNS, Line, Panels};
use super::maps::Extent;

/// Colour channels.
pub(super) const RGB: usize = 3;
/// Pixels that are worked on at once.
const PIXELS: usize = 64;

/// The weights of a convolution of 1x1 to three colours.
#[derive(Debug)]
pub(crate) struct ToRgb {
    /// A line for each input, of which three values are used.
    weights: Vec<Line>,
    bias: [f32; RGB],
}

impl ToRgb {
    /// Of weights: colours by inputs.
    ///
    /// # Panics
    /// If the inputs are no multiple of 16.
    pub(crate) fn new(weights: &[f32], bias: [f32; RGB]) -> Self {
        let inputs = weights.len() / RGB;
        assert_eq!(inputs % COLUMNS, 0, "whole lines of {inputs} channels");
        let line = |input: usize| {
            let weight = |colour| if colour < RGB { weights[colour * inputs + input] } else { 0.0 };
            std::array::from_fn(weight)
        };
        Self { weights: (0..inputs).map(line).collect(), bias }
    }

    /// For maps of one extent, whose channels a style scales, on top of a picture of half their size, if there is one.
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

/// [`ToRgb`] for one style, on top of a picture.
pub(super) struct StyledToRgb<'a> {
    weights: Vec<Line>,
    bias: [f32; RGB],
    before: &'a [f32],
    extent: Extent,
}

impl StyledToRgb<'_> {
    /// One map to a picture.
    pub(super) fn forward(&self, map: &[f32], out: &mut [f32]) {
        let (row, map_row) = (self.extent.width * RGB, self.extent.width * self.weights.len());
        let rows = out.par_chunks_exact_mut(row).zip(map.par_chunks_exact(map_row));
        rows.enumerate().for_each(|(y, (out, map))| self.rows(y, map, out));
    }

    /// Some rows of the picture, from those of the map.
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

/// A row of a doubled picture; `line` is space for a row of the picture with a pixel on each side.
fn double_row(picture: &[f32], [height, width]: [usize; 2], y: usize, line: &mut [f32], out: &mut [f32]) {
    // Even rows are nearer to the one before, odd ones to the one after; there are zeros around the picture.
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

/// Adds the colours of some pixels.
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
