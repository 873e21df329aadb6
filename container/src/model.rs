use std::path::{Path, PathBuf};

use aging::strip::{self, StripError};
use aging::{Compute, Engine, LoadError, PANEL, Portrait, View, sam};
use face::{Aligned, Detector, FaceError, FaceFinder, Rectangle, RgbImage, Sampling, ShapePredictor};
use image::Rgb;
use pipeline::ErrorCode;

/// The detector of a model folder, as dlib serializes one.
pub const DETECTOR: &str = "face_detector.svm";
/// The landmark predictor of a model folder, under the name that dlib publishes it by.
pub const LANDMARKS: &str = "shape_predictor_68_face_landmarks.dat";

/// What makes a strip of a picture: finds the face, cuts it out, ages it.
#[derive(Debug)]
pub struct Model {
    /// Finds the face and its landmarks.
    pub faces: FaceFinder,
    /// Ages it.
    pub engine: Engine,
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The engine cannot.
    #[error(transparent)]
    Engine(#[from] LoadError),
    /// A face model cannot be read.
    #[error("the {kind} {} cannot be read", file.display())]
    Read {
        /// `face detector` or `landmark predictor`.
        kind: &'static str,
        /// Where it is.
        file: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A face model is none.
    #[error("{} is no {kind} as dlib serializes it", file.display())]
    Face {
        /// `face detector` or `landmark predictor`.
        kind: &'static str,
        /// Where it is.
        file: PathBuf,
        /// Where it stops making sense.
        source: face::ModelError,
    },
    /// A built-in face model is broken.
    #[error("a built-in face model is broken: build the program again")]
    BuiltIn(#[source] face::ModelError),
}

impl Model {
    /// The model of a folder: its files instead of the built-in ones, as far as it has them. Without a folder, the
    /// preview engine and the built-in face models.
    ///
    /// # Errors
    /// [`ModelError`]: a file that is there and cannot be used. It is never passed over. Or there is no such device.
    pub fn load(folder: Option<&Path>, compute: Compute) -> Result<Self, ModelError> {
        let engine = Engine::load(folder, compute)?;
        let file = |name: &str| folder.map(|folder| folder.join(name)).filter(|file| file.symlink_metadata().is_ok());
        let faces = face_finder(file(DETECTOR).as_deref(), file(LANDMARKS).as_deref())?;
        Ok(Self { faces, engine })
    }

    /// Finds the largest face of a picture and cuts it out as the engine needs it: for SAM, as its authors' predictor does,
    /// which its network was trained with; else without the jags that leaves in a large photograph.
    ///
    /// # Errors
    /// [`FaceError`]: there is none that can be used.
    pub fn portrait(&self, picture: &RgbImage) -> Result<Portrait, FaceError> {
        let landmarks = self.faces.portrait(picture)?.landmarks;
        let cut = |size, sampling| face::align(picture, &landmarks, size, sampling);
        Ok(match self.engine {
            Engine::Preview(_) => {
                let Aligned { picture: panel, landmarks } = cut(PANEL, Sampling::Smooth)?;
                Portrait { panel, view: View::Landmarks(Box::new(landmarks)) }
            }
            Engine::Sam(_) => Portrait {
                panel: cut(PANEL, Sampling::Sam)?.picture,
                view: View::Face(cut(sam::FACE, Sampling::Sam)?.picture),
            },
        })
    }

    /// Makes one age of a picture without a face, which shows that the engine runs, and has what is made at its first run made.
    ///
    /// # Errors
    /// [`StripError`]: it does not.
    pub fn run_once(&self) -> Result<(), StripError> {
        let panel = RgbImage::from_pixel(PANEL, PANEL, Rgb([128; 3]));
        let view = match self.engine {
            Engine::Preview(_) => {
                let middle = Rectangle { left: 256, top: 256, right: 767, bottom: 767 };
                View::Landmarks(Box::new(self.faces.predictor.predict(&panel, &middle)))
            }
            Engine::Sam(_) => View::Face(RgbImage::from_pixel(sam::FACE, sam::FACE, Rgb([128; 3]))),
        };
        strip::append(&self.engine, &Portrait { panel, view }, &[40], &mut Vec::new(), &|_| true).map(drop)
    }

    /// A square picture that is aligned already. The preview engine looks for the landmarks in it.
    ///
    /// # Errors
    /// [`FaceError`]: there is no face, and the engine needs to know where it is.
    pub fn aligned_portrait(&self, square: RgbImage) -> Result<Portrait, FaceError> {
        Ok(match self.engine {
            Engine::Preview(_) => {
                let panel = aging::to_panel(square);
                let landmarks = self.faces.portrait(&panel)?.landmarks;
                Portrait { panel, view: View::Landmarks(Box::new(landmarks)) }
            }
            Engine::Sam(_) => Portrait { panel: aging::to_panel(square.clone()), view: View::Face(square) },
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
/// [`ModelError`]: a file that cannot be read, or is no such model.
pub fn face_finder(detector: Option<&Path>, landmarks: Option<&Path>) -> Result<FaceFinder, ModelError> {
    Ok(FaceFinder {
        detector: face_model("face detector", detector, Detector::read, Detector::built_in)?,
        predictor: face_model("landmark predictor", landmarks, ShapePredictor::read, ShapePredictor::built_in)?,
    })
}

fn face_model<T>(
    kind: &'static str,
    file: Option<&Path>,
    read: impl Fn(&[u8]) -> Result<T, face::ModelError>,
    built_in: impl Fn() -> Result<T, face::ModelError>,
) -> Result<T, ModelError> {
    let Some(file) = file else { return built_in().map_err(ModelError::BuiltIn) };
    let bytes = std::fs::read(file).map_err(|source| ModelError::Read { kind, file: file.to_owned(), source })?;
    read(&bytes).map_err(|source| ModelError::Face { kind, file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_face_model_is_never_passed_over() {
        for (name, kind) in [(DETECTOR, "face detector"), (LANDMARKS, "landmark predictor")] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(name), b"<html>404").unwrap();
            let error = Model::load(Some(folder.path()), Compute::default()).unwrap_err();
            assert!(error.to_string().contains(name) && error.to_string().contains(kind), "{error}");
            assert!(std::error::Error::source(&error).unwrap().to_string().contains("byte 0"));
            std::fs::remove_file(folder.path().join(name)).unwrap();
            std::fs::create_dir(folder.path().join(name)).unwrap();
            assert!(matches!(Model::load(Some(folder.path()), Compute::default()), Err(ModelError::Read { .. })));
            std::fs::remove_dir(folder.path().join(name)).unwrap();
            #[cfg(unix)]
            {
                std::os::unix::fs::symlink("/nowhere", folder.path().join(name)).unwrap();
                assert!(matches!(Model::load(Some(folder.path()), Compute::default()), Err(ModelError::Read { .. })));
            }
        }
    }

    #[test]
    fn a_folder_without_face_models_has_the_built_in_ones() {
        let folder = tempfile::tempdir().unwrap();
        let model = Model::load(Some(folder.path()), Compute::default()).unwrap();
        let error = model.portrait(&RgbImage::new(300, 200)).unwrap_err();
        assert!(matches!(error, FaceError::None { width: 300, height: 200, .. }), "{error}");
    }
}
