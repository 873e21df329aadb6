use crate::quad::Quad;
use crate::{Landmarks, Point, Rectangle};

/// Five points of a face, as networks that detect faces give them. "Left" and "right" are those of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FivePoints {
    /// The left and the right eye.
    pub eyes: [Point; 2],
    /// The tip of the nose.
    pub nose: Point,
    /// The left and the right corner of the mouth.
    pub mouth_corners: [Point; 2],
}

/// The box of the face in an aligned picture, as a HOG detector of dlib's gives it to a shape predictor: left, top and width as shares
/// of the picture's size. The mean of the 43 annotated faces of dlib's examples, whose standard deviation is 0.03.
const ALIGNED_BOX: [f64; 3] = [0.185, 0.286, 0.64];

impl FivePoints {
    /// The width, in pixels, of the box that a HOG detector of dlib's would give to the face. Boxes of networks are narrower.
    pub fn width(&self) -> u32 {
        (ALIGNED_BOX[2] * Quad::around(self).side()).round() as u32
    }
}

/// The box of the face in an aligned picture of `size` x `size` pixels, as a shape predictor needs it.
pub fn aligned_box(size: u32) -> Rectangle {
    let [left, top, width] = ALIGNED_BOX.map(|share| (share * f64::from(size)).round() as i32);
    Rectangle { left, top, right: left + width - 1, bottom: top + width - 1 }
}

impl From<&Landmarks> for FivePoints {
    fn from(landmarks: &Landmarks) -> Self {
        Self { eyes: landmarks.eyes(), nose: landmarks.0[30], mouth_corners: landmarks.mouth_corners() }
    }
}
