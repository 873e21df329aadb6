use face::{Landmarks, Point};

use super::plane::Plane;
use super::thin_plate::ThinPlate;

/// The 68 landmarks of a frontal face, in units of the distance between the eyes. The origin is midway between the
/// eyes, and v points down. The values are medians over frontal faces, made symmetric.
#[rustfmt::skip]
const CANONICAL: [[f64; 2]; face::POINTS] = [
    [-1.125, 0.078], [-1.094, 0.379], [-1.077, 0.670], [-1.025, 0.961], [-0.915, 1.235], [-0.756, 1.458],
    [-0.528, 1.637], [-0.271, 1.778], [0.000, 1.844], [0.271, 1.778], [0.528, 1.637], [0.756, 1.458],
    [0.915, 1.235], [1.025, 0.961], [1.077, 0.670], [1.094, 0.379], [1.125, 0.078],
    [-0.920, -0.195], [-0.788, -0.324], [-0.609, -0.380], [-0.413, -0.375], [-0.224, -0.292],
    [0.224, -0.292], [0.413, -0.375], [0.609, -0.380], [0.788, -0.324], [0.920, -0.195],
    [0.000, -0.056], [0.000, 0.135], [0.000, 0.301], [0.000, 0.504],
    [-0.234, 0.625], [-0.113, 0.661], [0.000, 0.683], [0.113, 0.661], [0.234, 0.625],
    [-0.690, 0.009], [-0.567, -0.051], [-0.433, -0.052], [-0.308, 0.009], [-0.432, 0.037], [-0.569, 0.043],
    [0.308, 0.009], [0.433, -0.052], [0.567, -0.051], [0.690, 0.009], [0.569, 0.043], [0.432, 0.037],
    [-0.483, 1.004], [-0.316, 0.911], [-0.142, 0.882], [0.000, 0.884], [0.142, 0.882], [0.316, 0.911],
    [0.483, 1.004], [0.325, 1.198], [0.157, 1.277], [0.000, 1.288], [-0.157, 1.277], [-0.325, 1.198],
    [-0.413, 1.030], [-0.142, 0.955], [0.000, 0.961], [0.142, 0.955], [0.413, 1.030],
    [0.143, 1.158], [0.000, 1.170], [-0.143, 1.158],
];

/// The stiffness of the map. Single landmarks are off by a few hundredths of the distance between the eyes, so the map
/// does not follow them exactly.
const STIFFNESS: f64 = 0.02;

/// The map from canonical coordinates, in which wrinkles and spots are defined, to one face.
#[derive(Debug)]
pub(super) struct Frame {
    to_picture: ThinPlate,
    /// The distance between the eyes, in pixels.
    pub(super) unit: f64,
    /// The sides of the picture, in pixels.
    pub(super) size: f64,
}

impl Frame {
    /// Fits the map to a face's landmarks, in a square picture of `size` pixels.
    pub(super) fn new(landmarks: &Landmarks, size: usize) -> Self {
        let [left, right] = landmarks.eyes();
        let places = landmarks.0.map(|point| [point.x, point.y]);
        Self {
            to_picture: ThinPlate::fit(&CANONICAL, &places, STIFFNESS),
            size: size as f64,
            // At least one pixel, so that degenerate landmarks cause no division by 0.
            unit: (right.x - left.x).hypot(right.y - left.y).max(1.0),
        }
    }

    /// A landmark in canonical coordinates.
    pub(super) fn canonical(number: usize) -> [f64; 2] {
        CANONICAL[number]
    }

    /// Maps canonical coordinates to the picture, in pixels.
    pub(super) fn place(&self, u: f64, v: f64) -> Point {
        let [x, y] = self.to_picture.at([u, v]);
        Point { x, y }
    }

    /// Maps canonical coordinates to an index of a plane of the same picture, which may be smaller. `None` beyond it.
    pub(super) fn index(&self, u: f64, v: f64, plane: &Plane) -> Option<usize> {
        let place = self.place(u, v);
        let scale = plane.width as f64 / self.size;
        let (x, y) = ((place.x * scale).round(), (place.y * scale).round());
        let inside = x >= 0.0 && y >= 0.0 && x < plane.width as f64 && y < plane.height as f64;
        inside.then_some(y as usize * plane.width + x as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_follows_rotation_and_scale() {
        let turned = |[u, v]: [f64; 2]| Point { x: 500.0 + 200.0 * u - 40.0 * v, y: 400.0 + 40.0 * u + 200.0 * v };
        let frame = Frame::new(&Landmarks(CANONICAL.map(turned)), 1024);
        assert!((frame.unit - 200f64.hypot(40.0)).abs() < 1.0);
        for place in [[0.0, 0.0], [0.9, -1.1], [-0.3, 1.9]] {
            let (found, expected) = (frame.place(place[0], place[1]), turned(place));
            assert!((found.x - expected.x).hypot(found.y - expected.y) < 0.5, "{found:?} {expected:?}");
        }
    }
}
