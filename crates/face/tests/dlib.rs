//! The detector and the predictor give dlib's answers. `make_dlib_answers.py` recorded them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use face::{Detector, Landmarks, Point, RgbImage, Sampling, ShapePredictor};
use image::{GenericImage, Rgb, imageops};
use serde_json::Value;

fn sample() -> RgbImage {
    image::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/astronaut.png")).unwrap().into_rgb8()
}

/// The picture to which `make_dlib_answers.py` gives this name.
fn picture(name: &str) -> RgbImage {
    let portrait = sample();
    let each = |map: &dyn Fn(Rgb<u8>) -> Rgb<u8>| {
        let mut picture = portrait.clone();
        picture.pixels_mut().for_each(|pixel| *pixel = map(*pixel));
        picture
    };
    match name {
        "portrait" => portrait,
        "mirrored" => imageops::flip_horizontal(&portrait),
        "half" => RgbImage::from_fn(256, 256, |x, y| {
            let quarter = |channel: usize| {
                let of = |dx, dy| u32::from(portrait.get_pixel(2 * x + dx, 2 * y + dy).0[channel]);
                ((of(0, 0) + of(1, 0) + of(0, 1) + of(1, 1)) / 4) as u8
            };
            Rgb([quarter(0), quarter(1), quarter(2)])
        }),
        "dark" => each(&|pixel| Rgb(pixel.0.map(|value| (u32::from(value) * 3 / 8) as u8))),
        "framed" => {
            let mut framed = RgbImage::from_pixel(640, 560, Rgb([90; 3]));
            framed.copy_from(&portrait, 100, 30).unwrap();
            framed
        }
        "cropped" => imageops::crop_imm(&portrait, 120, 40, 217, 191).to_image(),
        "grey" => each(&|pixel| Rgb([pixel.0[1]; 3])),
        _ => panic!("no picture is called {name}"),
    }
}

#[test]
fn rectangles_scores_filters_and_landmarks_equal_dlibs() {
    let answers: Value = serde_json::from_str(include_str!("fixtures/dlib.json")).unwrap();
    let (detector, predictor) = (Detector::built_in().unwrap(), ShapePredictor::built_in().unwrap());
    let mut faces = 0;
    for (name, answers) in answers.as_object().unwrap() {
        let picture = picture(name);
        for answer in answers.as_array().unwrap() {
            let (upsample, threshold) = (answer["upsample"].as_u64().unwrap(), answer["threshold"].as_f64().unwrap());
            let found = detector.detect(&picture, upsample as u32, threshold);
            let expected = answer["faces"].as_array().unwrap();
            let at = format!("{name}, upsampling {upsample}, threshold {threshold}: {found:?}");
            assert_eq!(found.len(), expected.len(), "{at}");
            for (found, expected) in found.iter().zip(expected) {
                let rectangle = found.rectangle;
                let sides = [rectangle.left, rectangle.top, rectangle.right, rectangle.bottom];
                assert_eq!(
                    sides.map(Value::from),
                    ["left", "top", "right", "bottom"].map(|side| expected[side].clone()),
                    "{at}"
                );
                assert_eq!(Value::from(found.filter), expected["filter"], "{at}");
                assert!((found.score - expected["score"].as_f64().unwrap()).abs() < 1e-4, "{at}");
                assert_eq!(predictor.predict(&picture, &rectangle), points(&expected["landmarks"]), "{at}");
                faces += 1;
            }
        }
    }
    assert!(faces > 20, "{faces} faces are too few for a comparison");
}

fn points(values: &Value) -> Landmarks {
    let mut landmarks = Landmarks::default();
    let values = values.as_array().unwrap();
    assert_eq!(values.len(), landmarks.0.len());
    for (point, value) in landmarks.0.iter_mut().zip(values) {
        *point = Point { x: value[0].as_f64().unwrap(), y: value[1].as_f64().unwrap() };
    }
    landmarks
}

/// The fixture is the crop that SAM's public predictor cuts from the sample portrait: 256 pixels a side, from these
/// points. It holds the means of blocks of 8 x 8 pixels.
#[test]
fn the_crop_equals_that_of_sams_public_predictor() {
    let points = points(&serde_json::from_str(include_str!("fixtures/crop_points.json")).unwrap());
    let expected = image::load_from_memory(include_bytes!("fixtures/crop_means.png")).unwrap().into_rgb8();
    let crop = face::align(&sample(), &points, 256, Sampling::Sam).unwrap().picture;
    let mut furthest = 0.0f64;
    for (x, y, pixel) in expected.enumerate_pixels() {
        let block = imageops::crop_imm(&crop, 8 * x, 8 * y, 8, 8).to_image();
        for channel in 0..3 {
            let mean = block.pixels().map(|pixel| f64::from(pixel.0[channel])).sum::<f64>() / 64.0;
            furthest = furthest.max((mean - f64::from(pixel.0[channel])).abs());
        }
    }
    assert!(furthest <= 0.6, "{furthest}: rounding explains half a level");
}
