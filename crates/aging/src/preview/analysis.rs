use face::Landmarks;
use image::RgbImage;
use rayon::prelude::*;

use super::frame::Frame;
use super::hair::{self, Hairline};
use super::head::Head;
use super::look::ramp;
use super::marks;
use super::plane::Plane;
use super::shape::Shape;
use super::skin::{self, Small};
use super::wrinkles::Wrinkles;
use super::{guided, oklab};

/// The reduction of the planes on which skin and hair are searched.
const REDUCTION: usize = 4;

/// Everything about a portrait that does not depend on the age, so that rendering an age is one pass over the pixels.
#[derive(Debug)]
pub struct Analysis {
    /// Oklab of the portrait.
    pub(super) lightness: Plane,
    pub(super) a: Plane,
    pub(super) b: Plane,
    /// The lightness without pores and strands.
    pub(super) fine_base: Plane,
    /// The lightness without folds and blotches either.
    pub(super) wide_base: Plane,
    /// The mean colour of the skin around a pixel.
    pub(super) even_a: Plane,
    pub(super) even_b: Plane,
    /// Likelihoods, 0 to 1.
    pub(super) skin: Plane,
    pub(super) hair: Plane,
    /// The colour of grey hair in this light.
    pub(super) grey_tint: [f32; 2],
    /// 1 for a colour picture, 0 for a greyscale one, to which no colour is added.
    pub(super) colours: f32,
    /// The exponent that turns the hair's typical lightness into grey.
    pub(super) grey_gamma: f32,
    pub(super) wrinkles: Wrinkles,
    /// The part of the light that hollows take away at the greatest age.
    pub(super) hollows: Plane,
    /// The spots at the greatest age, 0 to 1.
    pub(super) spots: Plane,
    /// The mask of eyes and teeth, 0 to 1.
    pub(super) clear: Plane,
    /// The size of the finest detail, in pixels: about 1 in a sharp picture, more in an enlarged one.
    pub(super) softness: f32,
    /// The direction to the light in the picture's plane, as a unit vector.
    pub(super) light: [f32; 2],
    pub(super) shape: Shape,
    /// The distance between the eyes, in pixels.
    pub(super) unit: f32,
}

impl Analysis {
    pub(super) fn new(portrait: &RgbImage, landmarks: &Landmarks) -> Self {
        let [lightness, a, b] = planes(portrait);
        let (small_a, small_b) = (a.reduced(REDUCTION), b.reduced(REDUCTION));
        let small_lightness = lightness.reduced(REDUCTION);
        let texture = lightness.with(&lightness.mean(10), |value, mean| (value - mean).abs()).reduced(REDUCTION);
        let small = Small { lightness: small_lightness, a: small_a, b: small_b, texture };
        let head = Head::of(landmarks, REDUCTION as f32);
        let candidates = skin::candidates(&small, &head);

        // Pores and folds scale with the face.
        let face = head.radius * REDUCTION as f32;
        let fine_base = guided::smoothed(&lightness, (0.014 * face).max(2.0) as usize, 0.03 * 0.03);
        let wide_base = guided::smoothed(&lightness, (0.06 * face).max(6.0) as usize, 0.05 * 0.05);

        let frame = Frame::new(landmarks, lightness.width);
        let hairline = Hairline::of(&frame, &small);
        let bare = hairline.bare(&frame, &small.lightness);
        // Hair over the forehead may have the very colour of skin.
        let skin = skin::mask(&small, &candidates, &head).with(&bare, |skin, bare| skin * bare);
        let hair = hair::mask(&small, &skin, &frame, &hairline);
        let wrinkles = Wrinkles::of(&frame, &lightness.mean(1).mean(1));
        let light = light(&small.lightness, &skin);
        let shape = Shape::of(&frame, landmarks, lightness.width);
        let total: f32 = skin.values.iter().sum::<f32>() + 1e-3;
        let mean = |plane: &Plane| {
            plane.values.iter().zip(&skin.values).map(|(value, weight)| value * weight).sum::<f32>() / total
        };
        let skin_tint = [mean(&small.a), mean(&small.b)];
        let grey_gamma = grey_gamma(&small.lightness, &hair);
        let radius = ((0.12 * face) as usize / REDUCTION).max(2);
        let hollows = marks::hollows(&frame, &hair).enlarged(REDUCTION);
        let softness = softness(&lightness);
        let spots = marks::spots(&frame, &lightness).softened(softness);
        let clear = marks::eyes_and_teeth(landmarks, frame.size, &hair).enlarged(REDUCTION);
        // Brows also grey where they are darker than the skin around them, but later and less.
        let brows = marks::brows(&landmarks.0[17..27], frame.size, frame.unit, &hair);
        let around = small.lightness.mean(8);
        let dark = around.with(&small.lightness, |around, own| ramp(around - own, 0.03, 0.12));
        let hair = hair.with(&brows.with(&dark, |brow, dark| 0.6 * brow * dark), f32::max);
        let large_skin = guided::enlarged_mask(&skin, &lightness, 4, 1e-3);
        let even = |colour: &Plane| evened(colour, &skin, radius).enlarged(REDUCTION);
        Self {
            even_a: even(&small.a),
            even_b: even(&small.b),
            hair: without_rim(&guided::enlarged_mask(&hair, &lightness, 3, 1e-3), &fine_base, &large_skin),
            skin: large_skin,
            lightness,
            a,
            b,
            fine_base,
            wide_base,
            grey_tint: skin_tint.map(|value| 0.12 * value),
            colours: ramp(skin_tint[0].hypot(skin_tint[1]), 0.008, 0.02),
            grey_gamma,
            wrinkles,
            hollows,
            spots,
            clear,
            softness,
            light,
            shape,
            unit: frame.unit as f32,
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

/// The mean of a colour over the skin around each pixel. Far from skin, the colour is unchanged.
fn evened(colour: &Plane, skin: &Plane, radius: usize) -> Plane {
    let weights = skin.mean(radius);
    let sums = colour.with(skin, |colour, skin| colour * skin).mean(radius);
    let means = sums.with(&weights, |sum, weight| sum / weight.max(1e-3));
    let reliable = weights.with(skin, |weight, _| (20.0 * weight).min(1.0));
    let change = means.with(colour, |mean, colour| mean - colour).with(&reliable, |change, part| change * part);
    colour.with(&change, |colour, change| colour + change)
}

/// The hair's mask without pixels that are next to skin and nearly as light. They would become a bright rim.
fn without_rim(hair: &Plane, lightness: &Plane, skin: &Plane) -> Plane {
    let typical = |mask: &Plane| {
        let total: f32 = mask.values.iter().sum::<f32>() + 1e-3;
        mask.values.iter().zip(&lightness.values).map(|(weight, value)| weight * value).sum::<f32>() / total
    };
    let (hair_tone, skin_tone) = (typical(hair), typical(skin));
    let apart = skin_tone - hair_tone;
    if apart < 0.05 {
        return hair.clone();
    }
    let near = skin.mean(12).mean(12);
    let light = lightness.with(&near, |value, near| {
        ramp(near, 0.01, 0.10) * ramp(value, hair_tone + 0.2 * apart, hair_tone + 0.75 * apart)
    });
    hair.with(&light, |hair, light| hair * (1.0 - 0.85 * light))
}

/// The exponent for grey hair. Black hair stays darker than grey, since a stronger curve would amplify its noise.
fn grey_gamma(lightness: &Plane, hair: &Plane) -> f32 {
    let total: f32 = hair.values.iter().sum::<f32>() + 1e-3;
    let typical: f32 = lightness.values.iter().zip(&hair.values).map(|(value, weight)| value * weight).sum();
    let typical = ((typical + 1e-3 * 0.3) / total).clamp(0.08, 0.6);
    (0.66f32.ln() / typical.ln()).clamp(0.6, 1.0)
}

/// The direction to the light: the gradient of the skin's lightness, plus a constant upward part that decides where the
/// gradient is weak.
fn light(lightness: &Plane, skin: &Plane) -> [f32; 2] {
    let width = lightness.width;
    let weights = || skin.values.iter().enumerate().map(|(at, &weight)| (at, weight * weight));
    let total: f32 = weights().map(|(_, weight)| weight).sum::<f32>() + 1e-3;
    let mean = |value: &dyn Fn(usize) -> f32| weights().map(|(at, weight)| weight * value(at)).sum::<f32>() / total;
    let (x, y) = (|at: usize| (at % width) as f32 / width as f32, |at: usize| (at / width) as f32 / width as f32);
    let tone = |at: usize| lightness.values[at];
    let (mean_x, mean_y, mean_tone) = (mean(&x), mean(&y), mean(&tone));
    let (spread_x, spread_y) = (mean(&|at| (x(at) - mean_x).powi(2)), mean(&|at| (y(at) - mean_y).powi(2)));
    let slope_x = mean(&|at| (x(at) - mean_x) * (tone(at) - mean_tone)) / (spread_x + 1e-3);
    let slope_y = mean(&|at| (y(at) - mean_y) * (tone(at) - mean_tone)) / (spread_y + 1e-3);
    let (right, down) = (slope_x, slope_y - 0.25);
    let length = right.hypot(down).max(1e-6);
    [right / length, down / length]
}

/// Estimates how much a picture was enlarged, from the contrast of pixels 16 apart relative to that of neighbours. The
/// ratio is about 5 in a sharp picture and up to 13 in the same picture enlarged.
fn softness(lightness: &Plane) -> f32 {
    let difference = |apart: usize| {
        let pairs = lightness.values.iter().zip(&lightness.values[apart..]).step_by(7);
        pairs.map(|(one, other)| (one - other).abs().min(0.1)).sum::<f32>() + 1e-3
    };
    (1.0 + 1.15 * (difference(16) / difference(1) - 5.2)).clamp(1.0, 11.0)
}
