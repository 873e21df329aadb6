//! Broken model files and pictures without a face give an answer or an error, never a panic.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::LazyLock;

use face::{
    Detector, FaceError, FaceFinder, FaceModelFormatError, Landmarks, POINTS, Point, Rectangle, RgbImage, Sampling,
    ShapePredictor,
};
use image::Rgb;
use proptest::collection::vec;
use proptest::prelude::*;

/// Writes numbers as dlib does.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn integers(mut self, values: impl IntoIterator<Item = i64>) -> Self {
        for value in values {
            let bytes = value.unsigned_abs().to_le_bytes();
            let length = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0) + 1;
            self.0.push(length as u8 | if value < 0 { 0x80 } else { 0 });
            self.0.extend(&bytes[..length]);
        }
        self
    }

    /// Each number written is `value` / 1024.
    fn floats(self, values: impl IntoIterator<Item = i64>) -> Self {
        self.integers(values.into_iter().flat_map(|value| [value, -10]))
    }
}

/// Two filters over a window of 2 x 3 cells.
fn detector() -> Vec<u8> {
    let weights = 31 * 2 * 3;
    let mut writer = Writer::default()
        .integers([2, 1, 0, 0, 8, 0, 24, 16, 100, 24, 24])
        .floats([0])
        .integers([weights])
        .floats([512, 1024])
        .integers([2]);
    for filter in 0..2 {
        writer = writer.integers([-(weights + 1), -1]).floats((0..=weights).map(|at| (at * 37 + filter) % 400 - 200));
    }
    writer.0
}

/// Two cascades of two trees of three splits, over four pixels.
fn predictor() -> Vec<u8> {
    let coordinates = 2 * POINTS as i64;
    let shape = |writer: Writer, step: i64| {
        writer.integers([-coordinates, -1]).floats((0..coordinates).map(move |at| at * step % 1024))
    };
    let mut writer = shape(Writer::default().integers([1]), 7).integers([2]);
    for _ in 0..2 {
        writer = writer.integers([2]);
        for _ in 0..2 {
            writer = writer.integers([3]);
            for split in 0..3 {
                writer = writer.integers([split, 3 - split]).floats([1024 * split]);
            }
            writer = (0..4).fold(writer.integers([4]), &shape);
        }
    }
    writer = writer.integers([2, 4, 0, 20, 40, 67, 4, 3, 2, 1, 0]);
    writer.integers([2, 4]).floats(0..8).integers([4]).floats(-8..0).0
}

fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let mixed = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503) ^ seed).wrapping_mul(2_246_822_519);
        Rgb([(mixed >> 8) as u8, (mixed >> 16) as u8, (mixed >> 24) as u8])
    })
}

/// Runs models that could be read, though their bytes are broken.
fn try_out(detector: Option<&Detector>, predictor: Option<&ShapePredictor>) {
    let picture = picture(60, 50, 7);
    if let Some(detector) = detector {
        detector.detect(&picture, 1, -1000.0);
    }
    if let Some(predictor) = predictor {
        let points = predictor.predict(&picture, &Rectangle { left: -5, top: 3, right: 40, bottom: 49 });
        let _ = face::align(&picture, &points, 64, Sampling::Sam);
    }
}

#[test]
fn the_small_models_of_these_tests_are_valid() {
    let detector = Detector::read(&detector()).unwrap();
    assert_eq!(detector.window(), [24, 16]);
    let found = detector.detect(&picture(120, 90, 1), 0, -1000.0);
    assert!(!found.is_empty() && found.iter().any(|found| found.filter == 1));
    let predictor = ShapePredictor::read(&predictor()).unwrap();
    let points = predictor.predict(&picture(60, 50, 1), &Rectangle { left: 0, top: 0, right: 49, bottom: 49 });
    assert!(points.0.iter().all(|point| point.x.is_finite() && point.y.fract() == 0.0));
}

/// The smallest window is one cell. Its planes are as short as the threshold that follows them.
#[test]
fn a_detector_with_a_window_of_one_cell_works() {
    let head = Writer::default().integers([2, 1, 0, 0, 8, 0, 8, 8, 100, 24, 24]).floats([0]);
    let filter = head.integers([31]).floats([512, 1024]).integers([1, -32, -1]).floats(0..32);
    let detector = Detector::read(&filter.0).unwrap();
    assert_eq!(detector.window(), [8, 8]);
    assert!(!detector.detect(&picture(90, 60, 2), 1, -1000.0).is_empty());
}

/// Every window is a face, no two overlap, and there are 1,000 pyramid levels.
#[test]
fn the_hits_of_a_detector_that_accepts_every_window_are_limited() {
    let detector = |levels: i64, least: i64, hull: i64| {
        let head = Writer::default().integers([2, 1, 0, 0, 8, 0, 8, 8, levels, least, least]).floats([0]);
        let filter = head.integers([31]).floats([hull, 1024]).integers([1, -32, -1]).floats(0..31);
        Detector::read(&filter.floats([-1_000_000_000]).0)
    };
    let found = detector(1000, 1, 1024).unwrap().detect(&picture(300, 200, 2), 2, 0.0);
    assert!((100..=10_000).contains(&found.len()), "{}", found.len());
    let message = |result: Result<Detector, FaceModelFormatError>| result.unwrap_err().to_string();
    assert!(message(detector(1 << 30, 1, 1024)).contains("the largest number of pyramid levels is 1073741824"));
    assert!(message(detector(100, 1, 2048)).contains("a number from 0 to 1"));
    let none = Writer::default().integers([2, 1, 0, 0, 8, 0, 8, 8, 9, 24, 24]).floats([0]);
    let none = none.integers([31]).floats([512, 1024]).integers([0]);
    assert!(message(Detector::read(&none.0)).starts_with("the number of filters is 0"));
}

#[test]
fn an_error_names_the_wrong_value() {
    let message = |bytes: &[u8]| Detector::read(bytes).unwrap_err().to_string();
    assert!(message(&[]).starts_with("the file ends at byte 0, within the detector's version"));
    assert!(message(&predictor()).contains("the scanner's version"), "{}", message(&predictor()));
    let other = |place: usize, value: u8| {
        let mut bytes = detector();
        bytes[place] = value;
        message(&bytes)
    };
    assert!(other(9, 4).starts_with("the cell size is 4"), "{}", other(9, 4));
    assert!(other(13, 200).contains("the width of the window") || other(13, 200).contains("the number of weights"));
    let mut longer = detector();
    longer.extend([1, 1, 1, 2]);
    Detector::read(&longer).unwrap();
    longer.push(0);
    assert!(matches!(Detector::read(&longer), Err(FaceModelFormatError::Trailing { extra: 1, .. })));

    let message = |bytes: &[u8]| ShapePredictor::read(bytes).unwrap_err().to_string();
    assert!(message(&detector()).starts_with("the shape predictor's version is 2"), "{}", message(&detector()));
    let five = Writer::default().integers([1, -10, -1]).floats(0..10).0;
    assert!(message(&five).contains("a matrix of 10 x 1"), "{}", message(&five));
}

/// The counts are billions, and a few bytes follow.
#[test]
fn counts_beyond_the_file_are_refused_before_allocating() {
    let shape = Writer::default().integers([1, -2 * POINTS as i64, -1]).floats(0..2 * POINTS as i64).0;
    for count in [1 << 20, 1 << 40, i64::MAX] {
        for prefix in [&shape[..], &[]] {
            let mut bytes = prefix.to_vec();
            bytes.extend(Writer::default().integers([1, count, count, count]).0);
            ShapePredictor::read(&bytes).unwrap_err();
        }
        let header = Writer::default().integers([2, 1, 0, 0, 8, 1, 80, 80, 100, 64, 64]).floats([0]);
        let bytes = header.integers([31 * 144]).floats([512, 1024]).integers([count]).0;
        assert!(Detector::read(&bytes).unwrap_err().to_string().starts_with("the number of filters is"));
    }
}

static FINDER: LazyLock<FaceFinder> = LazyLock::new(|| FaceFinder {
    detector: Detector::built_in().unwrap(),
    predictor: ShapePredictor::built_in().unwrap(),
});

#[test]
fn tiny_narrow_and_empty_pictures_have_no_face() {
    let black = |width, height| RgbImage::new(width, height);
    let pictures = [
        black(1, 1),
        black(1, 8000),
        black(8000, 1),
        black(300, 300),
        picture(400, 300, 3),
        picture(2, 900, 5),
        black(0, 0),
        black(19, 19),
    ];
    for picture in pictures {
        for upsample in 0..3 {
            FINDER.detector.detect(&picture, upsample, -0.5);
        }
        let error = FINDER.portrait(&picture).unwrap_err();
        let (width, height) = picture.dimensions();
        assert!(matches!(error, FaceError::None { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{width} x {height} pixels")), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn truncated_models_are_refused(share in 0.0..1.0f64) {
        let (detector, predictor) = (detector(), predictor());
        let cut = |bytes: &[u8]| bytes[..(bytes.len() as f64 * share) as usize].to_vec();
        prop_assert!(Detector::read(&cut(&detector)).is_err());
        prop_assert!(ShapePredictor::read(&cut(&predictor)).is_err());
    }

    #[test]
    fn models_with_changed_bytes_never_panic(places in vec((0.0..1.0f64, any::<u8>()), 1..6)) {
        let flip = |mut bytes: Vec<u8>| {
            for (share, value) in &places {
                let place = (bytes.len() as f64 * share) as usize;
                bytes[place] = *value;
            }
            bytes
        };
        try_out(Detector::read(&flip(detector())).ok().as_ref(), ShapePredictor::read(&flip(predictor())).ok().as_ref());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        try_out(Detector::read(&bytes).ok().as_ref(), ShapePredictor::read(&bytes).ok().as_ref());
    }

    #[test]
    fn pictures_of_any_size_never_panic(width in 1..140u32, height in 1..140u32, seed: u32, upsample in 0..2u32) {
        let picture = picture(width, height, seed);
        for found in FINDER.detector.detect(&picture, upsample, -2.0) {
            let points = FINDER.predictor.predict(&picture, &found.rectangle);
            prop_assert!(points.0.iter().all(|point| point.x.is_finite() && point.y.is_finite()));
        }
    }

    #[test]
    fn arbitrary_landmarks_never_panic(coordinates in vec(-400.0..800.0f64, 2 * POINTS), size in 1..300u32, smooth: bool) {
        let mut landmarks = Landmarks::default();
        for (point, place) in landmarks.0.iter_mut().zip(coordinates.as_chunks::<2>().0) {
            *point = Point { x: place[0], y: place[1] };
        }
        let sampling = if smooth { Sampling::Smooth } else { Sampling::Sam };
        match face::align(&picture(90, 70, 1), &landmarks, size, sampling) {
            Ok(aligned) => prop_assert_eq!(aligned.picture.dimensions(), (size, size)),
            Err(error) => {
                let is_expected = matches!(error, FaceError::Landmarks { .. });
                prop_assert!(is_expected);
            }
        }
    }
}

#[test]
fn landmarks_in_one_place_are_refused() {
    let picture = picture(90, 70, 1);
    for place in [0.0, 30.0, f64::NAN, f64::INFINITY, 1e300] {
        let landmarks = Landmarks([Point { x: place, y: place }; POINTS]);
        let error = face::align(&picture, &landmarks, 64, Sampling::Sam).unwrap_err();
        assert!(matches!(error, FaceError::Landmarks { .. }), "{error}");
    }
}
