//! In changed copies of the sample portrait, the finder finds the same face and the crop looks the same.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::LazyLock;

use face::{Detector, FaceError, FaceFinder, Landmarks, Point, RgbImage, Sampling, ShapePredictor};
use image::{GenericImage, Rgb, imageops};

static FINDER: LazyLock<FaceFinder> = LazyLock::new(|| FaceFinder {
    detector: Detector::built_in().unwrap(),
    predictor: ShapePredictor::built_in().unwrap(),
});

fn sample() -> RgbImage {
    image::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/astronaut.png")).unwrap().into_rgb8()
}

/// The mean distance between the eyes and mouth corners of two faces, in units of the first face's eye distance.
fn distance(one: &Landmarks, other: &Landmarks) -> f64 {
    let places = |landmarks: &Landmarks| [landmarks.eyes(), landmarks.mouth_corners()].concat();
    let apart = |one: Point, other: Point| (one.x - other.x).hypot(one.y - other.y);
    let [left, right] = one.eyes();
    let sum: f64 = places(one).into_iter().zip(places(other)).map(|(one, other)| apart(one, other)).sum();
    sum / 4.0 / apart(left, right)
}

/// The points of a mirrored face, in the usual order.
fn mirrored(landmarks: &Landmarks, width: f64) -> Landmarks {
    let pairs = [
        (0..17).zip((0..17).rev()).collect::<Vec<_>>(),
        (17..27).zip((17..27).rev()).collect(),
        (27..31).zip(27..31).collect(),
        (31..36).zip((31..36).rev()).collect(),
        vec![
            (36, 45),
            (37, 44),
            (38, 43),
            (39, 42),
            (40, 47),
            (41, 46),
            (42, 39),
            (43, 38),
            (44, 37),
            (45, 36),
            (46, 41),
            (47, 40),
        ],
        (48..55).zip((48..55).rev()).collect(),
        (55..60).zip((55..60).rev()).collect(),
        (60..65).zip((60..65).rev()).collect(),
        (65..68).zip((65..68).rev()).collect(),
    ];
    let mut swapped = *landmarks;
    for (to, from) in pairs.into_iter().flatten() {
        swapped.0[to] = Point { x: width - 1.0 - landmarks.0[from].x, y: landmarks.0[from].y };
    }
    swapped
}

/// The picture, rotated clockwise about its middle by bilinear sampling, grey beyond its edges; and the same rotation of
/// a point.
fn rotated(picture: &RgbImage, degrees: f64) -> (RgbImage, impl Fn(Point) -> Point) {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let middle = (f64::from(picture.width()) - 1.0) / 2.0;
    let turned = RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let (x, y) = (f64::from(x) - middle, f64::from(y) - middle);
        let (x, y) = (cosine * x + sine * y + middle, cosine * y - sine * x + middle);
        imageops::interpolate_bilinear(picture, x as f32, y as f32).unwrap_or(Rgb([128; 3]))
    });
    let forwards = move |point: Point| {
        let (x, y) = (point.x - middle, point.y - middle);
        Point { x: cosine * x - sine * y + middle, y: cosine * y + sine * x + middle }
    };
    (turned, forwards)
}

/// The mean difference between the inner halves of two crops, in levels.
fn difference(one: &RgbImage, other: &RgbImage) -> f64 {
    assert_eq!(one.dimensions(), other.dimensions());
    let side = one.width();
    let inner = |picture: &RgbImage| imageops::crop_imm(picture, side / 4, side / 4, side / 2, side / 2).to_image();
    // Blurred, so that a shift of one pixel at an edge does not count.
    let [one, other] = [one, other].map(|picture| imageops::blur(&inner(picture), side as f32 / 64.0));
    let sum: u64 = one.as_raw().iter().zip(other.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / one.as_raw().len() as f64
}

fn crop(picture: &RgbImage, landmarks: &Landmarks) -> RgbImage {
    face::align(picture, landmarks, 256, Sampling::Sam).unwrap().picture
}

#[test]
fn a_mirrored_copy_has_the_mirrored_landmarks() {
    let (portrait, original) = (sample(), FINDER.portrait(&sample()).unwrap().landmarks);
    let mirror = imageops::flip_horizontal(&portrait);
    let found = FINDER.portrait(&mirror).unwrap().landmarks;
    let apart = distance(&mirrored(&original, 512.0), &found);
    assert!(apart < 0.12, "{apart}");
    let difference = difference(&imageops::flip_horizontal(&crop(&portrait, &original)), &crop(&mirror, &found));
    assert!(difference < 12.0, "{difference}");
}

#[test]
fn crops_of_rotated_copies_are_upright() {
    let (portrait, original) = (sample(), FINDER.portrait(&sample()).unwrap().landmarks);
    for degrees in [-15.0, -7.0, 7.0, 15.0] {
        let (turned, forwards) = rotated(&portrait, degrees);
        let found = FINDER.portrait(&turned).unwrap().landmarks;
        let apart = distance(&original.map(forwards), &found);
        assert!(apart < 0.12, "{degrees} {apart}");
        let difference = difference(&crop(&portrait, &original), &crop(&turned, &found));
        assert!(difference < 12.0, "{degrees} {difference}");
    }
}

#[test]
fn bordered_and_enlarged_copies_have_the_same_face() {
    let (portrait, original) = (sample(), FINDER.portrait(&sample()).unwrap().landmarks);
    let mut bordered = RgbImage::from_pixel(900, 700, Rgb([250, 250, 250]));
    bordered.copy_from(&portrait, 150, 90).unwrap();
    let found = FINDER.portrait(&bordered).unwrap().landmarks;
    let moved = original.map(|point| Point { x: point.x + 150.0, y: point.y + 90.0 });
    assert!(distance(&moved, &found) < 0.12, "{}", distance(&moved, &found));
    assert!(difference(&crop(&portrait, &original), &crop(&bordered, &found)) < 12.0);

    // So many pixels that a reduced picture is searched first.
    let large = imageops::resize(&portrait, 2048, 2048, imageops::FilterType::CatmullRom);
    let found = FINDER.portrait(&large).unwrap().landmarks;
    let scaled = original.map(|point| Point { x: 4.0 * point.x + 1.5, y: 4.0 * point.y + 1.5 });
    assert!(distance(&scaled, &found) < 0.12, "{}", distance(&scaled, &found));
    let smooth = face::align(&large, &found, 256, Sampling::Smooth).unwrap().picture;
    assert!(difference(&crop(&portrait, &original), &smooth) < 12.0);
}

/// The face is at the edge of its picture. Existing pixels stay, and the missing ones are filled without a seam.
#[test]
fn a_crop_beyond_the_edge_is_filled() {
    let (portrait, landmarks) = (sample(), FINDER.portrait(&sample()).unwrap().landmarks);
    let (left, top, size) = (170, 60, 160);
    let cut = imageops::crop_imm(&portrait, left, top, size, size).to_image();
    let moved = landmarks.map(|point| Point { x: point.x - f64::from(left), y: point.y - f64::from(top) });
    let (whole, continued) = (crop(&portrait, &landmarks), crop(&cut, &moved));
    assert!(difference(&whole, &continued) < 6.0, "{}", difference(&whole, &continued));
    let black = |picture: &RgbImage| picture.pixels().filter(|pixel| pixel.0 == [0; 3]).count();
    assert!(black(&continued) <= black(&whole), "a black wedge shows");
    // The added pixels are blurred, so neighbouring pixels differ little.
    let edge = ((landmarks.0[27].y - f64::from(top)) / 3.0) as u32;
    let column = |x: u32| (1..edge).map(move |y| (x, y));
    let step = |(x, y): (u32, u32)| continued.get_pixel(x, y).0[1].abs_diff(continued.get_pixel(x, y - 1).0[1]);
    assert!(column(128).map(step).max().unwrap() < 25);
}

#[test]
fn the_largest_face_is_used_and_a_small_one_refused() {
    let portrait = sample();
    let mut pair = RgbImage::from_pixel(1200, 700, Rgb([120, 130, 140]));
    pair.copy_from(&imageops::resize(&portrait, 300, 300, imageops::FilterType::CatmullRom), 20, 20).unwrap();
    pair.copy_from(&portrait, 500, 100).unwrap();
    let face = FINDER.portrait(&pair).unwrap();
    assert!(face.detection.rectangle.left > 500 && face.detection.score > 0.0, "{:?}", face.detection);

    let small = imageops::resize(&portrait, 220, 220, imageops::FilterType::CatmullRom);
    let error = FINDER.portrait(&small).unwrap_err();
    let FaceError::TooSmall { width, .. } = error else { panic!("{error}") };
    assert!(width < 48 && error.to_string().contains(&format!("is {width} pixels wide: at least 48")), "{error}");
}

#[test]
fn the_landmarks_of_a_crop_fit_its_pixels() {
    let portrait = sample();
    let landmarks = FINDER.portrait(&portrait).unwrap().landmarks;
    for size in [64, 256, 1000] {
        let aligned = face::align(&portrait, &landmarks, size, Sampling::Sam).unwrap();
        let [left, right] = aligned.landmarks.eyes();
        let side = f64::from(size);
        assert!((left.y - right.y).abs() < 0.05 * side, "the eyes are not level");
        assert!(((left.x + right.x) / 2.0 - side / 2.0).abs() < 0.05 * side, "the eyes are not centred");
        assert!((0.3..0.5).contains(&(left.y / side)), "{left:?}");
        // At each landmark, the crop has the colour that the picture has there.
        for (at, from) in aligned.landmarks.0.iter().zip(&landmarks.0) {
            let (x, y) = (at.x.round() as u32, at.y.round() as u32);
            if let (Some(there), true) = (aligned.picture.get_pixel_checked(x, y), size == 1000) {
                let here = portrait.get_pixel(from.x as u32, from.y as u32);
                assert!(there.0.iter().zip(here.0).all(|(a, b)| a.abs_diff(b) < 12), "{at:?} {there:?} {here:?}");
            }
        }
    }
}
