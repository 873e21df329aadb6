//! Which of the container's models is served.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use aging::{CHECKPOINTS, EngineKind, NETWORKS};
use anyhow::bail;
use nn::checkpoint::Checkpoint;

use crate::environment::Environment;
use crate::handlers::ssd;
use crate::model_folder::{self, FolderError};

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
    /// `pipeline.config` is that of an SSD. Else it is the model of the folder's checkpoint: a face detector, a classifier or a Faster
    /// R-CNN. Without one, or with another one, it is face ageing.
    ///
    /// # Errors
    /// Another word, a model folder that cannot be read, or one with several checkpoints.
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

    /// The kind to serve: as [`ModelKind::of`]. Where no variable says `face-aging`, the preview engine does not stand in for a
    /// checkpoint that cannot be used.
    ///
    /// # Errors
    /// Those of [`ModelKind::of`], or the model folder has such a checkpoint.
    pub(crate) fn served(environment: &Environment) -> anyhow::Result<Self> {
        let kind = Self::of(environment)?;
        if kind == Self::FaceAging
            && !environment.has("MODEL_KIND")
            && let Some(folder) = environment.model_dir()?
        {
            check_usable(&folder)?;
        }
        Ok(kind)
    }

    /// The kind of the model whose files a folder has.
    ///
    /// # Errors
    /// The folder cannot be read, or has several checkpoints.
    pub fn of_folder(folder: &Path) -> anyhow::Result<Self> {
        if ssd::is_model(folder) {
            return Ok(Self::Ssd);
        }
        let files = model_folder::checkpoints(folder)?;
        let Some(file) = model_folder::preferred(&files) else {
            // Face ageing may have two: each of its own has a name that says what it is.
            let is_own = |file: &PathBuf| is_named(file, &CHECKPOINTS) || is_named(file, &NETWORKS);
            if files.is_empty() || files.iter().any(is_own) {
                return Ok(Self::FaceAging);
            }
            return Err(FolderError::several(folder, &files).into());
        };
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

/// Checks that a folder of face ageing without a checkpoint under its name has none under another name either.
fn check_usable(folder: &Path) -> anyhow::Result<()> {
    if EngineKind::of(Some(folder))? == EngineKind::Sam {
        return Ok(());
    }
    let files = model_folder::checkpoints(folder)?;
    if files.iter().all(|file| is_named(file, &NETWORKS)) {
        return Ok(());
    }
    let [file] = &files[..] else { return Err(FolderError::several(folder, &files).into()) };
    Checkpoint::open(file)?;
    let [first, second] = CHECKPOINTS;
    bail!(
        "{} is no checkpoint of a face detector, a classifier or a Faster R-CNN: one of these would work, or one of the \
         SAM network under the name {first} or {second}",
        file.display()
    )
}

fn is_named(file: &Path, names: &[&str]) -> bool {
    names.iter().any(|name| file.ends_with(name))
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

    #[test]
    fn of_several_checkpoints_none_is_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| std::fs::write(folder.path().join(name), "weights").unwrap();
        put("a.pth");
        put("b.pth");
        let error = ModelKind::of_folder(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("has several checkpoints (a.pth, b.pth): one of them would work"), "{error}");
        put("model.pt");
        assert_eq!(ModelKind::of_folder(folder.path()).unwrap(), ModelKind::FaceAging);

        let folder = tempfile::tempdir().unwrap();
        for name in NETWORKS {
            std::fs::write(folder.path().join(name), "weights").unwrap();
        }
        assert_eq!(ModelKind::of_folder(folder.path()).unwrap(), ModelKind::FaceAging);
    }

    #[test]
    fn the_preview_engine_does_not_stand_in_for_a_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let environment = only("SM_MODEL_DIR", folder.path().to_str().unwrap());
        let served = || ModelKind::served(&environment);
        let refused = || served().unwrap_err().to_string();
        assert_eq!(served().unwrap(), ModelKind::FaceAging);
        std::fs::write(folder.path().join("retinaface.pth"), "weights").unwrap();
        assert_eq!(served().unwrap(), ModelKind::FaceAging, "its handler refuses the file");
        let file = folder.path().join("pets.safetensors");
        std::fs::write(&file, "weights").unwrap();
        assert!(refused().contains("several checkpoints (pets.safetensors, retinaface.pth)"), "{}", refused());
        std::fs::remove_file(folder.path().join("retinaface.pth")).unwrap();
        assert!(refused().contains("pets.safetensors"), "{}", refused());
        let unknown = nn::made_up("made up", [("weight".to_owned(), vec![2])], |_, _| (0.1, 0.0));
        save(&unknown, None, &file, &mut |_, _| ()).unwrap();
        assert!(
            refused().contains("pets.safetensors is no checkpoint of a face detector, a classifier"),
            "{}",
            refused()
        );
        let chosen = environment.clone().with("MODEL_KIND", "face-aging".to_owned());
        assert_eq!(ModelKind::served(&chosen).unwrap(), ModelKind::FaceAging);
        std::fs::rename(&file, folder.path().join("model.pt")).unwrap();
        assert_eq!(served().unwrap(), ModelKind::FaceAging, "the network refuses the file");
    }
}
