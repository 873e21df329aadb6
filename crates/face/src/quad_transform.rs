//! Samples a rotated square of a picture, as Pillow's `QUAD` transform with `BILINEAR`.

use image::RgbImage;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::Point;
use crate::packed::{Packed, channel, whole};
use crate::quad::Quad;

/// Samples the pixels of a square: a crop of `size` x `size` pixels. Each is blended from the four pixels around its
/// middle.
pub(crate) fn sample(picture: &RgbImage, quad: &Quad, size: u32) -> RgbImage {
    // Pillow's origin is a pixel's corner. The origin of `Quad` is a pixel's middle.
    let [top_left, bottom_left, _, top_right] = quad.moved(0.5, 0.5).corners();
    let step =
        |from: Point, to: Point| Point { x: (to.x - from.x) / f64::from(size), y: (to.y - from.y) / f64::from(size) };
    let (across, down) = (step(top_left, top_right), step(top_left, bottom_left));
    let source = Packed::from(picture);
    let arch = Arch::new();
    let mut crop = RgbImage::new(size, size);
    crop.par_chunks_exact_mut(3 * size as usize).enumerate().for_each_init(Samples::default, |samples, (row, out)| {
        samples.resize(size as usize);
        let row = row as f64 + 0.5;
        let start =
            Point { x: top_left.x + across.x * 0.5 + down.x * row, y: top_left.y + across.y * 0.5 + down.y * row };
        arch.dispatch(Positions { start, across, width: source.width, samples });
        samples.gather(&source);
        arch.dispatch(Blend { samples, out: out.as_chunks_mut().0 });
    });
    crop
}

/// The samples of a row of the crop: their positions in the source picture, and the four pixels around each.
#[derive(Default)]
struct Samples {
    /// The index of the upper left pixel of the four.
    index: Vec<u32>,
    /// The weights of the right and of the lower pixels, 0 to 1.
    right: Vec<f32>,
    down: Vec<f32>,
    /// Top left, top right, bottom left, bottom right.
    corners: [Vec<u32>; 4],
}

impl Samples {
    fn resize(&mut self, count: usize) {
        let Self { index, right, down, corners } = self;
        right.resize(count, 0.0);
        down.resize(count, 0.0);
        index.resize(count, 0);
        corners.iter_mut().for_each(|pixels| pixels.resize(count, 0));
    }

    fn gather(&mut self, source: &Packed) {
        let [top_left, top_right, bottom_left, bottom_right] = &mut self.corners;
        let top = top_left.iter_mut().zip(top_right);
        let bottom = bottom_left.iter_mut().zip(bottom_right);
        // The square lies some pixels within the picture. The limit only spares the compiler's bounds checks.
        let limit = source.pixels.len().saturating_sub(source.width + 2);
        for ((top, bottom), &index) in top.zip(bottom).zip(&self.index) {
            let pixels = &source.pixels[limit.min(index as usize)..][..source.width + 2];
            (*top.0, *top.1) = (pixels[0], pixels[1]);
            (*bottom.0, *bottom.1) = (pixels[source.width], pixels[source.width + 1]);
        }
    }
}

/// Computes the positions of a row's samples: `start`, then steps of `across`. The origin is the outer corner of the
/// first pixel.
struct Positions<'a> {
    start: Point,
    across: Point,
    width: usize,
    samples: &'a mut Samples,
}

impl WithSimd for Positions<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { start, across, width, samples: Samples { index, right, down, .. } } = self;
        let count = index.len();
        let (right, down) = (&mut right[..count], &mut down[..count]);
        for i in 0..count {
            // After adding 2^52, the lower 32 bits hold the whole part. A picture has at most 2^32 pixels.
            let column = f64::from(i as i32);
            let (x, y) = (start.x + across.x * column - 0.5, start.y + across.y * column - 0.5);
            let (left, top) = (x.floor(), y.floor());
            (right[i], down[i]) = ((x - left) as f32, (y - top) as f32);
            index[i] = ((top * width as f64 + left) + 4_503_599_627_370_496.0).to_bits() as u32;
        }
    }
}

/// Blends the samples of a row.
struct Blend<'a> {
    samples: &'a Samples,
    out: &'a mut [[u8; 3]],
}

impl WithSimd for Blend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { samples: Samples { corners, right, down, .. }, out } = self;
        let count = out.len();
        let [top_left, top_right, bottom_left, bottom_right] = corners;
        let (top_left, top_right) = (&top_left[..count], &top_right[..count]);
        let (bottom_left, bottom_right) = (&bottom_left[..count], &bottom_right[..count]);
        let (right, down) = (&right[..count], &down[..count]);
        for i in 0..count {
            let corners = [top_left[i], top_right[i], bottom_left[i], bottom_right[i]];
            out[i] = [
                mix::<0>(corners, right[i], down[i]),
                mix::<1>(corners, right[i], down[i]),
                mix::<2>(corners, right[i], down[i]),
            ];
        }
    }
}

#[inline(always)]
fn mix<const INDEX: u32>(corners: [u32; 4], right: f32, down: f32) -> u8 {
    let (a, b) = (channel::<INDEX>(corners[0]), channel::<INDEX>(corners[1]));
    let (c, d) = (channel::<INDEX>(corners[2]), channel::<INDEX>(corners[3]));
    let (above, below) = (a + (b - a) * right, c + (d - c) * right);
    whole(above + (below - above) * down) as u8
}
