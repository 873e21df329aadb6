//! Continues a picture beyond its edges by reflection. The blur and the share of one colour grow with the distance.

use image::{RgbImage, imageops};
use rayon::prelude::*;

/// SciPy cuts a Gaussian off at this many standard deviations, and so does this filter.
const TRUNCATE: f64 = 4.0;
/// The widest standard deviation, in pixels, that is blurred at full resolution. Wider ones use a shrunk copy.
const FINEST_SIGMA: f64 = 8.0;

/// Adds pixels on the left, top, right and bottom (at least 1 each), which become one colour at the outer edge. `sigma`
/// is the blur's standard deviation in pixels.
///
/// This is the padding of FFHQ's `recreate_aligned_images`.
pub(crate) fn pad(picture: &RgbImage, [left, top, right, bottom]: [usize; 4], sigma: f64) -> RgbImage {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let columns: Vec<u32> = (0..left + width + right).map(|x| reflect(x as i64 - left as i64, width)).collect();
    let rows: Vec<u32> = (0..top + height + bottom).map(|y| reflect(y as i64 - top as i64, height)).collect();
    let mut padded = RgbImage::new(columns.len() as u32, rows.len() as u32);
    padded.par_chunks_exact_mut(3 * columns.len()).zip(&rows).for_each(|(out, &y)| {
        for (out, &x) in out.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
            *out = picture.get_pixel(x, y).0;
        }
    });
    let depth = Depth { columns: depths(columns.len(), left, right), rows: depths(rows.len(), top, bottom) };
    let blurred = Blurred::of(&padded, sigma);
    depth.mix(&mut padded, 3.0, 1.0, |x, y| blurred.at(x, y));
    let median = median(&padded);
    depth.mix(&mut padded, 1.0, 0.0, |_, _| median);
    padded
}

/// Reflects an index beyond the ends into the picture, without repeating the ends (NumPy's `reflect`).
fn reflect(at: i64, size: usize) -> u32 {
    let last = size as i64 - 1;
    if last == 0 {
        return 0;
    }
    let folded = at.rem_euclid(2 * last);
    folded.min(2 * last - folded) as u32
}

/// The depth of each row or column in the padding: 1 at the outer edge, 0 where the picture begins, negative within it.
fn depths(size: usize, before: usize, after: usize) -> Vec<f32> {
    let depth = |at: usize| 1.0 - (at as f32 / before as f32).min((size - 1 - at) as f32 / after as f32);
    (0..size).map(depth).collect()
}

/// The depths of all columns and rows. A pixel's depth is the larger of its two.
struct Depth {
    columns: Vec<f32>,
    rows: Vec<f32>,
}

impl Depth {
    /// Mixes another colour in. Its share is `slope` times the depth plus `offset`, limited to 0 to 1.
    fn mix(&self, picture: &mut RgbImage, slope: f32, offset: f32, other: impl Fn(usize, usize) -> [f32; 3] + Sync) {
        picture.par_chunks_exact_mut(3 * self.columns.len()).zip(&self.rows).enumerate().for_each(
            |(y, (row, down))| {
                for ((x, pixel), across) in row.as_chunks_mut::<3>().0.iter_mut().enumerate().zip(&self.columns) {
                    let share = slope * across.max(*down) + offset;
                    if share > 0.0 {
                        for (value, other) in pixel.iter_mut().zip(other(x, y)) {
                            let own = f32::from(*value);
                            *value = (own + (other - own) * share.min(1.0) + 0.5) as u8;
                        }
                    }
                }
            },
        );
    }
}

/// A blurred picture. Where the blur is wide, it is kept at a fraction of the size.
struct Blurred {
    /// The fraction of the full width and of the full height.
    scale: [f32; 2],
    width: usize,
    height: usize,
    pixels: Vec<[f32; 3]>,
}

impl Blurred {
    fn of(picture: &RgbImage, sigma: f64) -> Self {
        let factor = (sigma / FINEST_SIGMA).ceil().max(1.0) as usize;
        let [width, height] = [picture.width(), picture.height()].map(|size| (size as usize).div_ceil(factor));
        let small = if factor == 1 { None } else { Some(imageops::thumbnail(picture, width as u32, height as u32)) };
        let pixels = small.as_ref().unwrap_or(picture).as_raw().as_chunks::<3>().0;
        let pixels: Vec<[f32; 3]> = pixels.iter().map(|pixel| pixel.map(f32::from)).collect();
        let weights = gaussian(sigma / factor as f64);
        let across = blur_rows(&pixels, width, &weights);
        let pixels = transposed(&blur_rows(&transposed(&across, width), height, &weights), height);
        let scale = [width as f32 / picture.width() as f32, height as f32 / picture.height() as f32];
        Self { scale, width, height, pixels }
    }

    /// The blurred colour of a pixel of the full-size picture.
    fn at(&self, x: usize, y: usize) -> [f32; 3] {
        if self.scale == [1.0; 2] {
            return self.pixels[y * self.width + x];
        }
        let place = |at: usize, scale: f32, size: usize| {
            let at = ((at as f32 + 0.5) * scale - 0.5).clamp(0.0, (size - 1) as f32);
            (at as usize, (at as usize + 1).min(size - 1), at.fract())
        };
        let (left, right, across) = place(x, self.scale[0], self.width);
        let (top, bottom, down) = place(y, self.scale[1], self.height);
        let pixel = |x: usize, y: usize| self.pixels[y * self.width + x];
        let (corners, mut colour) =
            ([pixel(left, top), pixel(right, top), pixel(left, bottom), pixel(right, bottom)], [0.0; 3]);
        for (channel, value) in colour.iter_mut().enumerate() {
            let [a, b, c, d] = corners.map(|corner| corner[channel]);
            *value = (a + (b - a) * across) * (1.0 - down) + (c + (d - c) * across) * down;
        }
        colour
    }
}

/// The weights of a Gaussian kernel, from end to end. Their sum is 1.
fn gaussian(sigma: f64) -> Vec<f32> {
    let reach = (TRUNCATE * sigma + 0.5) as i64;
    let weights: Vec<f64> = (-reach..=reach).map(|x| (-0.5 * (x as f64 / sigma).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

/// Convolves each row. Beyond its ends the row is mirrored, with the ends repeated (SciPy's `reflect`).
fn blur_rows(pixels: &[[f32; 3]], width: usize, weights: &[f32]) -> Vec<[f32; 3]> {
    let reach = weights.len() / 2;
    let mirrored: Vec<usize> = (0..width + 2 * reach)
        .map(|at| {
            let folded = (at as i64 - reach as i64).rem_euclid(2 * width as i64) as usize;
            folded.min(2 * width - 1 - folded)
        })
        .collect();
    let mut blurred = vec![[0.0; 3]; pixels.len()];
    blurred.par_chunks_exact_mut(width).zip(pixels.par_chunks_exact(width)).for_each(|(out, row)| {
        let longer: Vec<f32> = mirrored.iter().flat_map(|&at| row[at]).collect();
        let out = out.as_flattened_mut();
        for (tap, weight) in weights.iter().enumerate() {
            for (sum, value) in out.iter_mut().zip(&longer[3 * tap..]) {
                *sum += weight * value;
            }
        }
    });
    blurred
}

fn transposed(pixels: &[[f32; 3]], width: usize) -> Vec<[f32; 3]> {
    (0..width).flat_map(|x| pixels.iter().skip(x).step_by(width).copied()).collect()
}

/// The median of each channel.
fn median(picture: &RgbImage) -> [f32; 3] {
    let mut counts = [[0usize; 256]; 3];
    for pixel in picture.pixels() {
        for (counts, &value) in counts.iter_mut().zip(&pixel.0) {
            counts[usize::from(value)] += 1;
        }
    }
    let pixels = picture.width() as usize * picture.height() as usize;
    counts.map(|counts| {
        let at = |rank: usize| {
            let mut below = 0;
            counts.iter().position(|count| {
                below += count;
                below > rank
            })
        };
        let [low, high] = [at((pixels - 1) / 2), at(pixels / 2)].map(|value| value.unwrap_or_default() as f32);
        (low + high) / 2.0
    })
}
