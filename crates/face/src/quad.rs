use crate::{FivePoints, Point};

/// The square of the crop around a face. It is rotated with the face.
///
/// FFHQ's `recreate_aligned_images` defines it (Karras, Laine and Aila, *A Style-Based Generator Architecture for
/// Generative Adversarial Networks*, CVPR 2019, appendix A). This is the variant of SAM's public code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quad {
    /// The middle.
    pub(crate) middle: Point,
    /// The vector from the middle to the middle of the right side.
    pub(crate) right: Point,
}

impl Quad {
    /// The square for a face, from its eyes and mouth.
    pub(crate) fn around(FivePoints { eyes, mouth_corners, .. }: &FivePoints) -> Self {
        let between = |[one, other]: [Point; 2]| Point { x: (one.x + other.x) / 2.0, y: (one.y + other.y) / 2.0 };
        let (eye, mouth) = (between(*eyes), between(*mouth_corners));
        let eye_to_eye = Point { x: eyes[1].x - eyes[0].x, y: eyes[1].y - eyes[0].y };
        let eye_to_mouth = Point { x: mouth.x - eye.x, y: mouth.y - eye.y };
        let axis = Point { x: eye_to_eye.x + eye_to_mouth.y, y: eye_to_eye.y - eye_to_mouth.x };
        let reach = (2.0 * eye_to_eye.x.hypot(eye_to_eye.y)).max(1.8 * eye_to_mouth.x.hypot(eye_to_mouth.y));
        let scale = reach / axis.x.hypot(axis.y);
        Self {
            middle: Point { x: eye.x + 0.1 * eye_to_mouth.x, y: eye.y + 0.1 * eye_to_mouth.y },
            right: Point { x: axis.x * scale, y: axis.y * scale },
        }
    }

    /// The length of a side, in pixels.
    pub(crate) fn side(&self) -> f64 {
        2.0 * self.right.x.hypot(self.right.y)
    }

    /// The corners: top left, bottom left, bottom right, top right.
    pub(crate) fn corners(&self) -> [Point; 4] {
        [(-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0), (1.0, -1.0)].map(|(right, down)| self.at(right, down))
    }

    /// A point of the square in pixels of the picture. In the square's coordinates its sides are at -1 and 1.
    fn at(&self, right: f64, down: f64) -> Point {
        Point {
            x: self.middle.x + right * self.right.x - down * self.right.y,
            y: self.middle.y + right * self.right.y + down * self.right.x,
        }
    }

    /// The position of a point of the picture in the crop of `size` x `size` pixels.
    pub(crate) fn place(&self, point: Point, size: u32) -> Point {
        let (x, y) = (point.x - self.middle.x, point.y - self.middle.y);
        let squared = self.right.x * self.right.x + self.right.y * self.right.y;
        let right = (x * self.right.x + y * self.right.y) / squared;
        let down = (y * self.right.x - x * self.right.y) / squared;
        // The sides are the outer edges of the outermost pixels.
        let pixel = |at: f64| (at + 1.0) / 2.0 * f64::from(size) - 0.5;
        Point { x: pixel(right), y: pixel(down) }
    }

    /// The same square in a picture shrunk by `factor`.
    pub(crate) fn scaled(&self, factor: f64) -> Self {
        let scale = |point: Point| Point { x: point.x / factor, y: point.y / factor };
        Self { middle: scale(self.middle), right: scale(self.right) }
    }

    /// The same square in a picture with `right` more pixels on the left and `down` more at the top.
    pub(crate) fn moved(&self, right: f64, down: f64) -> Self {
        Self { middle: Point { x: self.middle.x + right, y: self.middle.y + down }, right: self.right }
    }

    /// The smallest box of whole coordinates around the square: left, top, right, bottom.
    pub(crate) fn bounds(&self) -> [i64; 4] {
        let corners = self.corners();
        let along = |axis: fn(&Point) -> f64| {
            let values = corners.iter().map(axis);
            (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max))
        };
        let ((left, right), (top, bottom)) = (along(|point| point.x), along(|point| point.y));
        [left.floor() as i64, top.floor() as i64, right.ceil() as i64, bottom.ceil() as i64]
    }
}
