use std::array;

use face::{Landmarks, POINTS};
use image::RgbImage;
use rayon::prelude::*;

use super::frame::Frame;
use super::look::ramp;
use super::thin_plate::ThinPlate;

/// The number of grid points along a side. The warp is computed there and interpolated bilinearly in between.
const GRID: usize = 65;
/// The stiffness of the warp: neighbours share the shift of a single landmark.
const STIFFNESS: f64 = 0.05;
/// The least factor by which a small area may shrink. Above 0, the warp folds nowhere.
const LEAST_JACOBIAN: f64 = 0.3;

/// The change of a face's shape with age: landmarks move, and the pixels between them follow.
#[derive(Debug)]
pub(super) struct Shape {
    size: f64,
    old: Field,
    young: Field,
}

/// A displacement field of [`GRID`] x [`GRID`] vectors, in pixels, from a pixel of the result to its source.
#[derive(Debug)]
struct Field(Vec<[f64; 2]>);

/// A warp between two pictures of the same size.
#[derive(Debug)]
pub(super) struct Warp {
    size: f64,
    field: Field,
}

impl Shape {
    /// The shape change of one face, in a square picture of `size` pixels.
    pub(super) fn of(frame: &Frame, landmarks: &Landmarks, size: usize) -> Self {
        // A turned head is foreshortened on one side, so the warp gets weaker the more the head is turned.
        let frontal = frontality(landmarks);
        let size = size as f64;
        let field = |shift: &dyn Fn([f64; 2], usize) -> [f64; 2]| {
            Field::of(frame, landmarks, size, frontal, shift).unfolded(size)
        };
        Self { size, old: field(&aged), young: field(&childlike) }
    }

    /// The warp at an age. `None` where nothing moves.
    pub(super) fn at(&self, age: f32) -> Option<Warp> {
        let old = f64::from(ramp(age, 38.0, 92.0));
        // The warp ends at age 12. A photograph cannot be bent to the proportions of younger heads.
        let young = f64::from(1.0 - ramp(age, 12.0, 23.0));
        if old == 0.0 && young == 0.0 {
            return None;
        }
        let mixed = self.old.0.iter().zip(&self.young.0);
        let field = Field(mixed.map(|(o, y)| array::from_fn(|axis| old * o[axis] + young * y[axis])).collect());
        Some(Warp { size: self.size, field })
    }
}

/// 1 for a face seen from the front, 0 for one turned by about 40 degrees. The nose's position between the ears
/// decides.
fn frontality(landmarks: &Landmarks) -> f64 {
    let [left, right, nose] = [0, 16, 30].map(|number| landmarks.0[number]);
    let width = (right.x - left.x).hypot(right.y - left.y).max(1e-9);
    let along = ((nose.x - left.x) * (right.x - left.x) + (nose.y - left.y) * (right.y - left.y)) / (width * width);
    1.0 - f64::from(ramp((along - 0.5).abs() as f32, 0.10, 0.24))
}

/// The canonical position of a landmark in an old face. Skin and cartilage sink, the jowls widen, the lips thin.
fn aged([u, v]: [f64; 2], number: usize) -> [f64; 2] {
    let side = if u < 0.0 { -1.0 } else { 1.0 };
    let [du, dv] = match number {
        3 | 13 => [0.010 * side, 0.015],
        4 | 12 => [0.035 * side, 0.030],
        5 | 11 => [0.045 * side, 0.045],
        6 | 10 => [0.020 * side, 0.030],
        7..=9 => [0.0, 0.015],
        17 | 26 => [0.0, 0.060],
        18 | 25 => [0.0, 0.050],
        19 | 24 => [0.0, 0.030],
        20..=23 => [0.0, 0.012],
        37 | 38 | 43 | 44 => [0.0, 0.022],
        36 | 45 => [0.0, 0.016],
        30 => [0.0, 0.030],
        32..=34 => [0.0, 0.035],
        31 | 35 => [0.022 * side, 0.022],
        48 | 54 | 60 | 64 => [0.0, 0.045],
        // The upper lip sinks and the lower lip rises, towards the line between them.
        49 | 53 => [0.0, 0.040],
        50..=52 => [0.0, 0.035],
        56..=58 => [0.0, -0.020],
        55 | 59 => [0.0, 0.010],
        _ => [0.0, 0.0],
    };
    [u + du, v + dv]
}

/// The canonical position of a landmark in a child's face.
///
/// A head grows downwards and outwards by a cardioidal strain (Todd, Mark, Shaw and Pittenger 1980), which is undone
/// here. A child's eyes are already large, its nose and mouth are not.
fn childlike([u, v]: [f64; 2], number: usize) -> [f64; 2] {
    const POLE: f64 = -0.55;
    const STRAIN: f64 = -0.075;
    let scaled =
        |[u, v]: [f64; 2], [cu, cv]: [f64; 2], across: f64, down: f64| [cu + across * (u - cu), cv + down * (v - cv)];
    let side = if u < 0.0 { -1.0 } else { 1.0 };
    let [u, v] = match number {
        36..=47 => scaled([u, v], [0.5 * side, 0.0], 1.10, 1.16),
        17..=26 => [u, v - 0.015],
        27..=35 => scaled([u, v], [0.0, 0.1], 0.88, 0.90),
        48..=67 => scaled([u, v], [0.0, 1.02], 0.90, 0.98),
        _ => [u, v],
    };
    let radius = u.hypot(v - POLE);
    // The angle from straight up: 0 at the crown, pi at the chin.
    let down = if radius > 0.0 { (v - POLE) / radius } else { 0.0 };
    let strain = 1.0 + STRAIN * (1.0 + down);
    // The jaw keeps most of its width, since a child's cheeks are full. A shift down keeps the chin near its position.
    let across = if number < 17 { 1.0 + 0.3 * (strain - 1.0) } else { strain };
    [u * across, POLE + (v - POLE) * strain + 0.09]
}

/// Half the width of head and neck at a canonical height. The background beyond it must not move.
fn half_width(v: f64) -> f64 {
    const OUTLINE: [[f64; 2]; 7] =
        [[0.08, 1.30], [0.38, 1.20], [0.67, 1.10], [0.96, 1.03], [1.24, 0.92], [1.46, 0.78], [1.64, 0.70]];
    let mut width = if v < OUTLINE[0][0] { OUTLINE[0][1] } else { OUTLINE[6][1] };
    for pair in OUTLINE.windows(2) {
        let ([from, wide], [to, narrow]) = (pair[0], pair[1]);
        if (from..to).contains(&v) {
            width = wide + (narrow - wide) * (v - from) / (to - from);
        }
    }
    width
}

impl Field {
    fn of(
        frame: &Frame,
        landmarks: &Landmarks,
        size: f64,
        strength: f64,
        shift: &dyn Fn([f64; 2], usize) -> [f64; 2],
    ) -> Self {
        let (mut places, mut sources) = (Vec::new(), Vec::new());
        for number in 0..POINTS {
            let canonical = Frame::canonical(number);
            let moved = shift(canonical, number);
            // The shift in pixels is the difference of two points of the frame, so the landmark's own error cancels.
            let (from, to) = (frame.place(canonical[0], canonical[1]), frame.place(moved[0], moved[1]));
            let change = [strength * (to.x - from.x), strength * (to.y - from.y)];
            let point = landmarks.0[number];
            places.push([point.x + change[0], point.y + change[1]]);
            sources.push([-change[0], -change[1]]);
        }
        // The picture's edge and a ring well outside the face stay. The neck is left out, since it follows the chin.
        let still = (0..32).filter(|step| !(5..=11).contains(step)).map(|step| {
            let turn = std::f64::consts::TAU * f64::from(step) / 32.0;
            let place = frame.place(1.9 * turn.cos(), 0.55 + 2.0 * turn.sin());
            [place.x, place.y]
        });
        let edge = (0..=8).flat_map(|step| {
            let at = f64::from(step) * size / 8.0;
            let bottom = [if step < 4 { 0.12 * at } else { size - 0.12 * (size - at) }, size];
            [[at, 0.0], bottom, [0.0, at], [size, at]]
        });
        for place in still.chain(edge) {
            places.push(place);
            sources.push([0.0, 0.0]);
        }
        // Distances are in units of the face, so that the stiffness means the same in every picture.
        let unit = frame.unit;
        let scaled =
            |places: &[[f64; 2]]| places.iter().map(|place| place.map(|value| value / unit)).collect::<Vec<_>>();
        let map = ThinPlate::fit(&scaled(&places), &scaled(&sources), STIFFNESS);
        let step = size / (GRID - 1) as f64;
        let middle = frame.place(0.0, 0.5);
        let eyes = landmarks.eyes();
        let axis = [eyes[1].x - eyes[0].x, eyes[1].y - eyes[0].y];
        let at = |index: usize| {
            let (x, y) = ((index % GRID) as f64 * step, (index / GRID) as f64 * step);
            // Only the head moves, and no source lies beyond the edge.
            let (right, down) = (x - middle.x, y - middle.y);
            let far = (right / unit).hypot(down / (1.25 * unit));
            // Distances along the line through the eyes, and across it.
            let side = (right * axis[0] + down * axis[1]).abs() / (unit * unit);
            let below = (down * axis[0] - right * axis[1]) / (unit * unit) + 0.5;
            let head = (1.0 - f64::from(ramp(far as f32, 1.3, 1.75)))
                * (1.0 - f64::from(ramp((side - half_width(below)) as f32, 0.03, 0.17)));
            let edge = f64::from(ramp((x.min(y).min(size - x).min(size - y) / size) as f32, 0.0, 0.13));
            map.at([x / unit, y / unit]).map(|value| value * unit * head * edge)
        };
        Self((0..GRID * GRID).into_par_iter().map(at).collect())
    }

    /// Weakens the field until it folds nowhere. All ages share the factor, so that no age jumps.
    fn unfolded(mut self, size: f64) -> Self {
        for _ in 0..12 {
            if self.least_jacobian(size) >= LEAST_JACOBIAN {
                return self;
            }
            self.0.iter_mut().flatten().for_each(|value| *value *= 0.8);
        }
        Self(vec![[0.0; 2]; GRID * GRID])
    }

    /// The least ratio of areas, source to result. Within a bilinear cell it is linear, so a corner has the least.
    fn least_jacobian(&self, size: f64) -> f64 {
        let step = size / (GRID - 1) as f64;
        let mut least = f64::INFINITY;
        for y in 0..GRID - 1 {
            for x in 0..GRID - 1 {
                let at = |dx: usize, dy: usize| self.0[(y + dy) * GRID + x + dx];
                let [a, b, c, d] = [at(0, 0), at(1, 0), at(0, 1), at(1, 1)];
                let slope = |from: [f64; 2], to: [f64; 2]| [(to[0] - from[0]) / step, (to[1] - from[1]) / step];
                for across in [slope(a, b), slope(c, d)] {
                    for down in [slope(a, c), slope(b, d)] {
                        least = least.min((1.0 + across[0]) * (1.0 + down[1]) - across[1] * down[0]);
                    }
                }
            }
        }
        least
    }
}

impl Warp {
    /// The colour of a pixel of the result, by bicubic interpolation of sixteen pixels (Keys 1981, a = -0.5). Bilinear
    /// interpolation would blur pores and strands.
    pub(super) fn pixel(&self, picture: &RgbImage, x: usize, y: usize) -> [u8; 3] {
        let [x, y] = self.source(x, y);
        let (width, height) = picture.dimensions();
        let place = |at: f32, size: u32| {
            let at = at.clamp(0.0, (size - 1) as f32);
            let whole = at.floor();
            let near = |step: i32| (whole as i32 + step).clamp(0, size as i32 - 1) as usize;
            ([near(-1), near(0), near(1), near(2)], cubic(at - whole))
        };
        let ((columns, across), (rows, down)) = (place(x, width), place(y, height));
        let pixels = picture.as_raw().as_chunks::<3>().0;
        let mut sums = [0.0f32; 3];
        for (row, down) in rows.into_iter().zip(down) {
            let row = &pixels[row * width as usize..][..width as usize];
            for (column, across) in columns.into_iter().zip(across) {
                let weight = across * down;
                for (sum, &value) in sums.iter_mut().zip(&row[column]) {
                    *sum += weight * f32::from(value);
                }
            }
        }
        sums.map(|sum| (sum + 0.5) as u8)
    }

    /// The source position of a pixel of the result.
    pub(super) fn source(&self, x: usize, y: usize) -> [f32; 2] {
        let scale = (GRID - 1) as f64 / self.size;
        let place = |at: usize| {
            let at = at as f64 * scale;
            (at as usize, at.fract())
        };
        let ((column, across), (row, down)) = (place(x), place(y));
        let at = |dx: usize, dy: usize, axis: usize| {
            self.field.0[(row + dy).min(GRID - 1) * GRID + (column + dx).min(GRID - 1)][axis]
        };
        array::from_fn(|axis| {
            let above = at(0, 0, axis) * (1.0 - across) + at(1, 0, axis) * across;
            let below = at(0, 1, axis) * (1.0 - across) + at(1, 1, axis) * across;
            let shift = above * (1.0 - down) + below * down;
            ([x, y][axis] as f64 + shift) as f32
        })
    }
}

/// The weights of four neighbours for a position `t` beyond the second.
fn cubic(t: f32) -> [f32; 4] {
    [
        -0.5 * t + t * t - 0.5 * t * t * t,
        1.0 - 2.5 * t * t + 1.5 * t * t * t,
        0.5 * t + 2.0 * t * t - 1.5 * t * t * t,
        0.5 * t * t * t - 0.5 * t * t,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preview::face_like;

    #[test]
    fn the_warp_folds_at_no_age() {
        let landmarks = face_like();
        let shape = Shape::of(&Frame::new(&landmarks, 1024), &landmarks, 1024);
        assert!(shape.at(35.0).is_none());
        for age in 0..=100 {
            let Some(warp) = shape.at(age as f32) else { continue };
            assert!(warp.field.least_jacobian(1024.0) >= LEAST_JACOBIAN, "{age}");
            for corner in [(0, 0), (1023, 0), (0, 512)] {
                let [x, y] = warp.source(corner.0, corner.1);
                assert!((x - corner.0 as f32).abs() < 1.0 && (y - corner.1 as f32).abs() < 1.0);
            }
        }
        // Degenerate landmarks: all in one point.
        let nothing = Landmarks::default();
        let shape = Shape::of(&Frame::new(&nothing, 1024), &nothing, 1024);
        assert!(shape.at(80.0).is_none_or(|warp| warp.field.least_jacobian(1024.0) >= LEAST_JACOBIAN));
    }

    #[test]
    fn the_shape_of_a_turned_head_does_not_change() {
        let mut landmarks = face_like();
        landmarks.0[30].x = 512.0 + 160.0;
        assert_eq!(frontality(&landmarks), 0.0);
        let shape = Shape::of(&Frame::new(&landmarks, 1024), &landmarks, 1024);
        let [x, y] = shape.at(90.0).unwrap().source(512, 800);
        assert!((x - 512.0).abs() < 0.01 && (y - 800.0).abs() < 0.01);
    }
}
