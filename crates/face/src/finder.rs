use std::borrow::Cow;

use image::{RgbImage, imageops};

use crate::{Detection, Detector, FaceError, Landmarks, Rectangle, ShapePredictor};

/// The narrowest face that is worth ageing, in pixels.
pub const MIN_WIDTH: u32 = 48;

/// A picture of up to so many pixels is searched at twice its size, which finds faces of half the detector's window.
const SMALL: u64 = 1_500_000;
/// The most pixels that are searched, those of an enlarged picture included.
const MOST: u64 = 16_000_000;

/// Finds the face of a portrait.
#[derive(Debug)]
pub struct FaceFinder {
    /// Finds where faces are.
    pub detector: Detector,
    /// Places their landmarks.
    pub predictor: ShapePredictor,
}

/// A face, in pixels of its picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face {
    /// Where it is, and how surely.
    pub detection: Detection,
    /// Its points.
    pub landmarks: Landmarks,
}

/// One look at a picture: shrunk by a factor, or enlarged to twice its size so many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    shrink: u32,
    upsample: u32,
}

impl FaceFinder {
    /// The widest face with a positive score.
    ///
    /// A picture of up to 4 million pixels may be enlarged, which finds faces of half the detector's window. A large one
    /// is looked at from afar first, and more closely only where that shows no face; one of more than 16 million is
    /// never searched at full size.
    ///
    /// # Errors
    /// [`FaceError`]: there is none, or it is narrower than [`MIN_WIDTH`].
    pub fn portrait(&self, picture: &RgbImage) -> Result<Face, FaceError> {
        let (width, height) = picture.dimensions();
        let looks = looks(width, height);
        let Some(detection) = looks.iter().find_map(|look| self.widest(picture, *look)) else {
            let [across, down] = self.detector.window();
            let window = f64::from(across.min(down));
            let finest = looks.last().map_or(1.0, |look| f64::from(look.shrink) / f64::from(1 << look.upsample));
            return Err(FaceError::None { width, height, smallest: (window * finest).round() as u32 });
        };
        let Rectangle { left, top, .. } = detection.rectangle;
        match detection.rectangle.width() {
            width if width < MIN_WIDTH => Err(FaceError::TooSmall { left, top, width, least: MIN_WIDTH }),
            _ => Ok(Face { detection, landmarks: self.predictor.predict(picture, &detection.rectangle) }),
        }
    }

    fn widest(&self, picture: &RgbImage, look: Look) -> Option<Detection> {
        let seen = match look.shrink {
            1 => Cow::Borrowed(picture),
            factor => {
                let [width, height] = [picture.width(), picture.height()].map(|size| (size / factor).max(1));
                Cow::Owned(imageops::thumbnail(picture, width, height))
            }
        };
        let found = self.detector.detect(&seen, look.upsample, 0.0).into_iter().filter(|found| found.score > 0.0);
        // Of equals `max_by_key` takes the last: the surest, in reverse.
        let found: Vec<Detection> = found.collect();
        let widest = found.iter().rev().max_by_key(|found| found.rectangle.width())?;
        Some(Detection { rectangle: enlarged(&widest.rectangle, look.shrink), ..*widest })
    }
}

/// The rectangle in a picture that is so many times as large.
fn enlarged(rectangle: &Rectangle, factor: u32) -> Rectangle {
    let factor = factor as i32;
    Rectangle {
        left: rectangle.left * factor,
        top: rectangle.top * factor,
        right: (rectangle.right + 1) * factor - 1,
        bottom: (rectangle.bottom + 1) * factor - 1,
    }
}

/// The looks at a picture of this size, one after the other until a face is found.
fn looks(width: u32, height: u32) -> Vec<Look> {
    let pixels = u64::from(width) * u64::from(height);
    let fits = |shrink: u32, most: u64| pixels / u64::from(shrink * shrink) <= most;
    let mut looks = Vec::new();
    if pixels > SMALL {
        let mut shrink = (1..).find(|&shrink| fits(shrink, SMALL)).unwrap_or(1);
        while shrink > 0 && fits(shrink, MOST) {
            looks.push(Look { shrink, upsample: 0 });
            shrink /= 2;
        }
    }
    if 4 * pixels <= MOST {
        looks.push(Look { shrink: 1, upsample: 1 });
    }
    looks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_from_afar_first() {
        let looks = |width, height| {
            looks(width, height).into_iter().map(|look| (look.shrink, look.upsample)).collect::<Vec<_>>()
        };
        assert_eq!(looks(512, 512), [(1, 1)]);
        assert_eq!(looks(1, 8000), [(1, 1)]);
        assert_eq!(looks(1600, 1200), [(2, 0), (1, 0), (1, 1)]);
        assert_eq!(looks(4032, 3024), [(3, 0), (1, 0)]);
        // 64 million pixels: not at full size.
        assert_eq!(looks(8000, 8000), [(7, 0), (3, 0)]);
    }

    #[test]
    fn a_rectangle_keeps_its_outer_edges() {
        let rectangle = Rectangle { left: -1, top: 2, right: 3, bottom: 9 };
        assert_eq!(enlarged(&rectangle, 3), Rectangle { left: -3, top: 6, right: 11, bottom: 29 });
        assert_eq!(enlarged(&rectangle, 1), rectangle);
    }
}
