//! The models that are built in, trained by `notebooks/train_face_models.py`.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::{Detector, ModelError, ShapePredictor};

const DETECTOR: &[u8] = include_bytes!("../models/detector.svm");
const LANDMARKS: &[u8] = include_bytes!("../models/landmarks.dat.gz");

impl Detector {
    /// The small detector that is built in.
    ///
    /// # Errors
    /// None, unless the build is broken.
    pub fn built_in() -> Result<Self, ModelError> {
        Self::read(DETECTOR)
    }
}

impl ShapePredictor {
    /// The small predictor that is built in.
    ///
    /// # Errors
    /// None, unless the build is broken.
    pub fn built_in() -> Result<Self, ModelError> {
        let mut bytes = Vec::new();
        GzDecoder::new(LANDMARKS).read_to_end(&mut bytes).map_err(|_| ModelError::BuiltIn)?;
        Self::read(&bytes)
    }
}
