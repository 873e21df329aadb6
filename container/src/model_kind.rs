//! Which of the container's models is served.

use std::path::Path;
use std::str::FromStr;

use nn::checkpoint::Checkpoint;

use crate::environment::Environment;
use crate::handlers::ssd;
use crate::model_folder;

/// A model that this container can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind {
    /// [`handlers::face_aging`](crate::handlers::face_aging).
    FaceAging,
    /// [`handlers::face_detector`](crate::handlers::face_detector).
    FaceDetector,
    /// [`handlers::classifier`](crate::handlers::classifier).
    Classifier,
    /// [`handlers::faster_rcnn`](crate::handlers::faster_rcnn).
    FasterRcnn,
    /// [`handlers::ssd`](crate::handlers::ssd).
    Ssd,
}

impl FromStr for ModelKind {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "face-aging" => Ok(Self::FaceAging),
            "face-detector" => Ok(Self::FaceDetector),
            "classifier" => Ok(Self::Classifier),
            "faster-rcnn" => Ok(Self::FasterRcnn),
            "ssd" => Ok(Self::Ssd),
            _ => Err(()),
        }
    }
}

impl ModelKind {
    /// `MODEL_KIND`. Unset, it is a face detector where `MODEL_NAME` is set. A model folder with a folder `graph` or a
    /// `pipeline.config` is that of an SSD. Else the only checkpoint of the model folder tells a face detector, a classifier or a Faster
    /// R-CNN. Without one, it is face ageing.
    ///
    /// # Errors
    /// Another word, or a model folder that cannot be read.
    pub fn of(environment: &Environment) -> anyhow::Result<Self> {
        let known = "face-aging, face-detector, classifier, faster-rcnn or ssd";
        if let Some(kind) = environment.parsed("MODEL_KIND", known, |_| true)? {
            return Ok(kind);
        }
        if environment.parsed("MODEL_NAME", "a name", |_: &String| true)?.is_some() {
            return Ok(Self::FaceDetector);
        }
        let folder = environment.model_dir()?;
        Ok(folder.as_deref().map(Self::of_folder).transpose()?.unwrap_or(Self::FaceAging))
    }

    /// What the files of a model folder tell.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn of_folder(folder: &Path) -> anyhow::Result<Self> {
        if ssd::is_model(folder) {
            return Ok(Self::Ssd);
        }
        let files = model_folder::checkpoints(folder)?;
        let Some(file) = model_folder::preferred(&files) else { return Ok(Self::FaceAging) };
        // A file that cannot be read is another handler's to refuse.
        let Ok(checkpoint) = Checkpoint::open(file) else { return Ok(Self::FaceAging) };
        Ok(if vision::identify(&checkpoint, None).is_ok() {
            Self::FaceDetector
        } else if vision::classifier::identify(&checkpoint).is_ok() {
            Self::Classifier
        } else if vision::faster_rcnn::is_one(&checkpoint) {
            Self::FasterRcnn
        } else {
            Self::FaceAging
        })
    }
}

#[cfg(test)]
mod tests {
    use nn::checkpoint::save;
    use vision::FaceNetwork;

    use super::*;
    use crate::environment::only;

    fn kind(name: &str, value: &str) -> ModelKind {
        ModelKind::of(&only(name, value)).unwrap()
    }

    #[test]
    fn the_environment_or_the_checkpoint_decides() {
        assert_eq!(kind("MODEL_KIND", "face-detector"), ModelKind::FaceDetector);
        assert_eq!(kind("MODEL_KIND", "face-aging"), ModelKind::FaceAging);
        assert_eq!(kind("MODEL_KIND", "classifier"), ModelKind::Classifier);
        assert_eq!(kind("MODEL_KIND", "faster-rcnn"), ModelKind::FasterRcnn);
        assert_eq!(kind("MODEL_KIND", "ssd"), ModelKind::Ssd);
        assert_eq!(kind("MODEL_NAME", "DSFDDetector"), ModelKind::FaceDetector);
        let error = ModelKind::of(&only("MODEL_KIND", "faces")).unwrap_err().to_string();
        assert!(error.contains("face-aging, face-detector, classifier, faster-rcnn or ssd would work"), "{error}");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert_eq!(kind("SM_MODEL_DIR", path), ModelKind::FaceAging);
        let file = folder.path().join("model.safetensors");
        std::fs::write(&file, "no checkpoint").unwrap();
        assert_eq!(kind("SM_MODEL_DIR", path), ModelKind::FaceAging);
        let tensors = FaceNetwork::RetinaFaceMobileNetV1.tensors();
        let checkpoint = nn::made_up("made up", tensors, |_, _| (0.1, 0.0));
        save(&checkpoint, None, &file, &mut |_, _| ()).unwrap();
        assert_eq!(kind("SM_MODEL_DIR", path), ModelKind::FaceDetector);
        let tensors = vision::classifier::tensors(vision::classifier::Body::ResNet18, 2);
        save(&nn::made_up("made up", tensors, |_, _| (0.1, 0.0)), None, &file, &mut |_, _| ()).unwrap();
        assert_eq!(kind("SM_MODEL_DIR", path), ModelKind::Classifier);
        let tensors = [("model.roi_heads.box_predictor.cls_score.weight".to_owned(), vec![3, 4])];
        save(&nn::made_up("made up", tensors, |_, _| (0.1, 0.0)), None, &file, &mut |_, _| ()).unwrap();
        assert_eq!(kind("SM_MODEL_DIR", path), ModelKind::FasterRcnn);
        std::fs::create_dir(folder.path().join("graph")).unwrap();
        assert_eq!(kind("SM_MODEL_DIR", path), ModelKind::Ssd);
    }
}
