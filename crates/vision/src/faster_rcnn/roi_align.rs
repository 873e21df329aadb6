//! ROIAlign (He et al. 2017, arXiv 1703.06870) as Detectron2's `ROIAlignV2` and torchvision have it: aligned to pixels' centres, with as
//! many samples as a cell is long in pixels.

mod backend;

use rayon::prelude::*;

use super::config::POOLED;

pub(crate) use backend::{Roi, of_batch};

/// The levels of the pyramid that regions are aligned in.
pub(crate) const POOLED_LEVELS: usize = 4;
/// The cells of a region.
pub(crate) const CELLS: usize = POOLED * POOLED;
/// The first of these levels, and the one for a region as large as ImageNet's pictures, as the paper counts them.
const FIRST_LEVEL: f32 = 2.0;
const CANONICAL_LEVEL: f32 = 4.0;
/// The side of ImageNet's pictures, in pixels.
const CANONICAL_SIDE: f32 = 224.0;
/// The most samples of a cell along an axis. A cell of the largest maps has fewer.
const MOST_SAMPLES: f32 = 4096.0;

/// The maps of a picture on one level, the channels innermost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// Its pixels for a pixel of the input.
    pub(crate) scale: f32,
}

/// The level, from 0, of a region (Lin et al. 2017, equation 1).
pub(crate) fn level([left, top, right, bottom]: [f32; 4]) -> usize {
    let side = ((right - left) * (bottom - top)).sqrt();
    let level = (CANONICAL_LEVEL + (side / CANONICAL_SIDE + 1e-8).log2()).floor();
    (level - FIRST_LEVEL).clamp(0.0, (POOLED_LEVELS - 1) as f32) as usize
}

/// A place between two rows, or two columns, and their weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) places: [usize; 2],
    pub(crate) weights: [f32; 2],
}

/// The samples of all cells along an axis, as many for each.
pub(crate) fn samples(start: f32, end: f32, scale: f32, size: usize) -> Vec<Sample> {
    let (start, end) = (start * scale - 0.5, end * scale - 0.5);
    let length = end - start;
    let cell = length / POOLED as f32;
    let count = (length / POOLED as f32).ceil().clamp(0.0, MOST_SAMPLES) as usize;
    let sample = |index: usize| {
        let (cell_index, sample) = (index / count, index % count);
        let place = start + cell_index as f32 * cell + (sample as f32 + 0.5) * cell / count as f32;
        if !(-1.0..=size as f32).contains(&place) {
            return Sample { places: [0, 0], weights: [0.0, 0.0] };
        }
        let place = place.max(0.0);
        let low = place as usize;
        if low >= size - 1 {
            return Sample { places: [size - 1; 2], weights: [1.0, 0.0] };
        }
        let share = place - low as f32;
        Sample { places: [low, low + 1], weights: [1.0 - share, share] }
    };
    (0..count * POOLED).map(sample).collect()
}

/// The scale of a level: its pixels for a pixel of the input.
pub(crate) fn scale(level: usize) -> f32 {
    1.0 / (4 << level) as f32
}

/// ROIAlign of a picture's regions, each in the maps of its [level]: regions by channels by rows by columns.
pub(crate) fn of_picture(maps: &[Map], regions: &[[f32; 4]]) -> Vec<f32> {
    let channels = maps[0].channels;
    let mut all = vec![0.0; regions.len() * channels * CELLS];
    all.par_chunks_exact_mut(channels * CELLS)
        .zip(regions)
        .for_each_init(|| vec![0.0; channels], |sums, (out, region)| align(maps[level(*region)], *region, sums, out));
    all
}

/// ROIAlign of one region into `out`, every value of which is written. `sums` has a number for each channel.
fn align(map: Map, [left, top, right, bottom]: [f32; 4], sums: &mut [f32], out: &mut [f32]) {
    let Map { values, height, width, channels, scale } = map;
    let across = samples(left, right, scale, width);
    let down = samples(top, bottom, scale, height);
    let (columns, rows) = (across.len() / POOLED, down.len() / POOLED);
    if columns * rows == 0 {
        return out.fill(0.0);
    }
    let share = 1.0 / (columns * rows) as f32;
    for (cell_row, down) in down.chunks_exact(rows).enumerate() {
        for (cell_column, across) in across.chunks_exact(columns).enumerate() {
            sums.fill(0.0);
            for Sample { places: [upper, lower], weights: [of_upper, of_lower] } in down {
                for Sample { places: [first, second], weights: [of_first, of_second] } in across {
                    let pixel = |row: usize, column: usize| &values[(row * width + column) * channels..][..channels];
                    let corners =
                        [pixel(*upper, *first), pixel(*upper, *second), pixel(*lower, *first), pixel(*lower, *second)];
                    let weights =
                        [of_upper * of_first, of_upper * of_second, of_lower * of_first, of_lower * of_second];
                    add(sums, corners, weights);
                }
            }
            let cell = cell_row * POOLED + cell_column;
            for (out, sum) in out.iter_mut().skip(cell).step_by(CELLS).zip(&*sums) {
                *out = sum * share;
            }
        }
    }
}

/// Adds four pixels, each times its weight.
fn add(sums: &mut [f32], [a, b, c, d]: [&[f32]; 4], weights: [f32; 4]) {
    let pixels = a.iter().zip(b).zip(c.iter().zip(d));
    for (sum, ((a, b), (c, d))) in sums.iter_mut().zip(pixels) {
        *sum += weights[0] * a + weights[1] * b + weights[2] * c + weights[3] * d;
    }
}
