//! From a photograph to the portrait that an engine ages: the largest face is found, and cut out as the engine needs it.

use std::path::Path;

use face::{Aligned, FaceError, FaceFinder, FivePoints, RgbImage, Sampling};

use crate::face_models::{DETECTOR, FaceModelError, LANDMARKS, face_finder};
use crate::{EngineKind, PANEL, Portrait, View, sam, to_panel};

/// Finds the face of a picture and cuts it out as an engine needs it.
#[derive(Debug)]
pub struct Aligner {
    /// Finds the face and its landmarks.
    pub faces: FaceFinder,
    /// The engine that the portraits are for.
    pub engine: EngineKind,
}

impl Aligner {
    /// Each face model is the file of its name ([`DETECTOR`], [`LANDMARKS`]) in the first folder that has one. The built-in
    /// model is used where no folder has one.
    ///
    /// # Errors
    /// [`FaceModelError`]: the file exists and cannot be used. It is never skipped.
    pub fn load(folders: &[&Path], engine: EngineKind) -> Result<Self, FaceModelError> {
        let file = |name: &str| {
            let files = folders.iter().map(|folder| folder.join(name));
            files.into_iter().find(|file| file.symlink_metadata().is_ok())
        };
        let faces = face_finder(file(DETECTOR).as_deref(), file(LANDMARKS).as_deref())?;
        Ok(Self { faces, engine })
    }

    /// Finds the largest face of an upright picture and cuts it out. SAM gets the crop of its authors' predictor, which the
    /// network was trained with. The preview gets a crop without the aliasing that this predictor leaves in large photographs.
    ///
    /// # Errors
    /// [`FaceError`]: the picture has no usable face.
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

    /// Cuts out the face whose five points a network has found in an upright picture. The crop is the one of [`portrait`](Self::portrait)
    /// within the error of the points. The preview engine has the landmarks predicted in the crop.
    ///
    /// # Errors
    /// [`FaceError::Landmarks`].
    pub fn portrait_at(&self, picture: &RgbImage, points: &FivePoints) -> Result<Portrait, FaceError> {
        let cut = |size, sampling| face::align_points(picture, points, size, sampling);
        Ok(match self.engine {
            EngineKind::Preview => {
                let panel = cut(PANEL, Sampling::Smooth)?;
                let landmarks = self.faces.predictor.predict(&panel, &face::aligned_box(PANEL));
                Portrait { panel, view: View::Landmarks(Box::new(landmarks)) }
            }
            EngineKind::Sam => {
                Portrait { panel: cut(PANEL, Sampling::Sam)?, view: View::Face(cut(sam::FACE, Sampling::Sam)?) }
            }
        })
    }

    /// The portrait of a square picture that is aligned already. The preview engine looks for the landmarks in it.
    ///
    /// # Errors
    /// [`FaceError`]: the preview engine finds no face.
    pub fn aligned_portrait(&self, square: RgbImage) -> Result<Portrait, FaceError> {
        Ok(match self.engine {
            EngineKind::Preview => {
                let panel = to_panel(square);
                let landmarks = self.faces.portrait(&panel)?.landmarks;
                Portrait { panel, view: View::Landmarks(Box::new(landmarks)) }
            }
            EngineKind::Sam => Portrait { panel: to_panel(square.clone()), view: View::Face(square) },
        })
    }
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
    fn the_points_of_a_network_make_the_same_portrait() {
        let photo = picture::decode(include_bytes!("../../../examples/astronaut.png")).unwrap();
        for engine in [EngineKind::Preview, EngineKind::Sam] {
            let aligner = Aligner::load(&[], engine).unwrap();
            let points = FivePoints::from(&aligner.faces.portrait(&photo).unwrap().landmarks);
            let (whole, five) = (aligner.portrait(&photo).unwrap(), aligner.portrait_at(&photo, &points).unwrap());
            assert_eq!(whole.panel, five.panel);
            match (whole.view, five.view) {
                (View::Face(whole), View::Face(five)) => assert_eq!(whole, five),
                (View::Landmarks(whole), View::Landmarks(five)) => {
                    let apart = |n: usize| (whole.0[n].x - five.0[n].x).hypot(whole.0[n].y - five.0[n].y);
                    let mean = (0..face::POINTS).map(apart).sum::<f64>() / face::POINTS as f64;
                    // Of 1024 pixels. The predictor begins at another box.
                    assert!(mean < 20.0, "{mean}");
                }
                views => panic!("{views:?}"),
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
