use face::Landmarks;
use image::RgbImage;
use rayon::prelude::*;

use super::head::Head;
use super::look::ramp;
use super::skin::{self, Small};
use super::{guided, hair, oklab};
use crate::plane::Plane;

/// How much smaller the planes are on which skin and hair are sought.
const REDUCTION: usize = 4;

/// What every age needs of a portrait, so that an age itself is one pass over the pixels.
pub(crate) struct Analysis {
    /// Oklab of the portrait.
    pub(super) lightness: Plane,
    pub(super) a: Plane,
    pub(super) b: Plane,
    /// The lightness without pores and strands.
    pub(super) fine_base: Plane,
    /// The lightness without folds and blotches either.
    pub(super) wide_base: Plane,
    /// The colour that the skin has on average around a pixel.
    pub(super) even_a: Plane,
    pub(super) even_b: Plane,
    /// Likelihoods, 0 to 1.
    pub(super) skin: Plane,
    pub(super) hair: Plane,
    /// The exponent that takes the hair's typical lightness to grey.
    pub(super) grey_gamma: f32,
}

impl Analysis {
    pub(super) fn new(portrait: &RgbImage, landmarks: &Landmarks) -> Self {
        let [lightness, a, b] = planes(portrait);
        let (small_a, small_b) = (a.reduced(REDUCTION), b.reduced(REDUCTION));
        let small_lightness = lightness.reduced(REDUCTION);
        let texture = lightness.with(&lightness.mean(10), |value, mean| (value - mean).abs()).reduced(REDUCTION);
        let small = Small { lightness: small_lightness, a: small_a, b: small_b, texture };
        let candidates = skin::candidates(&small);
        let head = Head::of(landmarks, REDUCTION as f32);

        // Pores and folds grow with the face.
        let face = head.radius * REDUCTION as f32;
        let fine_base = guided::smoothed(&lightness, (0.014 * face).max(2.0) as usize, 0.03 * 0.03);
        let wide_base = guided::smoothed(&lightness, (0.06 * face).max(6.0) as usize, 0.05 * 0.05);

        let skin = skin::mask(&small, &candidates, &head);
        let hair = hair::mask(&small, &skin, &head);
        let grey_gamma = grey_gamma(&small.lightness, &hair);
        let radius = ((0.12 * face) as usize / REDUCTION).max(2);
        let large_skin = guided::enlarged_mask(&skin, &lightness, 4, 1e-3);
        let even = |colour: &Plane| evened(colour, &skin, radius).enlarged(REDUCTION);
        Self {
            even_a: even(&small.a),
            even_b: even(&small.b),
            hair: exact(&guided::enlarged_mask(&hair, &lightness, 6, 1e-3), &fine_base, &large_skin),
            skin: large_skin,
            lightness,
            a,
            b,
            fine_base,
            wide_base,
            grey_gamma,
        }
    }

    /// The portrait's width in pixels.
    pub(super) fn width(&self) -> usize {
        self.lightness.width
    }

    /// The portrait's height in pixels.
    pub(super) fn height(&self) -> usize {
        self.lightness.height
    }
}

fn planes(portrait: &RgbImage) -> [Plane; 3] {
    let width = portrait.width() as usize;
    let mut planes = std::array::from_fn(|_| Plane::new(width, portrait.height() as usize));
    let [lightness, a, b] = &mut planes;
    let rows = lightness.values.par_chunks_mut(width).zip(a.values.par_chunks_mut(width));
    rows.zip(b.values.par_chunks_mut(width)).zip(portrait.as_raw().par_chunks(width * 3)).for_each(
        |(((lightness, a), b), pixels)| {
            for (x, pixel) in pixels.chunks_exact(3).enumerate() {
                [lightness[x], a[x], b[x]] = oklab::lab([pixel[0], pixel[1], pixel[2]]);
            }
        },
    );
    planes
}

/// The mean of a colour over the skin around each pixel; far from any, the colour itself.
fn evened(colour: &Plane, skin: &Plane, radius: usize) -> Plane {
    let weights = skin.mean(radius);
    let sums = colour.with(skin, |colour, skin| colour * skin).mean(radius);
    let means = sums.with(&weights, |sum, weight| sum / weight.max(1e-3));
    let reliable = weights.with(skin, |weight, _| (20.0 * weight).min(1.0));
    let change = means.with(colour, |mean, colour| mean - colour).with(&reliable, |change, part| change * part);
    colour.with(&change, |colour, change| colour + change)
}

/// The hair's mask, less what at this very pixel is light or skin: a grey seam on the forehead shows at once.
fn exact(hair: &Plane, lightness: &Plane, skin: &Plane) -> Plane {
    let dark = hair.with(lightness, |hair, lightness| hair * (1.0 - ramp(lightness, 0.58, 0.82)));
    dark.with(skin, |hair, skin| hair * (1.0 - ramp(skin, 0.25, 0.9)))
}

/// Typical hair becomes grey, and black hair not quite: a stronger curve would turn its noise into chrome.
fn grey_gamma(lightness: &Plane, hair: &Plane) -> f32 {
    let total: f32 = hair.values.iter().sum::<f32>() + 1e-3;
    let typical: f32 = lightness.values.iter().zip(&hair.values).map(|(value, weight)| value * weight).sum();
    let typical = ((typical + 1e-3 * 0.3) / total).clamp(0.08, 0.6);
    (0.66f32.ln() / typical.ln()).clamp(0.6, 1.0)
}
