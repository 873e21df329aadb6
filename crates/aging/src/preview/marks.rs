//! Marks of age besides wrinkles: hollows and spots. Also the masks of eyes, teeth and brows.

use std::sync::LazyLock;

use face::{Landmarks, Point};

use super::frame::Frame;
use super::plane::Plane;

/// A soft ellipse: u, v, its half axes, and the part of the light that it takes away.
type Hollow = [f64; 5];

/// The hollows on the right half of the picture. The left half has the same ones, mirrored.
const HOLLOWS: [Hollow; 7] = [
    // Below the inner corner of the eye, and the bag.
    [0.36, 0.27, 0.16, 0.07, 0.16],
    [0.56, 0.33, 0.18, 0.06, 0.09],
    // The upper lid, which sinks.
    [0.50, -0.17, 0.24, 0.06, 0.10],
    // Temple and cheek.
    [1.00, -0.30, 0.16, 0.30, 0.12],
    [0.80, 0.86, 0.15, 0.34, 0.13],
    // Beside the chin, and below the mouth's corner.
    [0.52, 1.42, 0.10, 0.14, 0.12],
    [0.56, 1.16, 0.06, 0.10, 0.10],
];

/// The areas that may have spots: u, v, half axes, and the number of spots.
const SPOTTED: [[f64; 5]; 4] = [
    [0.80, 0.35, 0.22, 0.35, 12.0],
    [0.45, -0.80, 0.45, 0.22, 9.0],
    [0.95, -0.25, 0.12, 0.25, 6.0],
    [0.60, 1.20, 0.25, 0.30, 5.0],
];

/// The part of the light that all hollows take away, 0 to about 0.2, as a plane of the size of `like`.
pub(super) fn hollows(frame: &Frame, like: &Plane) -> Plane {
    let scale = like.width as f64 / frame.size;
    let ellipses: Vec<[f32; 5]> = HOLLOWS
        .iter()
        .flat_map(|&[u, v, across, down, depth]| [1.0, -1.0].map(|side| (side * u, v, across, down, depth)))
        .map(|(u, v, across, down, depth)| {
            let place = frame.place(u, v);
            let unit = frame.unit * scale;
            [place.x * scale, place.y * scale, 1.0 / (across * unit), 1.0 / (down * unit), depth]
                .map(|value| value as f32)
        })
        .collect();
    Plane::filled(like.width, like.height, |x, y| {
        let one = |&[cx, cy, across, down, depth]: &[f32; 5]| {
            let (u, v) = ((x as f32 - cx) * across, (y as f32 - cy) * down);
            depth * (-(u * u + v * v)).exp()
        };
        ellipses.iter().map(one).sum::<f32>().min(0.3)
    })
}

/// An age spot, in canonical coordinates.
struct Spot {
    u: f64,
    v: f64,
    radius: f64,
    stretch: f64,
    strength: f32,
}

/// The spots, which are the same on every face.
static SPOTS: LazyLock<Vec<Spot>> = LazyLock::new(|| {
    let mut state = 7u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24)
    };
    let mut spots = Vec::new();
    for [u, v, across, down, count] in SPOTTED {
        for number in 0..count as usize {
            let side = if number % 2 == 0 { 1.0 } else { -1.0 };
            spots.push(Spot {
                u: side * (u + across * (2.0 * random() - 1.0)),
                v: v + down * (2.0 * random() - 1.0),
                radius: 0.014 + 0.026 * random() * random(),
                stretch: 0.7 + 0.6 * random(),
                strength: (0.3 + 0.6 * random()) as f32,
            });
        }
    }
    spots
});

/// The strength of spots, 0 to 1, as a plane of the size of `like`.
pub(super) fn spots(frame: &Frame, like: &Plane) -> Plane {
    let mut spots = Plane::new(like.width, like.height);
    let scale = like.width as f64 / frame.size;
    for &Spot { u, v, radius, stretch, strength } in SPOTS.iter() {
        let place = frame.place(u, v);
        let radius = radius * frame.unit * scale;
        let (cx, cy, reach) = (place.x * scale, place.y * scale, 2.5 * radius + 1.0);
        let rows = (cy - reach).max(0.0) as usize..((cy + reach).max(0.0) as usize).min(like.height);
        for y in rows {
            for x in (cx - reach).max(0.0) as usize..((cx + reach).max(0.0) as usize).min(like.width) {
                let (dx, dy) = ((x as f64 - cx) / (radius * stretch), (y as f64 - cy) * stretch / radius);
                // A spot is flat in the middle and has a soft edge.
                let value = strength * (-(dx * dx + dy * dy).powi(2)).exp() as f32;
                let spot = &mut spots.values[y * like.width + x];
                *spot = spot.max(value);
            }
        }
    }
    spots
}

/// The mask of eyes and teeth, 0 to 1: the inside of the polygons of their landmarks, as a plane of the size of `like`.
pub(super) fn eyes_and_teeth(landmarks: &Landmarks, size: f64, like: &Plane) -> Plane {
    let scale = like.width as f64 / size;
    let polygons = [36..42, 42..48, 60..68].map(|range| &landmarks.0[range]);
    Plane::filled(like.width, like.height, |x, y| {
        let (x, y) = ((x as f64 + 0.5) / scale - 0.5, (y as f64 + 0.5) / scale - 0.5);
        f32::from(u8::from(polygons.iter().any(|polygon| contains(polygon, x, y))))
    })
    .mean(1)
}

/// Whether a point is within a polygon: the number of edges to its right is odd.
fn contains(polygon: &[Point], x: f64, y: f64) -> bool {
    let mut inside = false;
    for (at, one) in polygon.iter().enumerate() {
        let other = polygon[(at + 1) % polygon.len()];
        if (one.y > y) != (other.y > y) && x < one.x + (y - one.y) / (other.y - one.y) * (other.x - one.x) {
            inside = !inside;
        }
    }
    inside
}

/// The mask of the brows, 0 to 1, as a plane of the size of `like`.
pub(super) fn brows(places: &[Point], size: f64, unit: f64, like: &Plane) -> Plane {
    let scale = (like.width as f64 / size) as f32;
    let points: Vec<[f32; 2]> = places.iter().map(|point| [point.x as f32 * scale, point.y as f32 * scale]).collect();
    let width = (0.075 * unit) as f32 * scale;
    Plane::filled(like.width, like.height, |x, y| {
        let to = |pair: &[[f32; 2]]| {
            let ([ax, ay], [bx, by]) = (pair[0], pair[1]);
            let (dx, dy) = (bx - ax, by - ay);
            let along = (((x as f32 - ax) * dx + (y as f32 - ay) * dy) / (dx * dx + dy * dy).max(1e-6)).clamp(0.0, 1.0);
            (x as f32 - ax - along * dx).hypot(y as f32 - ay - along * dy)
        };
        // There are two brows of five points each.
        let distance = points.chunks(5).flat_map(|brow| brow.windows(2)).map(to).fold(f32::INFINITY, f32::min);
        (-(distance / width).powi(4)).exp()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preview::face_like;

    #[test]
    fn marks_lie_on_the_face_only() {
        let (landmarks, like) = (face_like(), Plane::new(256, 256));
        let frame = Frame::new(&landmarks, 1024);
        for plane in
            [hollows(&frame, &like), spots(&frame, &like), brows(&landmarks.0[17..27], 1024.0, frame.unit, &like)]
        {
            assert!(plane.values.iter().any(|&value| value > 0.05) && plane.values.iter().all(|&value| value <= 1.0));
            assert!(plane.values[..256 * 8].iter().all(|&value| value < 0.01), "the top of the picture");
        }
    }
}
