use std::path::Path;

use container::model_folder;
use nn::Device;
use nn::checkpoint::Checkpoint;
use picture::RgbImage;
use vision::boxes::Thresholds;
use vision::{ColorOrder, Face, FaceDetector};

use super::found::{Finder, Found};

/// RetinaFace or DSFD.
pub(super) struct Faces(FaceDetector);

impl Faces {
    pub(super) fn open(folder: &Path, device: Device) -> anyhow::Result<Self> {
        let checkpoint = Checkpoint::open(&model_folder::checkpoint(folder)?)?;
        Ok(Self(FaceDetector::load(&vision::identify(&checkpoint, None)?, device)?))
    }
}

impl Finder for Faces {
    fn nouns(&self) -> [&'static str; 2] {
        ["face", "faces"]
    }

    fn find(&self, picture: &RgbImage, threshold: f32) -> anyhow::Result<Vec<Found>> {
        let thresholds = Thresholds { confidence: threshold, ..Thresholds::default() };
        let faces = self.0.detect(picture, ColorOrder::Rgb, thresholds)?;
        let found = |Face { corners, score, landmarks, .. }: Face| Found {
            corners,
            score,
            class: None,
            landmarks: landmarks.map(Vec::from),
        };
        Ok(faces.into_iter().map(found).collect())
    }
}
