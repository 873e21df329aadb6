//! Pillow's `Image.resize` with the filter `BILINEAR`, level for level: 8-bit pictures in two passes, whose weights are rounded to
//! 22 bits. Pillow 13's `Resample.c` is the reference.

use image::RgbImage;
use rayon::prelude::*;

/// The bits of a weight behind the point.
const PRECISION: u32 = 22;
const CHANNELS: usize = 3;

/// Resizes a picture. Its pixels are weighed by a triangle as wide as two pixels of the smaller picture, so that shrinking is
/// smooth too.
///
/// # Panics
/// If the picture, or the new one, has no pixels.
pub fn bilinear(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (from_width, from_height) = picture.dimensions();
    assert!(from_width.min(from_height).min(width).min(height) > 0, "a picture without pixels");
    let across = |picture: &RgbImage| if picture.width() == width { picture.clone() } else { rows(picture, width) };
    let down = |picture: &RgbImage| if picture.height() == height { picture.clone() } else { columns(picture, height) };
    // Pillow begins with the direction that leaves fewer pixels. The levels depend on it.
    let removed = |from: u32, to: u32| i64::from(from) - i64::from(to);
    if height < from_height && removed(from_height, height) > 2 * removed(from_width, width) {
        across(&down(picture))
    } else {
        down(&across(picture))
    }
}

/// The weights of the old pixels for a new one.
struct Weights {
    /// The first old pixel.
    first: usize,
    weights: Vec<i32>,
}

/// The weights for all new pixels of a line.
fn weights(from: u32, to: u32) -> Vec<Weights> {
    let scale = f64::from(from) / f64::from(to);
    let reach = scale.max(1.0);
    let one = |index: u32| {
        let centre = (f64::from(index) + 0.5) * scale;
        // Conversions cut the fraction off, as in C.
        let first = ((centre - reach + 0.5) as i64).max(0) as usize;
        let end = ((centre + reach + 0.5) as i64).min(i64::from(from)) as usize;
        let weight = |pixel: usize| (1.0 - ((pixel as f64 - centre + 0.5) * (1.0 / reach)).abs()).max(0.0);
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let rounded = |weight: f64| (weight / sum * f64::from(1 << PRECISION) + 0.5) as i32;
        Weights { first, weights: weights.into_iter().map(rounded).collect() }
    };
    (0..to).map(one).collect()
}

fn level(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}

fn rows(picture: &RgbImage, width: u32) -> RgbImage {
    let weights = weights(picture.width(), width);
    let mut resized = RgbImage::new(width, picture.height());
    let row = picture.width() as usize * CHANNELS;
    let out = resized.as_mut().par_chunks_exact_mut(width as usize * CHANNELS);
    out.zip(picture.as_raw().par_chunks_exact(row)).for_each(|(out, pixels)| {
        let pixels = pixels.as_chunks::<CHANNELS>().0;
        for (out, Weights { first, weights }) in out.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(&weights) {
            let mut sums = [0; CHANNELS];
            for (weight, pixel) in weights.iter().zip(&pixels[*first..]) {
                for channel in 0..CHANNELS {
                    sums[channel] += weight * i32::from(pixel[channel]);
                }
            }
            *out = sums.map(level);
        }
    });
    resized
}

fn columns(picture: &RgbImage, height: u32) -> RgbImage {
    let weights = weights(picture.height(), height);
    let mut resized = RgbImage::new(picture.width(), height);
    let row = picture.width() as usize * CHANNELS;
    resized.as_mut().par_chunks_exact_mut(row).zip(&weights).for_each(|(out, Weights { first, weights })| {
        let mut sums = vec![0; row];
        for (weight, pixels) in weights.iter().zip(picture.as_raw().chunks_exact(row).skip(*first)) {
            for (sum, value) in sums.iter_mut().zip(pixels) {
                *sum += weight * i32::from(*value);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = level(sum);
        }
    });
    resized
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: u32, height: u32, levels: &[u8]) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| image::Rgb([levels[(y * width + x) as usize]; 3]))
    }

    #[test]
    fn a_picture_of_the_same_size_stays_as_it_is() {
        let picture = grey(3, 2, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(bilinear(&picture, 3, 2), picture);
    }

    #[test]
    fn levels_between_pixels_are_means_weighed_by_distance() {
        let levels = |picture: RgbImage| picture.pixels().map(|pixel| pixel.0[0]).collect::<Vec<u8>>();
        assert_eq!(levels(bilinear(&grey(2, 1, &[0, 100]), 4, 1)), [0, 25, 75, 100]);
        assert_eq!(levels(bilinear(&grey(1, 2, &[0, 100]), 1, 4)), [0, 25, 75, 100]);
        // Shrunk by half, a pixel weighs four old ones: 1, 3, 3 and 1 eighths.
        assert_eq!(levels(bilinear(&grey(6, 1, &[0, 0, 80, 80, 0, 0]), 3, 1)), [11, 60, 11]);
    }
}
