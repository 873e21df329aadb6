use face::Landmarks;

/// The face as a disc, from the forehead to the chin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Centre, in pixels from the left.
    pub(super) x: f32,
    /// Centre, in pixels from the top.
    pub(super) y: f32,
    /// Half the extent of the face, in pixels.
    pub(super) radius: f32,
}

impl Head {
    /// The disc around the landmarks, on a plane that is `reduction` times smaller than their picture.
    pub(super) fn of(landmarks: &Landmarks, reduction: f32) -> Self {
        let outline = &landmarks.0[..27];
        let along = |axis: fn(&face::Point) -> f64| {
            let values = outline.iter().map(axis);
            (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max))
        };
        let ((left, right), (top, bottom)) = (along(|point| point.x), along(|point| point.y));
        // The factor includes the forehead above the brows. The radius is at least one pixel, since it is a divisor.
        let radius = (0.62 * (right - left).max(bottom - top)).max(f64::from(reduction));
        let scaled = |value: f64| value as f32 / reduction;
        Self { x: scaled((left + right) / 2.0), y: scaled((top + bottom) / 2.0), radius: scaled(radius) }
    }

    /// The distance of a pixel from the centre, in units of the radius. The centre is moved up by `up` radii, and
    /// vertical distances are multiplied by `stretch`.
    pub(super) fn distance(&self, x: usize, y: usize, up: f32, stretch: f32) -> f32 {
        let u = (x as f32 - self.x) / self.radius;
        let v = (y as f32 - self.y + up * self.radius) / self.radius * stretch;
        (u * u + v * v).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preview::face_like;

    #[test]
    fn the_disc_covers_the_face() {
        let head = Head::of(&face_like(), 4.0);
        assert!((head.x - 128.0).abs() < 1.0 && (head.radius - 80.0).abs() < 5.0, "{head:?}");
        assert!((150.0..175.0).contains(&head.y), "{head:?}");
        assert_eq!(Head::of(&Landmarks::default(), 4.0).radius, 1.0);
    }
}
