//! The hairline, and the mask of the hair.

use std::array;

use super::frame::Frame;
use super::look::ramp;
use super::plane::Plane;
use super::skin::Small;

/// Lightness, a, b and texture.
type Feature = [f32; 4];
/// The least standard deviations of a cluster: those of noise and compression.
const FLOORS: Feature = [0.045, 0.010, 0.010, 0.012];
/// The number of clusters for hair, and for the background.
const CLUSTERS: usize = 4;

/// The number of columns across the forehead in which the hairline is searched.
const COLUMNS: usize = 33;
/// The outermost columns, in canonical coordinates.
const HALF_WIDTH: f64 = 0.9;
/// The upper end of the search, in canonical coordinates. A face without hair below it counts as bald.
const HIGHEST: f64 = -1.6;

/// The height of the hairline in each column, in canonical coordinates. It is [`HIGHEST`] where there is no hair.
#[derive(Debug)]
pub(super) struct Hairline(Vec<f64>);

impl Hairline {
    /// Searches each column upwards for a place that is much darker than the skin just below it, and stays dark. A
    /// forehead in shadow darkens slowly and is not mistaken for hair.
    pub(super) fn of(frame: &Frame, small: &Small) -> Self {
        let value = |plane: &Plane, u: f64, v: f64| frame.index(u, v, plane).map(|at| plane.values[at]);
        let mut cheeks: Vec<f32> = [-0.7, -0.6, -0.5, 0.5, 0.6, 0.7]
            .into_iter()
            .flat_map(|u| [0.4, 0.5, 0.6].map(|v| (u, v)))
            .filter_map(|(u, v)| value(&small.lightness, u, v))
            .collect();
        cheeks.sort_by(f32::total_cmp);
        let typical = cheeks.get(cheeks.len() / 2).copied().unwrap_or(0.7);
        let column = |column: usize| {
            let u = HALF_WIDTH * (2.0 * column as f64 / (COLUMNS - 1) as f64 - 1.0);
            let tone = |v: f64| value(&small.lightness, u, v).unwrap_or(0.0);
            // The lightest value just below is compared, since a brow is dark. It is capped, since a highlight is
            // bright.
            let below = |v: f64| (2..10).map(|step| tone(v + 0.02 * f64::from(step))).fold(0.0, f32::max).min(typical);
            let dark = |v: f64| (0..4).all(|step| tone(v - 0.02 * f64::from(step)) < 0.82 * below(v));
            (0..57).map(|step| -0.45 - 0.02 * f64::from(step)).find(|&v| dark(v)).unwrap_or(HIGHEST)
        };
        Self((0..COLUMNS).map(column).collect())
    }

    /// A plane of the size of `like`: 0 from a little below the hairline upwards, 1 elsewhere.
    pub(super) fn bare(&self, frame: &Frame, like: &Plane) -> Plane {
        let mut bare = Plane::filled(like.width, like.height, |_, _| 1.0);
        self.above(frame, like, 0.06, 1.4, |at| bare.values[at] = 0.0);
        bare.mean(3)
    }

    /// Visits the pixels from `below` under the hairline up to `height` above that. Some are visited twice.
    fn above(&self, frame: &Frame, like: &Plane, below: f64, height: f64, mut visit: impl FnMut(usize)) {
        for (column, hairline) in self.0.iter().enumerate() {
            for part in 0..12 {
                let u = HALF_WIDTH * (2.0 * (column as f64 + f64::from(part) / 12.0) / (COLUMNS - 1) as f64 - 1.0);
                for step in 0..(height * 100.0) as u32 {
                    let v = hairline + below - 0.01 * f64::from(step);
                    if let Some(at) = frame.index(u, v, like) {
                        visit(at);
                    }
                }
            }
        }
    }

    /// The part of the forehead that has hair above it, 0 to 1.
    fn found(&self) -> f32 {
        self.0.iter().filter(|&&v| v > HIGHEST).count() as f32 / COLUMNS as f32
    }
}

/// One cluster of pixels, as a normal distribution without correlations.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    mean: Feature,
    /// The inverse standard deviations.
    inverse: Feature,
    /// The part of all samples that belongs to it.
    share: f32,
}

impl Cluster {
    fn likelihood(&self, feature: &Feature) -> f32 {
        let (mut square, mut norm) = (0.0, self.share);
        for channel in 0..4 {
            square += (feature[channel] - self.mean[channel]).powi(2) * self.inverse[channel].powi(2);
            norm *= self.inverse[channel] * FLOORS[channel];
        }
        norm * (-0.5 * square).exp()
    }
}

/// Clusters a set of pixels with k-means, starting from the quantiles of lightness.
fn clusters(mut samples: Vec<Feature>) -> Vec<Cluster> {
    if samples.len() < 4 * CLUSTERS {
        return Vec::new();
    }
    samples.sort_by(|one, other| one[0].total_cmp(&other[0]));
    let quantile = |cluster: usize| samples[(2 * cluster + 1) * samples.len() / (2 * CLUSTERS)];
    let mut means: [Feature; CLUSTERS] = array::from_fn(quantile);
    let nearest = |means: &[Feature; CLUSTERS], sample: &Feature| {
        let distance = |mean: &Feature| (0..4).map(|c| ((sample[c] - mean[c]) / FLOORS[c]).powi(2)).sum::<f32>();
        (0..CLUSTERS).min_by(|&a, &b| distance(&means[a]).total_cmp(&distance(&means[b]))).unwrap_or(0)
    };
    let mut clusters = Vec::new();
    for _ in 0..8 {
        let mut sums = [([0.0f32; 4], [0.0f32; 4], 0.0f32); CLUSTERS];
        for sample in &samples {
            let (sum, squares, count) = &mut sums[nearest(&means, sample)];
            for channel in 0..4 {
                sum[channel] += sample[channel];
                squares[channel] += sample[channel].powi(2);
            }
            *count += 1.0;
        }
        clusters.clear();
        for (mean, (sum, squares, count)) in means.iter_mut().zip(&sums) {
            if *count > 0.0 {
                *mean = sum.map(|sum| sum / count);
                let spread = |c: usize| (squares[c] / count - mean[c].powi(2)).max(0.0).sqrt().max(FLOORS[c]);
                let inverse = array::from_fn(|channel| 1.0 / spread(channel));
                clusters.push(Cluster { mean: *mean, inverse, share: count / samples.len() as f32 });
            }
        }
    }
    clusters
}

/// The likelihood of hair, 0 to 1.
///
/// Hair has the colours and texture of the pixels just above the hairline, and not those of the skin or of the
/// picture's sides (the background). It is near the head and connected with the hairline. In doubt the likelihood is
/// kept low: a wall that greys is worse than a strand that does not.
pub(super) fn mask(small: &Small, skin: &Plane, frame: &Frame, hairline: &Hairline) -> Plane {
    let (width, height) = (skin.width, skin.height);
    let texture = small.texture.mean(2);
    let feature = |at: usize| [small.lightness.values[at], small.a.values[at], small.b.values[at], texture.values[at]];
    let mut seeds = vec![false; width * height];
    hairline.above(frame, skin, -0.04, 0.30, |at| seeds[at] = skin.values[at] < 0.5);
    let hair = clusters((0..seeds.len()).filter(|&at| seeds[at]).map(feature).collect());
    let side = |at: usize| {
        let (x, y) = ((at % width) as f32 / width as f32, (at / width) as f32 / height as f32);
        !(0.05..0.95).contains(&x) && y < 0.7
    };
    let background = clusters((0..width * height).filter(|&at| side(at)).map(feature).collect());
    // Hair above a third of the forehead is enough evidence.
    let sure = ramp(hairline.found(), 0.15, 0.4);
    if hair.is_empty() || sure == 0.0 {
        return Plane::new(width, height);
    }
    let sum = |clusters: &[Cluster], feature: &Feature| {
        clusters.iter().map(|cluster| cluster.likelihood(feature)).sum::<f32>()
    };
    // Hair is searched within an ellipse around the face that extends to the shoulders.
    let (centre, edge, top) = (frame.place(0.0, 0.0), frame.place(1.0, 0.0), frame.place(0.0, -1.0));
    let scale = width as f64 / frame.size;
    let unit_x = ((edge.x - centre.x).hypot(edge.y - centre.y) * scale) as f32;
    let unit_y = ((top.x - centre.x).hypot(top.y - centre.y) * scale) as f32;
    let (middle_x, middle_y) = ((centre.x * scale) as f32, (centre.y * scale) as f32);
    let posterior = Plane::filled(width, height, |x, y| {
        let at = y * width + x;
        let (u, v) = ((x as f32 - middle_x) / unit_x, (y as f32 - middle_y) / unit_y);
        let far = (u / 2.0).hypot((v + 0.1) / if v < -0.1 { 2.1 } else { 1.4 });
        // The inside of the face, with brows, eyes and lips, has no hair.
        let inside = (u / 0.98).hypot((v - 0.55) / 1.15);
        let place = (1.0 - ramp(far, 0.85, 1.15)) * ramp(inside, 0.86, 1.0);
        let here = feature(at);
        let (yes, no) = (sum(&hair, &here), sum(&background, &here));
        let body = 0.6 * skin.values[at];
        place * (1.0 - body) * yes / (yes + 0.8 * no + 2e-4)
    });
    let mut connected = connected(&posterior.mean(1), &seeds);
    // Where hair and background look alike, either only a part of the hair would turn grey, or the whole wall.
    let (mut alike, mut found) = (0.0, 1e-3);
    for at in (0..seeds.len()).filter(|&at| seeds[at]) {
        let here = feature(at);
        found += 1.0;
        alike += f32::from(u8::from(sum(&background, &here) > 0.7 * sum(&hair, &here)));
    }
    let mut sides = [1e-3f32; 2];
    for (at, value) in connected.values.iter().enumerate() {
        sides[usize::from((at % width) as f32 > middle_x)] += value;
    }
    // Hair on one side only means that the other side was not recognized.
    let even = ramp(sides[0].min(sides[1]) / sides[0].max(sides[1]), 0.15, 0.45);
    // The area in squares of the distance between the eyes. A smaller or larger area is not plausible.
    let area = (sides[0] + sides[1]) / (unit_x * unit_y).max(1.0);
    let plausible = ramp(area, 0.05, 0.25) * (1.0 - ramp(area, 7.0, 9.0));
    let sure = sure * plausible * (1.0 - 0.75 * ramp(alike / found, 0.15, 0.45)) * (0.25 + 0.75 * even);
    connected.values.iter_mut().for_each(|value| *value *= sure);
    connected
}

/// Keeps the likelihoods above 0.35 that are connected with a seed.
fn connected(likelihood: &Plane, seeds: &[bool]) -> Plane {
    let (width, height) = (likelihood.width, likelihood.height);
    let mut reached = vec![false; width * height];
    let mut open: Vec<usize> = (0..seeds.len()).filter(|&at| seeds[at] && likelihood.values[at] > 0.35).collect();
    while let Some(at) = open.pop() {
        if std::mem::replace(&mut reached[at], true) {
            continue;
        }
        let (x, y) = (at % width, at / width);
        let neighbours = [
            (x > 0).then(|| at - 1),
            (x + 1 < width).then(|| at + 1),
            (y > 0).then(|| at - width),
            (y + 1 < height).then(|| at + width),
        ];
        open.extend(neighbours.into_iter().flatten().filter(|&next| !reached[next] && likelihood.values[next] > 0.35));
    }
    let near = Plane::filled(width, height, |x, y| f32::from(u8::from(reached[y * width + x]))).mean(2);
    likelihood.with(&near, |value, near| value * ramp(near, 0.1, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preview::face_like;

    /// The likelihood of hair for a light face with dark hair, in front of a wall of some lightness.
    fn likelihood_before(wall: f32) -> f32 {
        let frame = Frame::new(&face_like(), 1024);
        let oval = |x: usize, y: usize| ((x as f32 - 128.0) / 66.0).hypot((y as f32 - 138.0) / 95.0) < 1.0;
        let cap = |x: usize, y: usize| y < 130 && ((x as f32 - 128.0) / 92.0).hypot((y as f32 - 130.0) / 112.0) < 1.0;
        let lightness = Plane::filled(256, 256, |x, y| match (oval(x, y), cap(x, y)) {
            (true, _) => 0.75,
            (_, true) => 0.3,
            _ => wall,
        });
        let flat = Plane::new(256, 256);
        let small = Small { lightness, a: flat.clone(), b: flat.clone(), texture: flat };
        let skin = Plane::filled(256, 256, |x, y| f32::from(u8::from(oval(x, y))));
        let mask = mask(&small, &skin, &frame, &Hairline::of(&frame, &small));
        assert!(mask.values[60 * 256 + 5] < 0.02, "the wall counts as hair");
        mask.values[30 * 256 + 128]
    }

    #[test]
    fn hair_of_the_walls_colour_has_a_low_likelihood() {
        let (clear, doubtful) = (likelihood_before(0.85), likelihood_before(0.3));
        assert!(clear > 0.8 && doubtful < 0.4 * clear, "{clear} {doubtful}");
    }

    #[test]
    fn without_a_hairline_there_is_no_hair() {
        let frame = Frame::new(&face_like(), 1024);
        let small = |value: f32| {
            let flat = Plane::new(256, 256);
            Small { lightness: Plane::filled(256, 256, |_, _| value), a: flat.clone(), b: flat.clone(), texture: flat }
        };
        for value in [0.0, 0.2, 0.8] {
            let small = small(value);
            let hairline = Hairline::of(&frame, &small);
            assert!(mask(&small, &Plane::new(256, 256), &frame, &hairline).values.iter().all(|&value| value == 0.0));
        }
    }
}
