use std::sync::LazyLock;

use face::Point;
use rayon::prelude::*;

use super::SOURCE_AGE;
use super::curves::{CURVES, Curve, smooth};
use super::frame::Frame;
use super::look::ramp;
use super::plane::Plane;

/// The points of a curve from one control point to the next. They are about 2 pixels apart.
const SPAN: usize = 36;
/// The distance from its middle up to which a wrinkle raises or lowers the skin, in half widths.
const EXTENT: f64 = 4.0;

/// The wrinkles that one face will get.
#[derive(Debug)]
pub(super) struct Wrinkles {
    wrinkles: Vec<Wrinkle>,
    width: usize,
    height: usize,
}

#[derive(Debug)]
struct Wrinkle {
    years: [f32; 2],
    /// The index of each pixel, and its height in pixels when the wrinkle is complete.
    relief: Vec<(u32, f32)>,
}

impl Wrinkles {
    /// Places the wrinkles on a face. `lightness` is the portrait's, 0 to 1, with the pores smoothed away.
    pub(super) fn of(frame: &Frame, lightness: &Plane) -> Self {
        let sides = CURVES.iter().enumerate().flat_map(|(number, curve)| {
            let mirrored = (!curve.central).then_some((number, curve, -1.0));
            [Some((number, curve, 1.0)), mirrored].into_iter().flatten()
        });
        let sides: Vec<_> = sides.collect();
        let wrinkle = |&(number, curve, side): &(usize, &Curve, f64)| {
            let seed = 2 * number + usize::from(side < 0.0);
            let placed: Vec<Point> = LINES[number].iter().map(|&[u, v]| frame.place(side * u, v)).collect();
            let (line, evidence) = snapped(&placed, curve.reach * frame.unit, lightness);
            // A crease that already shows gets deeper.
            let depth = f64::from(curve.depth) * 1e-3 * frame.unit * (0.75 + 0.5 * evidence);
            let half_width = (f64::from(curve.width) * 1e-3 * frame.unit).max(1.2);
            Wrinkle { years: curve.years, relief: relief(&line, depth, half_width, seed, lightness) }
        };
        Self { wrinkles: sides.par_iter().map(wrinkle).collect(), width: lightness.width, height: lightness.height }
    }

    /// The height of the skin at an age, in pixels. It is 0 at the source age.
    pub(super) fn at(&self, age: f32) -> Plane {
        let mut height = Plane::new(self.width, self.height);
        for wrinkle in &self.wrinkles {
            let strength = ramp(age, (wrinkle.years[0] - 4.0).max(f32::from(SOURCE_AGE)), wrinkle.years[1]);
            if strength > 0.0 {
                for &(at, value) in &wrinkle.relief {
                    height.values[at as usize] += strength * value;
                }
            }
        }
        height
    }
}

/// The curves, finely sampled, once for all faces.
static LINES: LazyLock<Vec<Vec<[f64; 2]>>> =
    LazyLock::new(|| CURVES.iter().map(|curve| smooth(curve.points, SPAN)).collect());

/// Moves a line towards an existing crease, and returns the evidence for that crease, 0 to 1.
///
/// Dynamic programming finds the path, at most `reach` pixels away along the normals, that is darkest in its middle.
fn snapped(line: &[Point], reach: f64, lightness: &Plane) -> (Vec<Point>, f64) {
    let steps = (reach / 1.5).floor() as i32;
    let offsets: Vec<f64> = (-steps..=steps).map(|step| f64::from(step) * 1.5).collect();
    let normals = normals(line);
    let valley = |at: usize, offset: f64| {
        let (point, normal) = (line[at], normals[at]);
        let look = |further: f64| {
            let along = offset + further;
            sample(lightness, point.x + normal.x * along, point.y + normal.y * along)
        };
        let depth = (look(-5.0) + look(5.0)) / 2.0 - look(0.0);
        // Both sides of a crease are equally light. Those of an edge are not.
        let edge = (look(-5.0) - look(5.0)).abs();
        f64::from((depth - 0.5 * edge).clamp(0.0, 0.04)) / 0.04
    };
    let mut best: Vec<f64> = offsets.iter().map(|&offset| valley(0, offset)).collect();
    let mut from: Vec<Vec<usize>> = vec![(0..offsets.len()).collect()];
    for at in 1..line.len() {
        let mut next = Vec::with_capacity(best.len());
        let mut origin = Vec::with_capacity(best.len());
        for (index, &offset) in offsets.iter().enumerate() {
            let near = index.saturating_sub(1)..(index + 2).min(best.len());
            let score = |other: usize| best[other] - if other == index { 0.0 } else { 0.12 };
            let other = near.max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap_or(index);
            // The farther from the drawn line, the clearer the crease has to be.
            let doubt = 0.06 * (offset / reach.max(1.0)).powi(2);
            next.push(score(other) + valley(at, offset) - doubt);
            origin.push(other);
        }
        best = next;
        from.push(origin);
    }
    let Some(mut index) = (0..best.len()).max_by(|&a, &b| best[a].total_cmp(&best[b])) else {
        return (line.to_vec(), 0.0);
    };
    let mut path = vec![0.0; line.len()];
    let mut evidence = 0.0;
    for at in (0..line.len()).rev() {
        path[at] = offsets[index];
        evidence += valley(at, offsets[index]);
        index = from[at][index];
    }
    let evidence = evidence / line.len() as f64;
    // Without evidence the line stays where it was drawn.
    let trust = evidence.min(0.5) * 2.0;
    let path = softened(&path);
    let moved = line.iter().zip(&normals).zip(&path);
    let moved = moved.map(|((point, normal), offset)| Point {
        x: point.x + normal.x * offset * trust,
        y: point.y + normal.y * offset * trust,
    });
    (moved.collect(), evidence.min(1.0))
}

/// Replaces each value by the mean over 6 neighbours on each side.
fn softened(values: &[f64]) -> Vec<f64> {
    let around = |at: usize| {
        let window = &values[at.saturating_sub(6)..(at + 7).min(values.len())];
        window.iter().sum::<f64>() / window.len() as f64
    };
    (0..values.len()).map(around).collect()
}

fn normals(line: &[Point]) -> Vec<Point> {
    let last = line.len() - 1;
    let normal = |at: usize| {
        let (from, to) = (line[at.saturating_sub(1)], line[(at + 1).min(last)]);
        let (x, y) = (to.x - from.x, to.y - from.y);
        let length = x.hypot(y).max(1e-9);
        Point { x: -y / length, y: x / length }
    };
    (0..line.len()).map(normal).collect()
}

/// The value at a position, by bilinear interpolation. Beyond the plane it is the value of the edge.
fn sample(plane: &Plane, x: f64, y: f64) -> f32 {
    let place = |at: f64, size: usize| {
        let at = at.clamp(0.0, (size - 1) as f64);
        (at as usize, (at as usize + 1).min(size - 1), at.fract() as f32)
    };
    let ((left, right, across), (top, bottom, down)) = (place(x, plane.width), place(y, plane.height));
    let value = |x: usize, y: usize| plane.values[y * plane.width + x];
    let above = value(left, top) + (value(right, top) - value(left, top)) * across;
    let below = value(left, bottom) + (value(right, bottom) - value(left, bottom)) * across;
    above + (below - above) * down
}

/// The heights around a line: a valley of varying depth between two soft banks. It gets shallow towards both ends.
fn relief(line: &[Point], depth: f64, half_width: f64, seed: usize, plane: &Plane) -> Vec<(u32, f32)> {
    let extent = EXTENT * half_width;
    let bound = |axis: fn(&Point) -> f64, size: usize| {
        let values = line.iter().map(axis);
        let low = values.clone().fold(f64::INFINITY, f64::min) - extent;
        let high = values.fold(f64::NEG_INFINITY, f64::max) + extent;
        (low.floor().clamp(0.0, size as f64) as usize, high.ceil().clamp(0.0, size as f64) as usize)
    };
    let ((left, right), (top, bottom)) = (bound(|point| point.x, plane.width), bound(|point| point.y, plane.height));
    let (width, height) = (right.saturating_sub(left), bottom.saturating_sub(top));
    // The nearest point of the line for each pixel: its distance, and its position along the line, 0 to 1.
    let mut nearest = vec![(f32::INFINITY, 0.0f32); width * height];
    let spans = (line.len() - 1) as f64;
    for (number, pair) in line.windows(2).enumerate() {
        let (from, to) = (pair[0], pair[1]);
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        let squared = (dx * dx + dy * dy).max(1e-9);
        let rows = ((from.y.min(to.y) - extent).max(top as f64) as usize)
            ..((from.y.max(to.y) + extent).max(0.0) as usize + 1).min(bottom);
        let columns = ((from.x.min(to.x) - extent).max(left as f64) as usize)
            ..((from.x.max(to.x) + extent).max(0.0) as usize + 1).min(right);
        for y in rows {
            for x in columns.clone() {
                let (px, py) = (x as f64 - from.x, y as f64 - from.y);
                let along = ((px * dx + py * dy) / squared).clamp(0.0, 1.0);
                let distance = (px - along * dx).hypot(py - along * dy) as f32;
                let best = &mut nearest[(y - top) * width + x - left];
                if distance < best.0 {
                    *best = (distance, ((number as f64 + along) / spans) as f32);
                }
            }
        }
    }
    let mut relief = Vec::new();
    for (at, (distance, along)) in nearest.into_iter().enumerate() {
        let across = f64::from(distance) / half_width;
        if across >= EXTENT {
            continue;
        }
        let along = f64::from(along);
        let taper = (std::f64::consts::PI * along).sin().max(0.0).powf(0.6);
        let value = -depth * taper * uneven(along, seed) * profile(across);
        relief.push((((at / width + top) * plane.width + at % width + left) as u32, value as f32));
    }
    relief
}

/// The profile across a wrinkle: 1 in the valley, negative on the banks, 0 at [`EXTENT`].
fn profile(across: f64) -> f64 {
    let fade = (1.0 - across / EXTENT).clamp(0.0, 1.0).sqrt();
    ((-across.powf(1.4)).exp() - 0.30 * (-((across - 2.0) / 1.1).powi(2)).exp()) * fade
}

/// Long waves between 0.65 and 1.35, since no fold is equally deep everywhere.
fn uneven(along: f64, seed: usize) -> f64 {
    let phase = seed as f64 * 2.399;
    1.0 + 0.2 * (5.0 * along + phase).sin() + 0.15 * (11.0 * along + 2.0 * phase).sin()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preview::face_like;

    #[test]
    fn a_line_moves_to_a_crease_near_it() {
        // The light plane has a dark horizontal crease at y = 110, and the line is drawn at 102.
        let plane = Plane::filled(300, 200, |_, y| 0.8 - 0.1 * (-((y as f32 - 110.0) / 3.0).powi(2)).exp());
        let line: Vec<Point> = (0..60).map(|i| Point { x: 60.0 + 3.0 * f64::from(i), y: 102.0 }).collect();
        let (moved, evidence) = snapped(&line, 15.0, &plane);
        assert!(
            evidence > 0.5 && moved[5..55].iter().all(|point| (point.y - 110.0).abs() < 1.5),
            "{evidence} {moved:?}"
        );
        let (stays, evidence) = snapped(&line, 15.0, &Plane::filled(300, 200, |_, _| 0.8));
        assert!(evidence < 1e-3 && stays.iter().all(|point| (point.y - 102.0).abs() < 1e-3));
    }

    #[test]
    fn wrinkles_start_after_the_source_age_and_get_deeper() {
        let frame = Frame::new(&face_like(), 1024);
        let wrinkles = Wrinkles::of(&frame, &Plane::filled(1024, 1024, |_, _| 0.7));
        assert!(wrinkles.at(33.0).values.iter().all(|&value| value == 0.0));
        let deepest = |age: f32| wrinkles.at(age).values.into_iter().fold(0.0, f32::min);
        assert!(deepest(45.0) < -0.1 && deepest(60.0) < deepest(45.0) && deepest(80.0) <= deepest(60.0));
    }
}
