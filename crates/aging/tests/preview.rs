//! Properties of the preview engine at every age, on the sample portrait and on variants of it.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use aging::preview::Preview;
use aging::{Engine, PANEL, Portrait, View, strip};
use face::{Aligned, Detector, FaceFinder, RgbImage, Sampling, ShapePredictor};
use image::{Rgb, imageops};

const AGES: [u8; 11] = [0, 10, 20, 28, 35, 45, 55, 65, 75, 85, 100];

fn sample() -> Aligned {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/astronaut.png");
    let picture = image::open(path).unwrap().into_rgb8();
    let (detector, predictor) = (Detector::built_in().unwrap(), ShapePredictor::built_in().unwrap());
    let face = FaceFinder { detector, predictor }.portrait(&picture).unwrap();
    face::align(&picture, &face.landmarks, PANEL, Sampling::Smooth).unwrap()
}

/// Variants of the portrait with another skin, another light or another camera.
fn samples() -> Vec<(&'static str, Aligned)> {
    let original = sample();
    let changed = |change: &dyn Fn(u32, u32, [f32; 3]) -> [f32; 3]| {
        let picture = RgbImage::from_fn(PANEL, PANEL, |x, y| {
            let pixel = original.picture.get_pixel(x, y).0.map(f32::from);
            Rgb(change(x, y, pixel).map(|value| value.round().clamp(0.0, 255.0) as u8))
        });
        Aligned { picture, landmarks: original.landmarks }
    };
    vec![
        ("dark skin", changed(&|_, _, [r, g, b]| [r.powf(1.6) / 28.0, g.powf(1.6) / 32.0, b.powf(1.6) / 36.0])),
        ("light skin", changed(&|_, _, pixel| pixel.map(|value| 255.0 * (value / 255.0).powf(0.7)))),
        ("light from the side", changed(&|x, _, pixel| pixel.map(|value| value * (0.25 + 0.9 * x as f32 / 1024.0)))),
        ("no colour", changed(&|_, _, [r, g, b]| [0.3 * r + 0.59 * g + 0.11 * b; 3])),
        (
            "noise",
            changed(&|x, y, pixel| {
                // The grain is two pixels wide, as in an enlarged photograph.
                let (x, y) = (x / 2, y / 2);
                pixel.map(|value| value + ((x * 7919 + y * 104_729 + x * y) % 13) as f32 - 6.0)
            }),
        ),
        ("as it is", original.clone()),
    ]
}

fn aged(aligned: &Aligned, ages: &[u8]) -> Vec<RgbImage> {
    let mut pixels = Vec::new();
    let engine = Engine::Preview(Preview);
    let portrait = Portrait { panel: aligned.picture.clone(), view: View::Landmarks(Box::new(aligned.landmarks)) };
    strip::append(&engine, portrait, ages, &mut pixels, &|_| true).unwrap();
    let strip = RgbImage::from_raw(PANEL * (1 + ages.len() as u32), PANEL, pixels).unwrap();
    (1..=ages.len() as u32).map(|n| imageops::crop_imm(&strip, n * PANEL, 0, PANEL, PANEL).to_image()).collect()
}

/// The mean difference between the brightness of the cheeks and its blurred copy, in levels.
fn skin_detail(picture: &RgbImage, aligned: &Aligned) -> f64 {
    let [left, right] = aligned.landmarks.eyes();
    let unit = right.x - left.x;
    let mut sum = 0.0;
    let mut count = 0.0;
    for centre in [left.x - 0.1 * unit, right.x + 0.1 * unit] {
        let (x, y) = ((centre - 0.22 * unit) as u32, (left.y + 0.22 * unit) as u32);
        let cheek = imageops::crop_imm(picture, x, y, (0.44 * unit) as u32, (0.45 * unit) as u32).to_image();
        let cheek = imageops::grayscale(&cheek);
        let blurred = imageops::blur(&cheek, 0.035 * unit as f32);
        sum += cheek.iter().zip(blurred.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
        count += cheek.len() as f64;
    }
    sum / count
}

/// The mean lightness and the mean colourfulness of a part, in levels.
fn tone(picture: &RgbImage, left: u32, top: u32, width: u32, height: u32) -> (f64, f64) {
    let part = imageops::crop_imm(picture, left, top, width, height).to_image();
    let count = f64::from(width * height);
    let light =
        part.pixels().map(|p| p.0.iter().map(|&value| f64::from(value)).sum::<f64>() / 3.0).sum::<f64>() / count;
    let range = |p: &Rgb<u8>| f64::from(p.0.iter().max().unwrap() - p.0.iter().min().unwrap());
    (light, part.pixels().map(range).sum::<f64>() / count)
}

#[test]
fn skin_detail_grows_with_age() {
    for (name, aligned) in samples() {
        let details: Vec<f64> = aged(&aligned, &AGES).iter().map(|picture| skin_detail(picture, &aligned)).collect();
        assert!(details.is_sorted(), "{name}: {details:.3?}");
        assert!(details[10] > 1.3 * details[4] && details[0] < 0.97 * details[4], "{name}: {details:.3?}");
    }
}

#[test]
fn hair_turns_lighter_and_loses_its_colour() {
    let aligned = sample();
    let tones: Vec<_> = aged(&aligned, &AGES[4..]).iter().map(|picture| tone(picture, 420, 120, 240, 90)).collect();
    for pair in tones.windows(2) {
        assert!(pair[1].0 >= pair[0].0 - 0.1 && pair[1].1 <= pair[0].1 + 0.1, "{tones:?}");
    }
    assert!(tones[6].1 < 0.5 * tones[0].1, "{tones:?}");
}

#[test]
fn the_source_age_is_the_portrait_itself() {
    for (name, aligned) in samples() {
        let [same] = &aged(&aligned, &[35])[..] else { panic!("one age") };
        let furthest = same.iter().zip(aligned.picture.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(furthest <= 1, "{name}: {furthest}");
    }
}

/// The parts are the wall on both sides of the head, and the collar in the corner.
#[test]
fn the_background_does_not_change() {
    let aligned = sample();
    for (age, picture) in AGES.into_iter().zip(aged(&aligned, &AGES)) {
        for (left, top, width, height) in [(0, 0, 60, 640), (984, 60, 40, 560), (0, 900, 60, 124)] {
            let part = |picture: &RgbImage| imageops::crop_imm(picture, left, top, width, height).to_image();
            let (before, after) = (part(&aligned.picture), part(&picture));
            let furthest = before.iter().zip(after.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(furthest <= 2, "{age} at ({left}, {top}): {furthest}");
        }
    }
}

#[test]
fn distant_ages_differ_and_neighbouring_ages_hardly() {
    let aligned = sample();
    let ages = [5, 6, 34, 35, 36, 60, 61, 80];
    let pictures = aged(&aligned, &ages);
    let difference = |one: usize, other: usize| {
        let pairs = pictures[one].iter().zip(pictures[other].iter());
        pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / pictures[one].len() as f64
    };
    for (one, other) in [(0, 1), (2, 3), (3, 4), (5, 6)] {
        assert!(difference(one, other) < 1.0, "{} and {}: {}", ages[one], ages[other], difference(one, other));
    }
    assert!(difference(0, 3) > 3.0 && difference(3, 7) > 3.0, "{} {}", difference(0, 3), difference(3, 7));
}
