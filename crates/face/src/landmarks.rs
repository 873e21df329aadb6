use std::array;

/// Points of a face in the scheme of the iBUG 300-W annotations.
pub const POINTS: usize = 68;

/// A place in a picture, in pixels: (0, 0) is the middle of the first pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Down.
    pub y: f64,
}

/// The 68 points of a face, "left" and "right" as in the picture: the jaw from ear to ear (0 to 16), the left and right
/// brow (17 to 21, 22 to 26), the nose's bridge and base (27 to 30, 31 to 35), the left and right eye (36 to 41, 42 to
/// 47), the lips' outer and inner outline (48 to 59, 60 to 67).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Landmarks(pub [Point; POINTS]);

impl Landmarks {
    /// The points that `map` makes of these.
    pub fn map(&self, map: impl Fn(Point) -> Point) -> Self {
        Self(self.0.map(map))
    }

    /// The middle of the left eye and of the right.
    pub fn eyes(&self) -> [Point; 2] {
        [36, 42].map(|first| {
            let eye = &self.0[first..first + 6];
            Point {
                x: eye.iter().map(|point| point.x).sum::<f64>() / 6.0,
                y: eye.iter().map(|point| point.y).sum::<f64>() / 6.0,
            }
        })
    }

    /// The left and the right corner of the mouth.
    pub fn mouth_corners(&self) -> [Point; 2] {
        [self.0[48], self.0[54]]
    }
}

impl Default for Landmarks {
    fn default() -> Self {
        Self(array::from_fn(|_| Point::default()))
    }
}
