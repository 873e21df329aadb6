use std::ops::Range;

use image::RgbImage;

use crate::quad::Quad;
use crate::{FaceError, FivePoints, Landmarks, lanczos, padding, quad_transform};

/// A face that was cut out: upright and centred.
#[derive(Clone, Debug)]
pub struct Aligned {
    /// The square picture.
    pub picture: RgbImage,
    /// The landmarks, in pixels of that picture.
    pub landmarks: Landmarks,
}

/// How a picture with more pixels than the crop is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// The sampling of SAM's public code, with which its network was trained. The picture is shrunk first only where a
    /// pixel of the crop spans four pixels or more. Below that, fine detail may alias.
    Sam,
    /// The picture is shrunk first wherever a pixel of the crop spans two pixels or more.
    Smooth,
}

/// Cuts out the face that the landmarks outline: a square of `size` x `size` pixels.
///
/// Where the square reaches beyond the picture, the missing pixels are a reflection of the picture, blurred and fading
/// to the median colour.
///
/// # Errors
/// [`FaceError::Landmarks`]: the points cannot belong to a face. For example, all are in one place or far outside.
pub fn align(picture: &RgbImage, landmarks: &Landmarks, size: u32, sampling: Sampling) -> Result<Aligned, FaceError> {
    let quad = Quad::around(&landmarks.into());
    let placed = landmarks.map(|point| quad.place(point, size));
    Ok(Aligned { picture: cut(picture, quad, size, sampling)?, landmarks: placed })
}

/// As [`align`], by five points. A network's eyes and corners of the mouth stand for the means and the points of the landmarks.
///
/// # Errors
/// As [`align`].
pub fn align_points(
    picture: &RgbImage,
    points: &FivePoints,
    size: u32,
    sampling: Sampling,
) -> Result<RgbImage, FaceError> {
    cut(picture, Quad::around(points), size, sampling)
}

fn cut(picture: &RgbImage, quad: Quad, size: u32, sampling: Sampling) -> Result<RgbImage, FaceError> {
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
        let padded = padding::pad(&part, padding, quad.side() * 0.02);
        (padded, quad.moved(padding[0] as f64, padding[1] as f64))
    } else {
        (part, quad)
    };
    Ok(quad_transform::sample(&part, &quad, size))
}
