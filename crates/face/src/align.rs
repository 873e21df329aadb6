use std::ops::Range;

use image::RgbImage;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::packed::{Packed, channel, whole};
use crate::quad::Quad;
use crate::{FaceError, Landmarks, Point, border, lanczos};

/// A face cut out, upright and in the middle.
#[derive(Clone, Debug)]
pub struct Aligned {
    /// The square picture.
    pub picture: RgbImage,
    /// The landmarks in it.
    pub landmarks: Landmarks,
}

/// How a picture with more pixels than the crop is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// As the public code of SAM does: shrunk first only where a pixel of the crop spans four pixels or more, so that
    /// finer detail may alias.
    Sam,
    /// Shrunk first wherever a pixel of the crop spans two or more.
    Smooth,
}

/// Cuts out the face that the landmarks tell, `size` pixels a side.
///
/// Where the square reaches beyond the picture, the picture is continued by its reflection, blurred and fading to the
/// median colour.
///
/// # Errors
/// [`FaceError::Landmarks`]: points that cannot be a face's, such as all in one place or far outside.
pub fn align(picture: &RgbImage, landmarks: &Landmarks, size: u32, sampling: Sampling) -> Result<Aligned, FaceError> {
    let quad = Quad::around(landmarks);
    let (width, height) = picture.dimensions();
    let sane = |at: f64, size: u32| (-f64::from(size)..=2.0 * f64::from(size)).contains(&at);
    let longest = f64::from(width.max(height));
    if size == 0
        || !(1.0..=3.0 * longest).contains(&quad.side())
        || !sane(quad.middle.x, width)
        || !sane(quad.middle.y, height)
    {
        return Err(FaceError::Landmarks { side: quad.side(), middle: quad.middle, width, height });
    }
    let placed = landmarks.map(|point| quad.place(point, size));

    let ratio = quad.side() / f64::from(size);
    let shrink = match sampling {
        Sampling::Sam => (ratio * 0.5).floor(),
        Sampling::Smooth => ratio.floor(),
    };
    let shrink = shrink.max(1.0);
    let quad = quad.scaled(shrink);
    let shrunk = [width, height].map(|size| (f64::from(size) / shrink).round_ties_even().max(1.0) as u32);

    let margin = (quad.side() * 0.1).round_ties_even().max(3.0) as i64;
    let [left, top, right, bottom] = quad.bounds();
    let within = |from: i64, to: i64, size: u32| -> Range<u32> {
        let size = i64::from(size);
        let from = (from - margin).clamp(0, size - 1);
        from as u32..(to + margin).clamp(from + 1, size) as u32
    };
    let (columns, rows) = (within(left, right, shrunk[0]), within(top, bottom, shrunk[1]));
    let part = if shrink > 1.0 {
        lanczos::resample(picture, shrunk.into(), columns.clone(), rows.clone())
    } else {
        let (width, height) = (columns.len() as u32, rows.len() as u32);
        image::imageops::crop_imm(picture, columns.start, rows.start, width, height).to_image()
    };
    let quad = quad.moved(-f64::from(columns.start), -f64::from(rows.start));

    let [left, top, right, bottom] = quad.bounds();
    let beyond = |reach: i64| (reach + margin).max(0);
    let padding = [
        beyond(-left),
        beyond(-top),
        beyond(right - i64::from(part.width())),
        beyond(bottom - i64::from(part.height())),
    ];
    let (part, quad) = if padding.iter().any(|&pad| pad > margin - 4) {
        let least = (quad.side() * 0.3).round_ties_even() as i64;
        let padding = padding.map(|pad| pad.max(least).max(1) as usize);
        let padded = border::pad(&part, padding, quad.side() * 0.02);
        (padded, quad.moved(padding[0] as f64, padding[1] as f64))
    } else {
        (part, quad)
    };
    Ok(Aligned { picture: cut(&part, &quad, size), landmarks: placed })
}

/// The pixels of a square, each blended from the four around its middle, as Pillow's `QUAD` transform with `BILINEAR`.
fn cut(picture: &RgbImage, quad: &Quad, size: u32) -> RgbImage {
    // Pillow counts from a pixel's corner, and the corners of the square are meant from the middle of pixels.
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
        arch.dispatch(Places { start, across, width: source.width, samples });
        samples.gather(&source);
        arch.dispatch(Blend { samples, out: out.as_chunks_mut().0 });
    });
    crop
}

/// Where the places of a row lie among the pixels of a picture, and the four pixels around each.
#[derive(Default)]
struct Samples {
    /// The index of the upper left of the four.
    index: Vec<u32>,
    /// How far towards the right and the lower ones.
    right: Vec<f32>,
    down: Vec<f32>,
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
        // The square lies within the picture, by some pixels; the limit is for the compiler.
        let limit = source.pixels.len().saturating_sub(source.width + 2);
        for ((top, bottom), &index) in top.zip(bottom).zip(&self.index) {
            let pixels = &source.pixels[limit.min(index as usize)..][..source.width + 2];
            (*top.0, *top.1) = (pixels[0], pixels[1]);
            (*bottom.0, *bottom.1) = (pixels[source.width], pixels[source.width + 1]);
        }
    }
}

/// Computes the places of a row: every `across` from `start` on, counted from the outer corner of the first pixel.
struct Places<'a> {
    start: Point,
    across: Point,
    width: usize,
    samples: &'a mut Samples,
}

impl WithSimd for Places<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { start, across, width, samples: Samples { index, right, down, .. } } = self;
        let count = index.len();
        let (right, down) = (&mut right[..count], &mut down[..count]);
        for i in 0..count {
            // Within a picture of at most 2^32 pixels: added to 2^52, the whole part is what the lower bits hold.
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
