//! Face models in dlib's format, from an unknown source, are read. Those that can be read are run on a picture.
#![no_main]

use std::sync::LazyLock;

use face::{Detector, FaceError, Rectangle, RgbImage, Sampling, ShapePredictor};
use libfuzzer_sys::fuzz_target;

/// A picture with edges in all directions.
static PICTURE: LazyLock<RgbImage> = LazyLock::new(|| {
    let mut picture = RgbImage::new(48, 40);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let mixed = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519);
        pixel.0 = [(mixed >> 8) as u8, (mixed >> 16) as u8, (mixed >> 24) as u8];
    }
    picture
});

// A model and the features of the small picture take a few times the size of the file.
fuzz_target!(init: fuzz::limit_memory(16, 64), |bytes: &[u8]| {
    match Detector::read(bytes) {
        Ok(detector) => {
            let filters = detector.detect(&PICTURE, 1, -1000.0);
            assert!(filters.iter().all(|found| !found.score.is_nan()), "{filters:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match ShapePredictor::read(bytes) {
        Ok(predictor) => {
            let landmarks = predictor.predict(&PICTURE, &Rectangle { left: -5, top: 3, right: 40, bottom: 49 });
            match face::align(&PICTURE, &landmarks, 32, Sampling::Sam) {
                Ok(aligned) => assert_eq!(aligned.picture.dimensions(), (32, 32)),
                Err(error) => assert!(matches!(error, FaceError::Landmarks { .. }), "{error}"),
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
