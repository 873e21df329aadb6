use pulp::{Arch, Simd, WithSimd};

use crate::hog::{Hog, PLANES};
use crate::svd::{OuterProduct, outer_products};

/// Rows that are scored at once, so that the responses between the two passes stay in the nearest cache.
const BAND: usize = 48;
/// Columns that are scored at once. A multiple of every group of vectors.
const STRIP: usize = 32;

/// A linear classifier of windows of features.
#[derive(Debug)]
pub(crate) struct Filter {
    /// The least score of a hit.
    pub(crate) threshold: f64,
    /// Cells of a window, down and across.
    window: (usize, usize),
    /// The weights, as a sum of outer products. Each covers one plane.
    terms: Vec<Term>,
}

/// One outer product: `column` times `row`, over one plane.
#[derive(Debug)]
struct Term {
    plane: usize,
    row: Vec<f32>,
    column: Vec<f32>,
}

/// A window that reached the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hit {
    pub(crate) score: f32,
    /// The window's middle, as a row and column of the features with their border.
    pub(crate) row: usize,
    pub(crate) column: usize,
}

impl Filter {
    /// `window` is the window's size in cells (rows, columns). `weights` holds its weights plane by plane and row by
    /// row, then the threshold.
    ///
    /// As in dlib, the weights of a plane are decomposed into outer products. Those of singular values below a
    /// thousandth of the largest, or below 1e-4, are dropped. Where that saves no work, the weights are used unchanged.
    pub(crate) fn new(weights: &[f64], window: (usize, usize)) -> Self {
        let (rows, columns) = window;
        let planes: Vec<&[f64]> = weights.chunks_exact(rows * columns).take(PLANES).collect();
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
        let mut terms = Vec::new();
        for (index, plane) in planes.iter().enumerate() {
            let products = outer_products(plane, rows, columns);
            let largest = products.first().map_or(0.0, |product| product.strength);
            let worth = products.iter().take_while(|product| product.strength >= (0.001 * largest).max(1e-4));
            let term = |OuterProduct { column, row, .. }: &OuterProduct| Term {
                plane: index,
                row: narrow(row),
                column: narrow(column),
            };
            terms.extend(worth.map(term));
        }
        if 3 * terms.len() > PLANES * rows.min(columns) {
            terms.clear();
            for (index, plane) in planes.iter().enumerate() {
                for (at, row) in plane.chunks_exact(columns).enumerate() {
                    let mut column = vec![0.0; rows];
                    column[at] = 1.0;
                    terms.push(Term { plane: index, row: narrow(row), column });
                }
            }
        }
        Self { threshold: weights.last().copied().unwrap_or_default(), window, terms }
    }

    /// The windows that score at least `threshold`, from top to bottom and from left to right.
    pub(crate) fn hits(&self, hog: &Hog, threshold: f64) -> Vec<Hit> {
        let arch = Arch::new();
        let (rows, columns) = hog.inner;
        let mut hits = Vec::new();
        let mut scores = vec![[0.0; STRIP]; BAND.min(rows)];
        let mut responses = vec![[0.0; STRIP]; BAND.min(rows) + self.window.0 - 1];
        for top in (0..rows).step_by(BAND) {
            for left in (0..columns).step_by(STRIP) {
                let (height, width) = (BAND.min(rows - top), STRIP.min(columns - left));
                let scores = &mut scores[..height];
                let responses = &mut responses[..height + self.window.0 - 1];
                scores.fill([0.0; STRIP]);
                arch.dispatch(Score { terms: &self.terms, hog, top, left, scores, responses });
                for (row, scores) in (top..).zip(scores.iter()) {
                    let reached = |(_, score): &(usize, &f32)| f64::from(**score) >= threshold;
                    let places = (left..).zip(&scores[..width]).filter(reached);
                    hits.extend(places.map(|(column, &score)| Hit {
                        score,
                        row: row + self.window.0 / 2,
                        column: column + self.window.1 / 2,
                    }));
                }
            }
        }
        hits.sort_by_key(|hit| hit.row);
        hits
    }
}

/// Adds the scores of a strip, whose first window is at `top` and `left`, to `scores`.
struct Score<'a> {
    terms: &'a [Term],
    hog: &'a Hog,
    top: usize,
    left: usize,
    scores: &'a mut [[f32; STRIP]],
    /// Scratch: the response of each row of features to a term's row.
    responses: &'a mut [[f32; STRIP]],
}

impl WithSimd for Score<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for term in self.terms {
            for (row, response) in (self.top..).zip(&mut *self.responses) {
                let features = self.hog.row(term.plane, row)[self.left..].array_windows::<STRIP>();
                weighted_sum(simd, &term.row, features, [0.0; STRIP], response);
            }
            for (score, responses) in self.scores.iter_mut().zip(self.responses.windows(term.column.len())) {
                weighted_sum(simd, &term.column, responses.iter(), *score, score);
            }
        }
    }
}

/// `start` plus the sum of the values times their weights.
#[inline(always)]
fn weighted_sum<'a, S: Simd>(
    simd: S,
    weights: &[f32],
    values: impl Iterator<Item = &'a [f32; STRIP]> + Clone,
    start: [f32; STRIP],
    sum: &mut [f32; STRIP],
) {
    // Several sums side by side hide the latency of each addition. A strip of two vectors has only two.
    match STRIP / S::F32_LANES {
        2 => by_groups::<S, 2>(simd, weights, values, start, sum),
        _ => by_groups::<S, 4>(simd, weights, values, start, sum),
    }
}

#[inline(always)]
fn by_groups<'a, S: Simd, const GROUP: usize>(
    simd: S,
    weights: &[f32],
    values: impl Iterator<Item = &'a [f32; STRIP]> + Clone,
    start: [f32; STRIP],
    sum: &mut [f32; STRIP],
) {
    let (start, _) = S::as_simd_f32s(&start);
    let (sum, _) = S::as_mut_simd_f32s(sum);
    let groups = start.as_chunks::<GROUP>().0.iter().zip(sum.as_chunks_mut::<GROUP>().0);
    for (group, (start, sum)) in groups.enumerate() {
        let mut sums = *start;
        for (values, &weight) in values.clone().zip(weights) {
            let weight = simd.splat_f32s(weight);
            let values = S::as_simd_f32s(values).0.as_chunks::<GROUP>().0;
            for (sum, &value) in sums.iter_mut().zip(&values[group]) {
                *sum = simd.mul_add_e_f32s(weight, value, *sum);
            }
        }
        *sum = sums;
    }
}

#[cfg(test)]
mod tests {
    use pulp::Scalar;

    use super::*;
    use crate::packed::Packed;

    /// The definition of a score is the sum of weight times feature over the window. The scalar path and the vector
    /// path both match it.
    #[test]
    fn scalar_and_vector_paths_match_the_definition() {
        let (rows, columns) = (3, 5);
        let weights: Vec<f64> =
            (0..PLANES * rows * columns + 1).map(|at| ((at * at * 7) % 41) as f64 / 20.0 - 1.0).collect();
        let filter = Filter::new(&weights, (rows, columns));
        let mut picture = Packed::new(400, 120);
        for (at, pixel) in picture.pixels.iter_mut().enumerate() {
            *pixel = (at as u32).wrapping_mul(2_654_435_761) >> 8;
        }
        let hog = Hog::of(&picture, (rows, columns)).unwrap();
        let (mut scalar, mut dispatched) = ([[0.0; STRIP]; 4], [[0.0; STRIP]; 4]);
        let mut responses = [[0.0; STRIP]; 6];
        let mut score = |scores: &mut [[f32; STRIP]], portable: bool| {
            let work = Score { terms: &filter.terms, hog: &hog, top: 2, left: 32, scores, responses: &mut responses };
            if portable { Scalar::new().vectorize(work) } else { Arch::new().dispatch(work) }
        };
        score(&mut scalar, true);
        score(&mut dispatched, false);
        // The last strip has 16 windows in its 32 columns.
        for (row, (one, other)) in scalar.iter().zip(&dispatched).enumerate() {
            for place in 0..hog.inner.1 - 32 {
                let window = (0..PLANES * rows * columns).map(|at| {
                    let (plane, down, across) = (at / (rows * columns), at / columns % rows, at % columns);
                    weights[at] * f64::from(hog.row(plane, 2 + row + down)[32 + place + across])
                });
                let expected: f64 = window.sum();
                assert!((f64::from(one[place]) - expected).abs() < 1e-3, "{} {expected}", one[place]);
                assert!((f64::from(other[place]) - expected).abs() < 1e-3, "{} {expected}", other[place]);
            }
        }
    }
}
