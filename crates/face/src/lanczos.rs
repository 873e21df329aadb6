//! Shrinks pictures as Pillow's `Resampling.LANCZOS`: a kernel of three lobes that widens with the factor.

use std::f64::consts::PI;
use std::ops::Range;

use image::RgbImage;
use rayon::prelude::*;

/// The kernel's zero crossings on either side.
const LOBES: f64 = 3.0;

/// The source pixels of one sample: the index of the first, and a weight for each from there on.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// Resamples a picture to `width` x `height`, but computes only the part within `columns` and `rows`.
pub(crate) fn resample(
    picture: &RgbImage,
    (width, height): (u32, u32),
    columns: Range<u32>,
    rows: Range<u32>,
) -> RgbImage {
    let across = taps(picture.width(), width, columns.clone());
    let down = taps(picture.height(), height, rows.clone());
    let first_row = down.first().map_or(0, |taps| taps.first);
    let end_row = down.last().map_or(0, |taps| taps.first + taps.weights.len());
    let row_bytes = 3 * picture.width() as usize;
    let source = &picture.as_raw()[first_row * row_bytes..end_row * row_bytes];

    // Pillow rounds to bytes between the two passes.
    let narrow_bytes = 3 * across.len();
    let mut narrow = vec![0; narrow_bytes * (end_row - first_row)];
    narrow.par_chunks_exact_mut(narrow_bytes).zip(source.par_chunks_exact(row_bytes)).for_each(|(to, from)| {
        let from = from.as_chunks::<3>().0;
        for (to, taps) in to.as_chunks_mut::<3>().0.iter_mut().zip(&across) {
            let mut sums = [0.0; 3];
            for (pixel, weight) in from[taps.first..].iter().zip(&taps.weights) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += f32::from(value) * weight;
                }
            }
            *to = sums.map(to_byte);
        }
    });
    let mut part = RgbImage::new(across.len() as u32, down.len() as u32);
    part.par_chunks_exact_mut(narrow_bytes).zip(&down).for_each(|(to, taps)| {
        let mut sums = vec![0.0; narrow_bytes];
        let rows = narrow[(taps.first - first_row) * narrow_bytes..].chunks_exact(narrow_bytes);
        for (row, weight) in rows.zip(&taps.weights) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += f32::from(value) * weight;
            }
        }
        for (to, sum) in to.iter_mut().zip(sums) {
            *to = to_byte(sum);
        }
    });
    part
}

fn to_byte(value: f32) -> u8 {
    // The cast saturates at 0 and 255.
    (value + 0.5) as u8
}

fn taps(size: u32, count: u32, wanted: Range<u32>) -> Vec<Taps> {
    let scale = f64::from(size) / f64::from(count);
    let reach = scale.max(1.0);
    let tap = |index| {
        let middle = (f64::from(index) + 0.5) * scale;
        let first = (middle - LOBES * reach + 0.5).max(0.0) as usize;
        let end = ((middle + LOBES * reach + 0.5) as usize).min(size as usize);
        let weights: Vec<f64> = (first..end).map(|place| kernel((place as f64 - middle + 0.5) / reach)).collect();
        let sum: f64 = weights.iter().sum();
        Taps { first, weights: weights.iter().map(|weight| (weight / sum) as f32).collect() }
    };
    wanted.map(tap).collect()
}

fn kernel(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    if x.abs() < LOBES { sinc(x) * sinc(x / LOBES) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn a_part_equals_that_part_of_the_whole() {
        let picture =
            RgbImage::from_fn(97, 61, |x, y| Rgb([(x * 37 % 251) as u8, (y * 53 % 241) as u8, (x * y % 239) as u8]));
        let whole = resample(&picture, (32, 20), 0..32, 0..20);
        let part = resample(&picture, (32, 20), 5..17, 3..20);
        for (x, y, pixel) in part.enumerate_pixels() {
            assert_eq!(pixel, whole.get_pixel(x + 5, y + 3));
        }
    }

    #[test]
    fn keeps_flat_colours_and_a_slope() {
        let picture = RgbImage::from_fn(300, 40, |x, _| Rgb([200, (x / 2) as u8, 0]));
        let shrunk = resample(&picture, (100, 13), 0..100, 0..13);
        for (x, _, pixel) in shrunk.enumerate_pixels().filter(|(x, ..)| (4..96).contains(x)) {
            assert_eq!((pixel.0[0], pixel.0[2]), (200, 0));
            assert!((f64::from(pixel.0[1]) - f64::from(3 * x + 1) / 2.0).abs() <= 1.0);
        }
    }

    #[test]
    fn fine_stripes_turn_grey() {
        let stripes = RgbImage::from_fn(240, 10, |x, _| Rgb([if x % 2 == 0 { 0 } else { 255 }; 3]));
        let shrunk = resample(&stripes, (80, 10), 0..80, 0..10);
        assert!(
            shrunk.enumerate_pixels().filter(|(x, ..)| (3..77).contains(x)).all(|(_, _, p)| p.0[0].abs_diff(127) < 12)
        );
    }
}
