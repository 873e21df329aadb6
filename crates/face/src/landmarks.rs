use std::array;

/// The number of points of a face in the iBUG 300-W annotation scheme.
pub const POINTS: usize = 68;

/// A point of a picture, in pixels: (0, 0) is the middle of the first pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Pixels to the right.
    pub x: f64,
    /// Pixels down.
    pub y: f64,
}

/// The 68 points of a face. "Left" and "right" are those of the picture.
///
/// | points | part |
/// |---|---|
/// | 0 to 16 | the jaw, from ear to ear |
/// | 17 to 21, 22 to 26 | the left and the right brow |
/// | 27 to 30, 31 to 35 | the nose's bridge and base |
/// | 36 to 41, 42 to 47 | the left and the right eye |
/// | 48 to 59, 60 to 67 | the lips' outer and inner outline |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Landmarks(pub [Point; POINTS]);

impl Landmarks {
    /// Applies `map` to every point.
    pub fn map(&self, map: impl Fn(Point) -> Point) -> Self {
        Self(self.0.map(map))
    }

    /// The centres of the left and the right eye.
    pub fn eyes(&self) -> [Point; 2] {
        [36, 42].map(|first| {
            let eye = &self.0[first..first + 6];
            Point {
                x: eye.iter().map(|point| point.x).sum::<f64>() / 6.0,
                y: eye.iter().map(|point| point.y).sum::<f64>() / 6.0,
            }
        })
    }

    /// The left and the right corner of the mouth (points 48 and 54).
    pub fn mouth_corners(&self) -> [Point; 2] {
        [self.0[48], self.0[54]]
    }
}

impl Default for Landmarks {
    fn default() -> Self {
        Self(array::from_fn(|_| Point::default()))
    }
}
