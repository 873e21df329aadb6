//! From a photograph to the portrait of its largest face, by a network where the model folder has one.

use std::path::{Path, PathBuf};

use aging::{Aligner, EngineKind, NETWORKS, Portrait};
use anyhow::Context;
use face::{FaceError, FivePoints, MIN_WIDTH, Point, RgbImage};
use image::imageops;
use nn::Device;
use nn::checkpoint::Checkpoint;
use vision::boxes::Thresholds;
use vision::{ColorOrder, FaceDetector, VisionError};

/// The longest side of a picture that the network searches, in pixels. Larger ones are shrunk: a face that is large enough to be aged
/// is found all the same.
const SEARCHED: u32 = 1280;

/// Why a photograph has no portrait.
#[derive(Debug, thiserror::Error)]
pub enum PortraitError {
    /// It has no usable face.
    #[error(transparent)]
    Face(#[from] FaceError),
    /// The network failed.
    #[error("the face detection network failed")]
    Network(#[from] VisionError),
}

/// Finds the largest face of photographs, and cuts it out.
#[derive(Debug)]
pub struct Portraits {
    /// Cuts the face out, and finds it where there is no network.
    pub aligner: Aligner,
    network: Option<FaceDetector>,
}

impl Portraits {
    /// Loads the face models of these folders, in order. A face detection network is the file of one of the names [`NETWORKS`]. It
    /// computes on the CPU.
    ///
    /// # Errors
    /// A face model or the network's checkpoint exists and cannot be used.
    pub fn load(folders: &[&Path], engine: EngineKind) -> anyhow::Result<Self> {
        let aligner = Aligner::load(folders, engine)?;
        let mut files = folders.iter().flat_map(|folder| NETWORKS.map(|name| folder.join(name)));
        let file = files.find(|file| file.symlink_metadata().is_ok());
        Ok(Self { aligner, network: file.map(network).transpose()? })
    }

    /// The portrait of an upright picture.
    ///
    /// # Errors
    /// [`PortraitError`].
    pub fn portrait(&self, picture: &RgbImage) -> Result<Portrait, PortraitError> {
        let Some(network) = &self.network else { return Ok(self.aligner.portrait(picture)?) };
        let points = largest(network, picture)?;
        Ok(self.aligner.portrait_at(picture, &points)?)
    }
}

fn network(file: PathBuf) -> anyhow::Result<FaceDetector> {
    let open = || {
        let identity = vision::identify(&Checkpoint::open(&file)?, None)?;
        anyhow::ensure!(
            identity.network.has_landmarks(),
            "it is that of {}, which finds no eyes: RetinaFace would work",
            identity.network
        );
        Ok(FaceDetector::load(&identity, Device::Cpu)?)
    };
    open().with_context(|| format!("the face detection network {} cannot be used", file.display()))
}

/// The points of the widest face.
fn largest(network: &FaceDetector, picture: &RgbImage) -> Result<FivePoints, PortraitError> {
    let (width, height) = picture.dimensions();
    let scale = (f64::from(width.max(height)) / f64::from(SEARCHED)).max(1.0);
    let search = |picture: &RgbImage| network.detect(picture, ColorOrder::Rgb, Thresholds::default());
    let faces = if scale > 1.0 {
        let [width, height] = [width, height].map(|size| ((f64::from(size) / scale).round() as u32).max(1));
        search(&imageops::thumbnail(picture, width, height))?
    } else {
        search(picture)?
    };
    let widest =
        faces.iter().filter_map(|face| Some(five_points(face.landmarks?, scale))).max_by_key(FivePoints::width);
    let Some(points) = widest else { return Err(FaceError::NotDetected { width, height }.into()) };
    if points.width() < MIN_WIDTH {
        // The nose is about the middle of the box that a HOG detector would give.
        let face = points.width();
        let [left, top] = [points.nose.x, points.nose.y].map(|at| (at - f64::from(face) / 2.0).round() as i32);
        let picture = [width, height];
        return Err(FaceError::TooSmall { left, top, width: face, picture, least: MIN_WIDTH }.into());
    }
    Ok(points)
}

/// The points of the picture, of which the searched one is smaller by `scale`.
fn five_points(points: [[f64; 2]; 5], scale: f64) -> FivePoints {
    let [left_eye, right_eye, nose, left_mouth, right_mouth] =
        points.map(|[x, y]| Point { x: x * scale, y: y * scale });
    FivePoints { eyes: [left_eye, right_eye], nose, mouth_corners: [left_mouth, right_mouth] }
}
