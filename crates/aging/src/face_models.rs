//! The face models of a model folder, as dlib serializes them.

use std::path::{Path, PathBuf};

use face::{Detector, FaceFinder, FaceModelFormatError, ShapePredictor};

/// The file name of the face detector in a model folder.
pub const DETECTOR: &str = "face_detector.svm";
/// The file name of the landmark predictor in a model folder: the name under which dlib publishes it.
pub const LANDMARKS: &str = "shape_predictor_68_face_landmarks.dat";

/// The file names of a face detection network in a model folder. Where one is there, it finds the faces.
pub const NETWORKS: [&str; 2] = ["retinaface.safetensors", "retinaface.pth"];

/// Why a face model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FaceModelError {
    /// The file cannot be read.
    #[error("the {kind} {} cannot be read", file.display())]
    Read {
        /// `face detector` or `landmark predictor`.
        kind: &'static str,
        /// The file.
        file: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not such a model.
    #[error("{} is no {kind} as dlib serializes it", file.display())]
    Format {
        /// `face detector` or `landmark predictor`.
        kind: &'static str,
        /// The file.
        file: PathBuf,
        /// Where the file differs from the format.
        source: FaceModelFormatError,
    },
    /// A built-in model is broken.
    #[error("a built-in face model is broken: build the program again")]
    BuiltIn(#[source] FaceModelFormatError),
}

/// A face finder with the models of these files of dlib's. The built-in model is used where a file is `None`.
///
/// # Errors
/// [`FaceModelError`]: a file cannot be read, or is not such a model.
pub fn face_finder(detector: Option<&Path>, landmarks: Option<&Path>) -> Result<FaceFinder, FaceModelError> {
    Ok(FaceFinder {
        detector: face_model("face detector", detector, Detector::read, Detector::built_in)?,
        predictor: face_model("landmark predictor", landmarks, ShapePredictor::read, ShapePredictor::built_in)?,
    })
}

fn face_model<T>(
    kind: &'static str,
    file: Option<&Path>,
    read: impl Fn(&[u8]) -> Result<T, FaceModelFormatError>,
    built_in: impl Fn() -> Result<T, FaceModelFormatError>,
) -> Result<T, FaceModelError> {
    let Some(file) = file else { return built_in().map_err(FaceModelError::BuiltIn) };
    let bytes = std::fs::read(file).map_err(|source| FaceModelError::Read { kind, file: file.to_owned(), source })?;
    read(&bytes).map_err(|source| FaceModelError::Format { kind, file: file.to_owned(), source })
}
