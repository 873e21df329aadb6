//! Made-up weights of a face detector. Real ones are no part of the repository.

use std::path::{Path, PathBuf};

use nn::checkpoint::save;
use serde_json::Value;
use vision::FaceNetwork;

use crate::support::repository;

/// What the reference code computed with the same weights.
pub(crate) fn golden() -> PathBuf {
    repository().join("crates/vision/tests/golden/retinaface")
}

/// Writes a checkpoint of RetinaFace on MobileNetV1, always with the same weights. They find boxes where there are no faces.
pub(crate) fn write_made_up(checkpoint: &Path) {
    let list: Value = serde_json::from_slice(&std::fs::read(golden().join("tensors_mnet025.json")).unwrap()).unwrap();
    let tensors = FaceNetwork::RetinaFaceMobileNetV1.tensors();
    let weights = nn::made_up_with_salt("made up", tensors, 73286, |name, _| {
        let tensor = list.as_array().unwrap().iter().find(|tensor| tensor["name"] == name).unwrap();
        (tensor["scale"].as_f64().unwrap(), tensor["shift"].as_f64().unwrap())
    });
    save(&weights, None, checkpoint, &mut |_, _| ()).unwrap();
}
