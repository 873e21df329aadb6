use std::fmt;

use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use nn::checkpoint::{Checkpoint, CheckpointError, Misfits};
use nn::layers::{Execution, Loader};
use nn::weights::{self, Weights};
use nn::{Device, Parameters, Precision, in_pool};
use rayon::prelude::*;

use super::config::{Backbone, Config};
use super::detections::{Detection, detections};
use super::extractor::grids;
use super::input::Input;
use super::network::{Network, Outputs};
use super::variables::{as_layers, variable, variable_shape};
use crate::vision_error::VisionError;

/// A checkpoint that has the variables of a configuration's network.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The configuration.
    pub config: Config,
    /// The checkpoint, with its tensors under the names of the layers.
    checkpoint: Checkpoint,
}

impl Identity {
    /// The checkpoint, with its tensors under the names of the layers: see [`as_variables`](super::as_variables).
    pub fn layers(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

impl fmt::Display for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MobileNetV1 => "SSD on MobileNetV1",
            Self::MobileNetV2 => "SSD on MobileNetV2",
        })
    }
}

/// The names and shapes of the variables of a configuration's network, as TensorFlow has them.
pub fn tensors(config: &Config) -> Vec<(String, Vec<usize>)> {
    let layers = weights::list(|weights| Network::load(&Loader::new(weights, Execution::Burn), config));
    let named = |(layer, shape): (String, Vec<usize>)| {
        let name = variable(&layer, &shape)?;
        let shape = variable_shape(&name, &shape);
        Some((name, shape))
    };
    layers.into_iter().filter_map(named).collect()
}

/// Finds the variables of a configuration's network in a checkpoint. Their values are not read.
///
/// # Errors
/// [`CheckpointError::Misfits`]: variables that are missing or have other shapes, under TensorFlow's names.
pub fn identify(checkpoint: &Checkpoint, config: Config) -> Result<Identity, CheckpointError> {
    let layers = as_layers(checkpoint);
    let name = config.extractor.backbone.to_string();
    let surveyed =
        weights::survey(&layers, &name, |weights| Network::load(&Loader::new(weights, Execution::Burn), &config));
    if let Err(misfits) = surveyed {
        return Err(CheckpointError::Misfits(Box::new(named(*misfits))));
    }
    Ok(Identity { config, checkpoint: layers })
}

/// With TensorFlow's names.
fn named(mut misfits: Misfits) -> Misfits {
    for misfit in &mut misfits.tensors {
        let Some(name) = variable(&misfit.tensor, &misfit.needed) else { continue };
        misfit.needed = variable_shape(&name, &misfit.needed);
        misfit.found = misfit.found.take().map(|(dtype, shape)| (dtype, variable_shape(&name, &shape)));
        misfit.tensor = name;
    }
    for (layer, shape) in &mut misfits.first_others {
        let Some(name) = variable(layer, shape) else { continue };
        *shape = variable_shape(&name, shape);
        *layer = name;
    }
    misfits
}

/// A network with its weights on a device.
pub struct Detector {
    network: Network,
    config: Config,
    anchors: Vec<[f32; 4]>,
    device: Device,
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, device, .. } = self;
        write!(f, "Detector {{ config: {config:?}, device: {device:?} }}")
    }
}

impl Detector {
    /// Loads the network of a checkpoint, in 32 bits.
    ///
    /// # Errors
    /// [`VisionError`]: a checkpoint that is damaged, or a device that failed.
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

    /// The network with the values of parameters, such as those of a training.
    ///
    /// # Errors
    /// [`VisionError`]: the device failed.
    pub fn of(parameters: &Parameters, config: &Config, device: Device) -> Result<Self, VisionError> {
        let execution = Execution::fastest(device, Precision::Float32);
        let network = parameters.network(|weights| Network::load(&Loader::new(weights, execution), config));
        device.sync()?;
        Ok(Self::new(network, config.clone(), device))
    }

    fn new(network: Network, config: Config, device: Device) -> Self {
        let anchors = config.anchors.generate(&grids(config.picture), config.picture);
        Self { network, config, anchors, device }
    }

    fn with(
        Identity { config, checkpoint }: &Identity,
        device: Device,
        execution: Execution,
    ) -> Result<Self, VisionError> {
        let load = |weights: &Weights| Network::load(&Loader::new(weights, execution), config);
        let network = weights::load(checkpoint, &device.burn(), FloatDType::F32, load)?;
        device.sync()?;
        Ok(Self::new(network, config.clone(), device))
    }

    /// The description of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The device that it computes on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The objects in each of some pictures, best first. They are computed together.
    ///
    /// # Errors
    /// [`VisionError`]: the network's values are no numbers, or the device failed.
    pub fn detect(&self, inputs: &[&Input]) -> Result<Vec<Vec<Detection>>, VisionError> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        in_pool(|| self.found(inputs))
    }

    fn found(&self, inputs: &[&Input]) -> Result<Vec<Vec<Detection>>, VisionError> {
        let [boxes, classes] = self.outputs(inputs)?;
        let (per_box, per_class) = (boxes.len() / inputs.len(), classes.len() / inputs.len());
        let images = boxes.par_chunks_exact(per_box).zip(classes.par_chunks_exact(per_class));
        let settings = &self.config.post_processing;
        images
            .map(|(boxes, classes)| detections(boxes, classes, &self.anchors, self.config.box_scales, settings))
            .collect()
    }

    /// The network's values for some pictures, row-major: the encodings of boxes `(pictures, anchors, 4)`, and the logits of the
    /// background and of the classes `(pictures, anchors, 1 + classes)`.
    ///
    /// # Errors
    /// [`VisionError`]: the device failed.
    pub fn outputs(&self, inputs: &[&Input]) -> Result<[Vec<f32>; 2], VisionError> {
        let forward = || self.network.forward(self.pictures(inputs), self.config.classes);
        let Outputs { boxes, classes } = in_pool(forward);
        let values = |values: Tensor<3>| -> Result<Vec<f32>, VisionError> {
            Ok(values.try_into_data()?.try_into_vec_as().expect("the outputs are float32"))
        };
        Ok([values(boxes)?, values(classes)?])
    }

    /// `(images, height, width, 3)`.
    fn pictures(&self, inputs: &[&Input]) -> Tensor<4> {
        let values = inputs.iter().map(|input| &input.values[..]).collect::<Vec<_>>().concat();
        let [height, width] = self.config.picture;
        let shape = [inputs.len(), height, width, 3];
        Tensor::from_data(TensorData::new(values, shape), (&self.device.burn(), DType::F32))
    }

    #[cfg(test)]
    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    #[cfg(test)]
    pub(super) fn prepared(&self, input: &Input) -> Tensor<4> {
        self.pictures(&[input])
    }

    #[cfg(test)]
    pub(super) fn anchors(&self) -> &[[f32; 4]] {
        &self.anchors
    }
}
