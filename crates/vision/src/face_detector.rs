//! The networks that find faces, as one.

mod finding;

use std::fmt;

use burn::tensor::{FloatDType, Tensor};
use nn::checkpoint::{Checkpoint, CheckpointError};
use nn::kernels::{self, Scratch};
use nn::layers::{Execution, Loader};
use nn::weights::{self, Weights};
use nn::{Device, Precision, in_pool};
use picture::RgbImage;
use rayon::prelude::*;

use crate::boxes::Thresholds;
use crate::dsfd::{self, Dsfd};
use crate::retinaface::{self, Body, RetinaFace};
use crate::vision_error::VisionError;

pub use finding::Predictions;

/// A network that finds faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaceNetwork {
    /// [RetinaFace](RetinaFace) on ResNet-50.
    RetinaFaceResNet50,
    /// [RetinaFace](RetinaFace) on MobileNetV1.
    RetinaFaceMobileNetV1,
    /// [DSFD](Dsfd).
    Dsfd,
}

impl FaceNetwork {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RetinaFaceResNet50, Self::RetinaFaceMobileNetV1, Self::Dsfd];

    /// Whether it also finds the eyes, the nose and the corners of the mouth.
    pub fn has_landmarks(self) -> bool {
        self != Self::Dsfd
    }

    /// The names and shapes of its tensors.
    pub fn tensors(self) -> Vec<(String, Vec<usize>)> {
        weights::list(|weights| self.load(&Loader::new(weights, Execution::Burn)))
    }

    fn load(self, loader: &Loader) -> Network {
        match self {
            Self::RetinaFaceResNet50 => Network::RetinaFace(Box::new(RetinaFace::load(loader, Body::ResNet50))),
            Self::RetinaFaceMobileNetV1 => Network::RetinaFace(Box::new(RetinaFace::load(loader, Body::MobileNetV1))),
            Self::Dsfd => Network::Dsfd(Box::new(Dsfd::load(loader))),
        }
    }

    fn means(self) -> [f32; 3] {
        match self {
            Self::RetinaFaceResNet50 | Self::RetinaFaceMobileNetV1 => retinaface::MEANS,
            Self::Dsfd => dsfd::MEANS,
        }
    }
}

impl fmt::Display for FaceNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RetinaFaceResNet50 => "RetinaFace on ResNet-50",
            Self::RetinaFaceMobileNetV1 => "RetinaFace on MobileNetV1",
            Self::Dsfd => "DSFD",
        })
    }
}

/// The order in which the channels of a picture are handed to a network. The networks were trained on pictures in RGB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorOrder {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red: the answers of services that read pictures with OpenCV and do not reorder their channels.
    Bgr,
}

/// A face in a picture. Coordinates are in pixels, from the upper left corner of the picture, and may lie beyond its edges.
#[derive(Clone, Debug, PartialEq)]
pub struct Face {
    /// Left, top, right, bottom.
    pub corners: [f64; 4],
    /// 0 to 1.
    pub score: f32,
    /// The eyes, the nose and the corners of the mouth, `[x, y]` each, left before right as seen in the picture.
    pub landmarks: Option<[[f64; 2]; 5]>,
    /// The index of the prior that it was found by.
    pub prior: usize,
}

/// A checkpoint that is a network's.
#[derive(Debug)]
pub struct Identity {
    /// The network.
    pub network: FaceNetwork,
    /// The checkpoint, with its tensors under the network's names.
    pub checkpoint: Checkpoint,
}

/// Identifies a checkpoint as that of one of the networks, or of the `wanted` one, with or without a prefix before the names. Its
/// values are not read.
///
/// # Errors
/// [`CheckpointError`]: why the checkpoint is none of the network's that has the most of its names.
pub fn identify(checkpoint: &Checkpoint, wanted: Option<FaceNetwork>) -> Result<Identity, CheckpointError> {
    let candidates = FaceNetwork::ALL.into_iter().filter(|network| wanted.is_none_or(|wanted| wanted == *network));
    let mut best: Option<(usize, FaceNetwork, Checkpoint)> = None;
    for network in candidates {
        let tensors = network.tensors();
        let checkpoint = checkpoint.unwrapped(tensors.iter().map(|(name, _)| name.as_str()))?;
        let fitting = |(name, shape): &&(String, Vec<usize>)| {
            checkpoint.tensors().get(name).is_some_and(|stored| stored.shape() == shape)
        };
        let count = tensors.iter().filter(fitting).count();
        if best.as_ref().is_none_or(|(most, ..)| count > *most) {
            best = Some((count, network, checkpoint));
        }
    }
    let (_, network, checkpoint) = best.expect("there are networks");
    weights::survey(&checkpoint, &network.to_string(), |weights| network.load(&Loader::new(weights, Execution::Burn)))?;
    Ok(Identity { network, checkpoint })
}

/// A network with its weights on a device.
pub struct FaceDetector {
    kind: FaceNetwork,
    network: Network,
    device: Device,
}

impl fmt::Debug for FaceDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, device, .. } = self;
        write!(f, "FaceDetector {{ kind: {kind:?}, device: {device:?} }}")
    }
}

#[derive(Debug)]
enum Network {
    RetinaFace(Box<RetinaFace>),
    Dsfd(Box<Dsfd>),
}

/// A picture on a device, with the mean subtracted: `(1, height, width, 3)`.
#[derive(Clone, Debug)]
pub struct Prepared(Tensor<4>);

impl FaceDetector {
    /// Loads the network of a checkpoint, in 32 bits.
    ///
    /// # Errors
    /// [`VisionError`]: the checkpoint is none of the networks', or damaged.
    pub fn load(identity: &Identity, device: Device) -> Result<Self, VisionError> {
        Self::with(identity, device, Execution::fastest(device, Precision::Float32))
    }

    /// Loads the network on Burn's operations alone, which are slower on a CPU: the reference for the kernels.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_reference(identity: &Identity, device: Device) -> Result<Self, VisionError> {
        Self::with(identity, device, Execution::Burn)
    }

    fn with(identity: &Identity, device: Device, execution: Execution) -> Result<Self, VisionError> {
        let Identity { network: kind, checkpoint } = identity;
        let load = |weights: &Weights| kind.load(&Loader::new(weights, execution));
        let network = weights::load(checkpoint, &device.burn(), FloatDType::F32, load)?;
        device.sync()?;
        Ok(Self { kind: *kind, network, device })
    }

    /// The network.
    pub fn network(&self) -> FaceNetwork {
        self.kind
    }

    /// The device that it computes on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The faces of a picture, best first. It is neither resized nor padded: the time and the memory grow with its pixels.
    ///
    /// # Errors
    /// [`VisionError`]: the network's values are no numbers, or the device failed.
    pub fn detect(
        &self,
        picture: &RgbImage,
        order: ColorOrder,
        thresholds: Thresholds,
    ) -> Result<Vec<Face>, VisionError> {
        if picture.width() == 0 || picture.height() == 0 {
            return Ok(Vec::new());
        }
        in_pool(|| Ok(self.forward(self.prepare(picture, order))?.faces(thresholds)))
    }

    /// A picture as the network takes it: the first step of [`detect`](Self::detect).
    ///
    /// # Panics
    /// If the picture has no pixels.
    pub fn prepare(&self, picture: &RgbImage, order: ColorOrder) -> Prepared {
        let means = self.kind.means();
        // The networks take blue first.
        let taken = match order {
            ColorOrder::Rgb => [2, 1, 0],
            ColorOrder::Bgr => [0, 1, 2],
        };
        let row = 3 * picture.width() as usize;
        let mut values = Scratch::new(picture.as_raw().len());
        let rows = values.values_mut().par_chunks_exact_mut(row).zip(picture.as_raw().par_chunks_exact(row));
        rows.for_each(|(values, row)| {
            for (values, pixel) in values.as_chunks_mut().0.iter_mut().zip(row.as_chunks::<3>().0) {
                *values = [0, 1, 2].map(|index| f32::from(pixel[taken[index]]) - means[2 - index]);
            }
        });
        let shape = [1, picture.height() as usize, picture.width() as usize, 3];
        Prepared(Tensor::from_data(kernels::data(values, shape), &self.device.burn()))
    }

    /// What the network predicts: the second step of [`detect`](Self::detect).
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    pub fn forward(&self, Prepared(picture): Prepared) -> Result<Predictions, VisionError> {
        let [_, height, width, _] = picture.dims();
        in_pool(|| match &self.network {
            Network::RetinaFace(network) => Predictions::of_retinaface(network.forward(picture), [width, height]),
            Network::Dsfd(network) => Predictions::of_dsfd(network.forward(picture), [width, height]),
        })
    }

    #[cfg(test)]
    pub(crate) fn retinaface(&self) -> &RetinaFace {
        match &self.network {
            Network::RetinaFace(network) => network,
            Network::Dsfd(_) => panic!("another network"),
        }
    }

    #[cfg(test)]
    pub(crate) fn dsfd(&self) -> &Dsfd {
        match &self.network {
            Network::Dsfd(network) => network,
            Network::RetinaFace(_) => panic!("another network"),
        }
    }
}

#[cfg(test)]
pub(crate) use tests::{detector_of, prepared};

#[cfg(test)]
mod tests;
