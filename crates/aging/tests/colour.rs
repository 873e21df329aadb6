//! A photograph in the colours of a phone becomes the same portrait as in sRGB.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Cursor;

use aging::preview::Preview;
use aging::{Aligner, Engine, EngineKind, PANEL, strip};
use image::codecs::png::{PngDecoder, PngEncoder};
use image::{ExtendedColorType, ImageDecoder, ImageEncoder, RgbImage};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// From linear sRGB to linear Display P3; both have the white D65 (CSS Color 4, 18).
const TO_P3: [[f64; 3]; 3] =
    [[0.822_461_97, 0.177_538_03, 0.0], [0.033_194_20, 0.966_805_80, 0.0], [0.017_082_63, 0.072_397_44, 0.910_519_93]];

/// The levels of Display P3 that show the colours of a picture in sRGB. Both have the same curve.
fn to_p3(picture: &RgbImage) -> RgbImage {
    let linear = |level: u8| {
        let level = f64::from(level) / 255.0;
        if level <= 0.04045 { level / 12.92 } else { ((level + 0.055) / 1.055).powf(2.4) }
    };
    let level = |light: f64| {
        let level = if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
        (255.0 * level).round().clamp(0.0, 255.0) as u8
    };
    let mut converted = picture.clone();
    for pixel in converted.pixels_mut() {
        let light = pixel.0.map(linear);
        pixel.0 = TO_P3.map(|row| level(row.iter().zip(light).map(|(factor, light)| factor * light).sum()));
    }
    converted
}

fn png(picture: &RgbImage, profile: Option<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile).unwrap();
    }
    encoder.write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8).unwrap();
    bytes
}

/// The mean range of the three channels, in levels: how colourful a picture is.
fn chroma(picture: &RgbImage) -> f64 {
    let range = |level: &[u8; 3]| f64::from(level.iter().max().unwrap() - level.iter().min().unwrap());
    picture.pixels().map(|pixel| range(&pixel.0)).sum::<f64>() / f64::from(picture.width() * picture.height())
}

#[test]
fn a_portrait_in_display_p3_is_as_colourful_as_in_srgb() {
    let fixture = std::fs::read(format!("{ROOT}/crates/picture/tests/fixtures/profiles/display-p3.png")).unwrap();
    let profile = PngDecoder::new(Cursor::new(fixture)).unwrap().icc_profile().unwrap().unwrap();
    let photograph = image::open(format!("{ROOT}/examples/astronaut.png")).unwrap().into_rgb8();
    let phone = to_p3(&photograph);
    for kind in [EngineKind::Preview, EngineKind::Sam] {
        let aligner = Aligner::load(&[], kind).unwrap();
        let portrait = |file: &[u8]| aligner.portrait(&picture::decode(file).unwrap()).unwrap();
        let srgb = portrait(&png(&photograph, None));
        let converted = portrait(&png(&phone, Some(profile.clone())));
        let ignored = portrait(&png(&phone, None));
        let [wanted, found, pale] = [&srgb, &converted, &ignored].map(|portrait| chroma(&portrait.panel));
        assert!((found - wanted).abs() < 0.3, "{kind:?}: {found} for {wanted}");
        assert!(pale < wanted - 1.5, "{kind:?}: {pale} for {wanted}");
        if kind == EngineKind::Sam {
            continue;
        }
        // Through the engine: panel 0 of the strip.
        let aligned = converted.panel.clone();
        let mut pixels = Vec::new();
        strip::append(&Engine::Preview(Preview), converted, &[70], &mut pixels, &|_| true).unwrap();
        let strip = RgbImage::from_raw(2 * PANEL, PANEL, pixels).unwrap();
        let panel = image::imageops::crop_imm(&strip, 0, 0, PANEL, PANEL).to_image();
        assert_eq!(panel, aligned);
    }
}
