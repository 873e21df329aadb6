use std::path::{Path, PathBuf};

use aging::{EngineKind, PANEL, Portrait, View, sam};
use face::{Aligned, Detector, FaceError, FaceFinder, RgbImage, Sampling, ShapePredictor};
use pipeline::ErrorCode;

/// The detector of a model folder, as dlib serializes one.
pub const DETECTOR: &str = "face_detector.svm";
/// The landmark predictor of a model folder, under the name that dlib publishes it by.
pub const LANDMARKS: &str = "shape_predictor_68_face_landmarks.dat";

/// Why a face model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FaceModelError {
    /// It cannot be read.
    #[error("the {kind} {} cannot be read", file.display())]
    Read {
        /// `face detector` or `landmark predictor`.
        kind: &'static str,
        /// Where it is.
        file: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is none.
    #[error("{} is no {kind} as dlib serializes it", file.display())]
    Format {
        /// `face detector` or `landmark predictor`.
        kind: &'static str,
        /// Where it is.
        file: PathBuf,
        /// Where it stops making sense.
        source: face::FaceModelFormatError,
    },
    /// A built-in one is broken.
    #[error("a built-in face model is broken: build the program again")]
    BuiltIn(#[source] face::FaceModelFormatError),
}

/// Finds the face of a picture and cuts it out as an engine needs it.
#[derive(Debug)]
pub struct Aligner {
    /// Finds the face and its landmarks.
    pub faces: FaceFinder,
    /// The engine.
    pub engine: EngineKind,
}

impl Aligner {
    /// With the face models of the first folder that has them, each by its name; the built-in ones where none has.
    ///
    /// # Errors
    /// [`FaceModelError`]: a file that is there and cannot be used. It is never passed over.
    pub fn load(folders: &[&Path], engine: EngineKind) -> Result<Self, FaceModelError> {
        let file = |name: &str| {
            let files = folders.iter().map(|folder| folder.join(name));
            files.into_iter().find(|file| file.symlink_metadata().is_ok())
        };
        let faces = face_finder(file(DETECTOR).as_deref(), file(LANDMARKS).as_deref())?;
        Ok(Self { faces, engine })
    }

    /// Finds the largest face of a picture and cuts it out: for SAM, as its authors' predictor does, which its network was trained
    /// with; else without the jags that leaves in a large photograph.
    ///
    /// # Errors
    /// [`FaceError`]: there is none that can be used.
    pub fn portrait(&self, picture: &RgbImage) -> Result<Portrait, FaceError> {
        let landmarks = self.faces.portrait(picture)?.landmarks;
        let cut = |size, sampling| face::align(picture, &landmarks, size, sampling);
        Ok(match self.engine {
            EngineKind::Preview => {
                let Aligned { picture: panel, landmarks } = cut(PANEL, Sampling::Smooth)?;
                Portrait { panel, view: View::Landmarks(Box::new(landmarks)) }
            }
            EngineKind::Sam => Portrait {
                panel: cut(PANEL, Sampling::Sam)?.picture,
                view: View::Face(cut(sam::FACE, Sampling::Sam)?.picture),
            },
        })
    }

    /// A square picture that is aligned already. The preview engine looks for the landmarks in it.
    ///
    /// # Errors
    /// [`FaceError`]: there is no face, and the engine needs to know where it is.
    pub fn aligned_portrait(&self, square: RgbImage) -> Result<Portrait, FaceError> {
        Ok(match self.engine {
            EngineKind::Preview => {
                let panel = aging::to_panel(square);
                let landmarks = self.faces.portrait(&panel)?.landmarks;
                Portrait { panel, view: View::Landmarks(Box::new(landmarks)) }
            }
            EngineKind::Sam => Portrait { panel: aging::to_panel(square.clone()), view: View::Face(square) },
        })
    }
}

/// The code of a job that failed for this reason.
pub fn face_error_code(error: &FaceError) -> ErrorCode {
    match error {
        FaceError::TooSmall { .. } => ErrorCode::FaceTooSmall,
        _ => ErrorCode::NoFace,
    }
}

/// A face finder of these files of dlib's, or of the built-in models where none is named.
///
/// # Errors
/// [`FaceModelError`]: a file that cannot be read, or is no such model.
pub fn face_finder(detector: Option<&Path>, landmarks: Option<&Path>) -> Result<FaceFinder, FaceModelError> {
    Ok(FaceFinder {
        detector: face_model("face detector", detector, Detector::read, Detector::built_in)?,
        predictor: face_model("landmark predictor", landmarks, ShapePredictor::read, ShapePredictor::built_in)?,
    })
}

fn face_model<T>(
    kind: &'static str,
    file: Option<&Path>,
    read: impl Fn(&[u8]) -> Result<T, face::FaceModelFormatError>,
    built_in: impl Fn() -> Result<T, face::FaceModelFormatError>,
) -> Result<T, FaceModelError> {
    let Some(file) = file else { return built_in().map_err(FaceModelError::BuiltIn) };
    let bytes = std::fs::read(file).map_err(|source| FaceModelError::Read { kind, file: file.to_owned(), source })?;
    read(&bytes).map_err(|source| FaceModelError::Format { kind, file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(folders: &[&Path]) -> Result<Aligner, FaceModelError> {
        Aligner::load(folders, EngineKind::Preview)
    }

    #[test]
    fn a_broken_face_model_is_never_passed_over() {
        for (name, kind) in [(DETECTOR, "face detector"), (LANDMARKS, "landmark predictor")] {
            let (empty, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let folders = [empty.path(), folder.path()];
            std::fs::write(folder.path().join(name), b"<html>404").unwrap();
            let error = load(&folders).unwrap_err();
            assert!(error.to_string().contains(name) && error.to_string().contains(kind), "{error}");
            assert!(std::error::Error::source(&error).unwrap().to_string().contains("byte 0"));
            std::fs::remove_file(folder.path().join(name)).unwrap();
            std::fs::create_dir(folder.path().join(name)).unwrap();
            assert!(matches!(load(&folders), Err(FaceModelError::Read { .. })));
            std::fs::remove_dir(folder.path().join(name)).unwrap();
            #[cfg(unix)]
            {
                std::os::unix::fs::symlink("/nowhere", folder.path().join(name)).unwrap();
                assert!(matches!(load(&folders), Err(FaceModelError::Read { .. })));
            }
        }
    }

    #[test]
    fn folders_without_face_models_have_the_built_in_ones() {
        let folder = tempfile::tempdir().unwrap();
        let error = load(&[folder.path()]).unwrap().portrait(&RgbImage::new(300, 200)).unwrap_err();
        assert!(matches!(error, FaceError::None { width: 300, height: 200, .. }), "{error}");
    }
}
