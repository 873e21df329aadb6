//! The built-in models, trained by `notebooks/train_face_models.py`.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::{Detector, FaceModelFormatError, ShapePredictor};

const DETECTOR: &[u8] = include_bytes!("../models/detector.svm");
const LANDMARKS: &[u8] = include_bytes!("../models/landmarks.dat.gz");

impl Detector {
    /// The small built-in detector.
    ///
    /// # Errors
    /// [`FaceModelFormatError`] only if the build is broken.
    pub fn built_in() -> Result<Self, FaceModelFormatError> {
        Self::read(DETECTOR)
    }
}

impl ShapePredictor {
    /// The small built-in predictor.
    ///
    /// # Errors
    /// [`FaceModelFormatError`] only if the build is broken.
    pub fn built_in() -> Result<Self, FaceModelFormatError> {
        let mut bytes = Vec::new();
        GzDecoder::new(LANDMARKS).read_to_end(&mut bytes).map_err(|_| FaceModelFormatError::BuiltIn)?;
        Self::read(&bytes)
    }
}
