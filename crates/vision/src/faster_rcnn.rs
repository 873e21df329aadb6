//! Faster R-CNN (Ren et al. 2015, arXiv 1506.01497) on a ResNet with a feature pyramid (Lin et al. 2017, arXiv 1612.03144), as Detectron2
//! runs it: one box and one score for each object, and its class.

mod anchors;
mod coder;
pub mod config;
mod detecting;
mod identity;
mod network;
mod preparing;
mod regions;
mod roi_align;
pub mod training;

use std::fmt;

use burn::tensor::{FloatDType, Tensor, TensorData};
use nn::layers::{Budget, Execution, Loader};
use nn::weights::{self, Weights};
use nn::{Device, Precision, in_pool, is_gpu};
use picture::RgbImage;

pub use config::Config;
pub use identity::{Identity, identify, is_one, tensors};

use crate::vision_error::VisionError;
use anchors::Anchors;
use coder::decode;
use config::LEVELS;
use detecting::Found;
use network::{Anchored, Network};
use preparing::Prepared;
use regions::Region;
use roi_align::{CELLS, Map, Roi};

/// An object in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Left, top, right, bottom in pixels, from the upper left corner of the picture, inside of it.
    pub corners: [f32; 4],
    /// 0 to 1.
    pub score: f32,
    /// Its class, from 0.
    pub class: usize,
}

/// A network with its weights on a device.
pub struct FasterRcnn {
    network: Network,
    anchors: Anchors,
    config: Config,
    device: Device,
}

impl fmt::Debug for FasterRcnn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, device, .. } = self;
        write!(f, "FasterRcnn {{ config: {config:?}, device: {device:?} }}")
    }
}

impl FasterRcnn {
    /// Loads the network of a checkpoint, in 32 bits.
    ///
    /// # Errors
    /// [`VisionError`]: the checkpoint is damaged.
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
        let Identity { config, checkpoint } = identity;
        let load = |weights: &Weights| {
            Network::load(&Loader::new(weights, execution).with_budget(Budget::OF_LARGE_MAPS), &config.form)
        };
        let network = weights::load(checkpoint, &device.burn(), FloatDType::F32, load)?;
        device.sync()?;
        Ok(Self { network, anchors: Anchors::new(&config.anchors), config: config.clone(), device })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The device that it computes on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The objects in a picture, best first.
    ///
    /// # Errors
    /// [`VisionError`]: the network's values are no numbers, or the device failed.
    pub fn detect(&self, picture: &RgbImage) -> Result<Vec<Detection>, VisionError> {
        let from = [picture.width() as usize, picture.height() as usize];
        if from.contains(&0) {
            return Ok(Vec::new());
        }
        in_pool(|| self.objects(picture, from))
    }

    /// The objects in a picture of this width and height.
    fn objects(&self, picture: &RgbImage, from: [usize; 2]) -> Result<Vec<Detection>, VisionError> {
        let prepared = preparing::prepared(&preparing::resized(picture, &self.config.input), &self.config.input);
        let Prepared { size, .. } = prepared;
        let pyramid = self.network.pyramid(self.network.bottom_up(self.pictures(prepared)));
        let inner = size.map(|side| side as f32);
        let regions: Vec<[f32; 4]> = self.regions(&pyramid, inner)?.into_iter().map(|region| region.corners).collect();
        if regions.is_empty() {
            return Ok(Vec::new());
        }
        let hidden = self.network.hidden(self.aligned(pyramid, &regions)?);
        let found = self.found(&regions, hidden, inner)?.into_iter();
        Ok(found.filter_map(|found| detecting::rescaled(found.detection, size, from)).collect())
    }

    /// `(1, height, width, 3)`.
    fn pictures(&self, Prepared { values, padded: [width, height], .. }: Prepared) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, [1, height, width, 3]), &self.device.burn())
    }

    /// The regions of a picture of this size in pixels.
    fn regions(&self, pyramid: &[Tensor<4>; LEVELS], size: [f32; 2]) -> Result<Vec<Region>, VisionError> {
        let mut levels = Vec::new();
        for (level, maps) in pyramid.iter().enumerate() {
            let [_, _, columns, _] = self.network.channels_innermost(maps.clone()).dims();
            let Anchored { logits, offsets } = self.network.anchored(maps.clone());
            let (logits, offsets) = (values_of(logits)?, values_of(offsets)?);
            let offsets = offsets.as_chunks::<4>().0;
            let region = |anchor: usize| {
                let corners = self.anchors.at(level, columns, anchor);
                let corners = decode(corners, offsets[anchor], self.config.region_weights);
                Region { corners, logit: logits[anchor] }
            };
            levels.push(regions::best(&logits, self.config.regions.before).into_iter().map(region).collect());
        }
        let is_number = |level: &Vec<Region>| level.iter().any(|region| region.logit.is_finite());
        if !levels.iter().any(is_number) {
            return Err(VisionError::NotFinite);
        }
        Ok(regions::choose(levels, size, self.config.regions))
    }

    /// ROIAlign of regions in the maps of one picture: `(regions, channels * 49)`.
    fn aligned(&self, pyramid: [Tensor<4>; LEVELS], regions: &[[f32; 4]]) -> Result<Tensor<2>, VisionError> {
        let [first, second, third, fourth, _] = pyramid;
        let maps = [first, second, third, fourth].map(|maps| self.network.channels_innermost(maps));
        if !is_gpu(&self.device.burn()) {
            let of_picture = |corners: &[f32; 4]| Roi { image: 0, corners: *corners };
            return Ok(roi_align::of_batch(maps, regions.iter().map(of_picture).collect()));
        }
        let mut levels = Vec::new();
        for maps in maps {
            levels.push((maps.dims(), maps.try_into_data()?));
        }
        let maps = levels.iter().enumerate().map(|(level, ([_, height, width, channels], data))| Map {
            values: data.as_slice().expect("maps are float32"),
            height: *height,
            width: *width,
            channels: *channels,
            scale: roi_align::scale(level),
        });
        let maps: Vec<Map> = maps.collect();
        let shape = [regions.len(), self.config.form.channels * CELLS];
        Ok(Tensor::from_data(TensorData::new(roi_align::of_picture(&maps, regions), shape), &self.device.burn()))
    }

    /// The detections in a picture of this size in pixels, from its regions and what the hidden layers answer for them.
    fn found(&self, regions: &[[f32; 4]], hidden: Tensor<2>, size: [f32; 2]) -> Result<Vec<Found>, VisionError> {
        let [logits, offsets] = self.network.classified(hidden).map(values_of);
        let (logits, offsets) = (logits?, offsets?);
        // A damaged checkpoint is no picture without objects.
        if !logits.iter().any(|logit| logit.is_finite()) {
            return Err(VisionError::NotFinite);
        }
        let classes = self.config.form.classes;
        let probabilities: Vec<Vec<f32>> = logits.chunks_exact(classes + 1).map(detecting::softmax).collect();
        let boxes = regions.iter().zip(offsets.chunks_exact(4 * classes));
        let boxes: Vec<Vec<[f32; 4]>> =
            boxes.map(|(region, offsets)| detecting::boxes(*region, offsets, self.config.box_weights)).collect();
        Ok(detecting::choose(&probabilities, &boxes, size, self.config.detecting))
    }
}

/// The values of a tensor.
fn values_of<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, VisionError> {
    let data = tensor.try_into_data()?;
    Ok(data.try_into_vec().expect("the outputs are float32"))
}

#[cfg(test)]
mod golden;
