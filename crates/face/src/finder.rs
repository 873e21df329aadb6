use std::borrow::Cow;

use image::{RgbImage, imageops};

use crate::{Detection, Detector, FaceError, Landmarks, Rectangle, ShapePredictor};

/// The narrowest face that is accepted, in pixels. Narrower ones have too little detail to be aged.
pub const MIN_WIDTH: u32 = 48;

/// Larger pictures, in pixels, are searched at a reduced size first.
const SMALL: u64 = 1_500_000;
/// The most pixels that one search covers, after enlargement.
const MOST: u64 = 16_000_000;

/// Finds the face of a portrait.
#[derive(Debug)]
pub struct FaceFinder {
    /// Finds the faces.
    pub detector: Detector,
    /// Places the landmarks of a face.
    pub predictor: ShapePredictor,
}

/// A face, in pixels of its picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face {
    /// Its box and score.
    pub detection: Detection,
    /// Its points.
    pub landmarks: Landmarks,
}

/// The scale of one search: the picture is shrunk by `shrink`, then doubled `upsample` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scale {
    shrink: u32,
    upsample: u32,
}

impl FaceFinder {
    /// The widest face with a positive score.
    ///
    /// A picture of more than 1.5 million pixels is searched at a reduced size first, and at larger sizes only until a
    /// face is found. One of up to 4 million pixels is also searched at twice its size, which finds faces of half the
    /// detector's window. One of more than 16 million pixels is never searched at full size.
    ///
    /// # Errors
    /// [`FaceError`]: there is no face, or it is narrower than [`MIN_WIDTH`].
    pub fn portrait(&self, picture: &RgbImage) -> Result<Face, FaceError> {
        let (width, height) = picture.dimensions();
        let scales = scales(width, height);
        let Some(detection) = scales.iter().find_map(|scale| self.widest(picture, *scale)) else {
            let [across, down] = self.detector.window();
            let window = f64::from(across.min(down));
            let finest = scales.last().map_or(1.0, |scale| f64::from(scale.shrink) / f64::from(1 << scale.upsample));
            return Err(FaceError::None { width, height, smallest: (window * finest).round() as u32 });
        };
        let Rectangle { left, top, .. } = detection.rectangle;
        match detection.rectangle.width() {
            face if face < MIN_WIDTH => {
                Err(FaceError::TooSmall { left, top, width: face, picture: [width, height], least: MIN_WIDTH })
            }
            _ => Ok(Face { detection, landmarks: self.predictor.predict(picture, &detection.rectangle) }),
        }
    }

    fn widest(&self, picture: &RgbImage, scale: Scale) -> Option<Detection> {
        let searched = match scale.shrink {
            1 => Cow::Borrowed(picture),
            factor => {
                let [width, height] = [picture.width(), picture.height()].map(|size| (size / factor).max(1));
                Cow::Owned(imageops::thumbnail(picture, width, height))
            }
        };
        let found = self.detector.detect(&searched, scale.upsample, 0.0).into_iter().filter(|found| found.score > 0.0);
        // `max_by_key` takes the last of equals. In reverse order that is the one with the best score.
        let found: Vec<Detection> = found.collect();
        let widest = found.iter().rev().max_by_key(|found| found.rectangle.width())?;
        Some(Detection { rectangle: enlarged(&widest.rectangle, scale.shrink), ..*widest })
    }
}

/// The rectangle in a picture that is `factor` times as large.
fn enlarged(rectangle: &Rectangle, factor: u32) -> Rectangle {
    let factor = factor as i32;
    Rectangle {
        left: rectangle.left * factor,
        top: rectangle.top * factor,
        right: (rectangle.right + 1) * factor - 1,
        bottom: (rectangle.bottom + 1) * factor - 1,
    }
}

/// The scales at which a picture of this size is searched, in order, until a face is found.
fn scales(width: u32, height: u32) -> Vec<Scale> {
    let pixels = u64::from(width) * u64::from(height);
    let fits = |shrink: u32, most: u64| pixels / u64::from(shrink * shrink) <= most;
    let mut scales = Vec::new();
    if pixels > SMALL {
        let mut shrink = (1..).find(|&shrink| fits(shrink, SMALL)).unwrap_or(1);
        while shrink > 0 && fits(shrink, MOST) {
            scales.push(Scale { shrink, upsample: 0 });
            shrink /= 2;
        }
    }
    if 4 * pixels <= MOST {
        scales.push(Scale { shrink: 1, upsample: 1 });
    }
    scales
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_scale_is_searched_first() {
        let scales = |width, height| {
            scales(width, height).into_iter().map(|scale| (scale.shrink, scale.upsample)).collect::<Vec<_>>()
        };
        assert_eq!(scales(512, 512), [(1, 1)]);
        assert_eq!(scales(1, 8000), [(1, 1)]);
        assert_eq!(scales(1600, 1200), [(2, 0), (1, 0), (1, 1)]);
        assert_eq!(scales(4032, 3024), [(3, 0), (1, 0)]);
        // 64 million pixels are never searched at full size.
        assert_eq!(scales(8000, 8000), [(7, 0), (3, 0)]);
    }

    #[test]
    fn an_enlarged_rectangle_keeps_its_outer_edges() {
        let rectangle = Rectangle { left: -1, top: 2, right: 3, bottom: 9 };
        assert_eq!(enlarged(&rectangle, 3), Rectangle { left: -3, top: 6, right: 11, bottom: 29 });
        assert_eq!(enlarged(&rectangle, 1), rectangle);
    }
}
