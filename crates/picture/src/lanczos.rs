//! Pillow's `Image.resize` with `LANCZOS`, earlier called `ANTIALIAS`, of 8-bit pictures, to the bit: weights in fixed point, and bytes
//! between the two passes, of which the first is across. Pillow before 12 always has this order.

use std::f64::consts::PI;

use image::RgbImage;
use rayon::prelude::*;

/// The bits of a weight behind the point.
const BITS: u32 = 22;

/// The distance, in pixels, from which on the kernel is zero: three lobes of a windowed sinc. It widens with the factor where a
/// picture shrinks.
const REACH: f64 = 3.0;

/// The source pixels of one sample: the index of the first, and a weight for each from there on.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// A picture of `width` by `height` pixels, whatever the old one's shape is.
///
/// # Panics
/// If one of the sides is 0.
pub fn lanczos(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    assert!(width.min(height).min(picture.width()).min(picture.height()) > 0, "pictures have pixels");
    let narrow = if width == picture.width() { None } else { Some(across(picture, width)) };
    let narrow = narrow.as_ref().unwrap_or(picture);
    if height == narrow.height() { narrow.clone() } else { down(narrow, height) }
}

fn across(picture: &RgbImage, width: u32) -> RgbImage {
    let taps = taps(picture.width(), width);
    let mut out = RgbImage::new(width, picture.height());
    let (to, from) = (3 * width as usize, 3 * picture.width() as usize);
    out.par_chunks_exact_mut(to).zip(picture.as_raw().par_chunks_exact(from)).for_each(|(to, from)| {
        let from = from.as_chunks::<3>().0;
        for (to, taps) in to.as_chunks_mut::<3>().0.iter_mut().zip(&taps) {
            let mut sums = [1 << (BITS - 1); 3];
            for (pixel, weight) in from[taps.first..].iter().zip(&taps.weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(*value) * weight;
                }
            }
            *to = sums.map(to_byte);
        }
    });
    out
}

fn down(picture: &RgbImage, height: u32) -> RgbImage {
    let taps = taps(picture.height(), height);
    let mut out = RgbImage::new(picture.width(), height);
    let row = 3 * picture.width() as usize;
    out.par_chunks_exact_mut(row).zip(&taps).for_each(|(to, taps)| {
        let mut sums = vec![1 << (BITS - 1); row];
        for (from, weight) in picture.as_raw()[taps.first * row..].chunks_exact(row).zip(&taps.weights) {
            for (sum, value) in sums.iter_mut().zip(from) {
                *sum += i32::from(*value) * weight;
            }
        }
        for (to, sum) in to.iter_mut().zip(sums) {
            *to = to_byte(sum);
        }
    });
    out
}

fn to_byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

fn taps(size: u32, count: u32) -> Vec<Taps> {
    let scale = f64::from(size) / f64::from(count);
    let wider = scale.max(1.0);
    let reach = REACH * wider;
    let of = |index: u32| {
        let middle = (f64::from(index) + 0.5) * scale;
        let first = (middle - reach + 0.5).max(0.0) as usize;
        let end = ((middle + reach + 0.5) as usize).min(size as usize);
        let weights = (first..end).map(|place| kernel((place as f64 - middle + 0.5) / wider));
        let weights: Vec<f64> = weights.collect();
        let sum: f64 = weights.iter().sum();
        // The cast truncates, after half a unit away from zero.
        let fixed = |weight: f64| {
            let scaled = weight / sum * f64::from(1 << BITS);
            (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i32
        };
        Taps { first, weights: weights.into_iter().map(fixed).collect() }
    };
    (0..count).map(of).collect()
}

fn kernel(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
    if (-REACH..REACH).contains(&x) { sinc(x) * sinc(x / REACH) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    /// What Pillow makes of these pixels (`tests/make_lanczos.py`).
    #[test]
    fn pixels_are_those_of_pillow() {
        let picture = RgbImage::from_fn(7, 5, |x, y| {
            Rgb([(x * 41 + y * 7) as u8, (255 - x * x * 5 - y) as u8, (x * y * 37 % 256) as u8])
        });
        for (width, height, expected) in CASES {
            assert_eq!(lanczos(&picture, *width, *height).as_raw(), expected, "{width} x {height}");
        }
        assert_eq!(lanczos(&picture, 7, 5), picture);
    }

    const CASES: &[(u32, u32, &[u8])] = &include!("../tests/fixtures/lanczos.txt");
}
