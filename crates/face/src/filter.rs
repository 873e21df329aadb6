use pulp::{Arch, Simd, WithSimd};

use crate::hog::{Hog, PLANES};
use crate::outer_products::{OuterProduct, outer_products};

/// Rows of places that are scored at once, so that what lies between the two passes stays in the nearest cache.
const BAND: usize = 48;
/// Places of a row that are scored together: a multiple of every group of vectors.
const STRIP: usize = 32;

/// A linear classifier of windows of features.
#[derive(Debug)]
pub(crate) struct Filter {
    /// What a score has to reach.
    pub(crate) threshold: f64,
    /// Cells of a window, down and across.
    window: (usize, usize),
    /// The weights, as a sum of outer products on single planes.
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
    /// The place of the window's middle among the features with their border.
    pub(crate) row: usize,
    pub(crate) column: usize,
}

impl Filter {
    /// From the weights of a window of so many cells (rows, columns): plane by plane, row by row, then the threshold.
    ///
    /// As dlib does, the weights of a plane are taken apart into outer products, without those of singular values
    /// below a thousandth of the largest (or 1e-4), where that saves work; else they are used as they are.
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

    /// The windows of a picture's features that score at least `threshold`, from top to bottom and left to right.
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

/// Adds the scores of a strip of places, the first of them at `top` and `left`, to `scores`.
struct Score<'a> {
    terms: &'a [Term],
    hog: &'a Hog,
    top: usize,
    left: usize,
    scores: &'a mut [[f32; STRIP]],
    /// What a term's row makes of each row of features.
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

/// `start` plus the values times their weights.
#[inline(always)]
fn weighted_sum<'a, S: Simd>(
    simd: S,
    weights: &[f32],
    values: impl Iterator<Item = &'a [f32; STRIP]> + Clone,
    start: [f32; STRIP],
    sum: &mut [f32; STRIP],
) {
    // Several vectors side by side, so that none waits for its own last sum, as far as a strip has them.
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

    /// The path of machines without vector units, and the definition: the sum over the window of weight times feature.
    #[test]
    fn every_path_scores_as_defined() {
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
        // The last strip has places for 16 of 32.
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
