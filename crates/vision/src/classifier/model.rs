//! The network of a checkpoint with its description: from pictures to probabilities.

use std::fmt;

use burn::tensor::activation::softmax;
use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use nn::checkpoint::{Checkpoint, CheckpointError};
use nn::layers::{Execution, Loader};
use nn::weights::{self, Weights};
use nn::{Device, Precision};

use super::{Body, Description, Network, Pixels};
use crate::VisionError;

/// The names under which a network has its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// fastai's.
    Fastai,
    /// Those with which the body is published, trained on ImageNet: torchvision's for a ResNet.
    Published,
}

impl Layout {
    const ALL: [Self; 2] = [Self::Fastai, Self::Published];

    /// The bias of the last layer, whose length is the number of classes.
    fn last(self, body: Body) -> &'static str {
        match (self, body) {
            (Self::Fastai, _) => "1.8.bias",
            (Self::Published, Body::EfficientNetLite0) => "_fc.bias",
            (Self::Published, _) => "fc.bias",
        }
    }
}

/// A checkpoint that is a classifier's.
#[derive(Debug)]
pub struct Identity {
    /// The feature extractor.
    pub body: Body,
    /// Its names.
    pub layout: Layout,
    /// The number of classes.
    pub classes: usize,
    /// The checkpoint, with its tensors under the network's names.
    pub checkpoint: Checkpoint,
}

/// Identifies a checkpoint as that of a classifier, with or without a prefix before the names. Its values are not read.
///
/// # Errors
/// [`CheckpointError`]: why the checkpoint is not that of the network that has the most of its names.
pub fn identify(checkpoint: &Checkpoint) -> Result<Identity, CheckpointError> {
    let mut best: Option<(usize, Identity)> = None;
    for (layout, body) in Layout::ALL.into_iter().flat_map(|layout| Body::ALL.map(|body| (layout, body))) {
        let names = tensors_of(layout, body, 1);
        let checkpoint = checkpoint.unwrapped(names.iter().map(|(name, _)| name.as_str()))?;
        let bias = checkpoint.tensors().get(layout.last(body));
        let classes = bias.and_then(|bias| bias.shape().first().copied()).filter(|classes| *classes > 0).unwrap_or(1);
        let fits = |(name, shape): &&(String, Vec<usize>)| {
            checkpoint.tensors().get(name).is_some_and(|stored| stored.shape() == shape)
        };
        let count = tensors_of(layout, body, classes).iter().filter(fits).count();
        if best.as_ref().is_none_or(|(most, _)| count > *most) {
            best = Some((count, Identity { body, layout, classes, checkpoint }));
        }
    }
    let (_, identity) = best.expect("there are bodies");
    let Identity { body, layout, classes, checkpoint } = &identity;
    let network = format!("a classifier on {body}");
    weights::survey(checkpoint, &network, |weights| load(weights, Execution::Burn, *layout, *body, *classes))?;
    Ok(identity)
}

/// The names and shapes of the tensors of a network with fastai's head.
pub fn tensors(body: Body, classes: usize) -> Vec<(String, Vec<usize>)> {
    tensors_of(Layout::Fastai, body, classes)
}

/// The names and shapes of the tensors of a network.
pub fn tensors_of(layout: Layout, body: Body, classes: usize) -> Vec<(String, Vec<usize>)> {
    weights::list(|weights| load(weights, Execution::Burn, layout, body, classes))
}

fn load(weights: &Weights, execution: Execution, layout: Layout, body: Body, classes: usize) -> Network {
    let loader = Loader::new(weights, execution);
    match layout {
        Layout::Fastai => Network::load(&loader, body, classes),
        Layout::Published => Network::load_published(&loader, body, classes),
    }
}

/// A network with its weights on a device, and what its outputs mean.
pub struct Classifier {
    network: Network,
    body: Body,
    description: Description,
    device: Device,
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { body, device, description, .. } = self;
        write!(f, "Classifier {{ body: {body:?}, device: {device:?}, classes: {} }}", description.classes.len())
    }
}

impl Classifier {
    /// Loads the network of a checkpoint, in 32 bits.
    ///
    /// # Errors
    /// [`VisionError`]: a checkpoint that is damaged or has another number of classes than its description, or a device that failed.
    pub fn load(identity: &Identity, description: Description, device: Device) -> Result<Self, VisionError> {
        Self::with(identity, description, device, Execution::fastest(device, Precision::Float32))
    }

    /// Loads the network on Burn's operations alone, which are slower on a CPU: the reference for the kernels.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_reference(identity: &Identity, description: Description, device: Device) -> Result<Self, VisionError> {
        Self::with(identity, description, device, Execution::Burn)
    }

    fn with(
        identity: &Identity,
        description: Description,
        device: Device,
        execution: Execution,
    ) -> Result<Self, VisionError> {
        let Identity { body, layout, classes, checkpoint } = identity;
        if description.classes.len() != *classes {
            let file = checkpoint.file().to_owned();
            return Err(VisionError::Classes { file, network: *classes, named: description.classes.len() });
        }
        let network = |weights: &Weights| load(weights, execution, *layout, *body, *classes);
        let network = weights::load(checkpoint, &device.burn(), FloatDType::F32, network)?;
        device.sync()?;
        Ok(Self { network, body: *body, description, device })
    }

    /// The feature extractor.
    pub fn body(&self) -> Body {
        self.body
    }

    /// The classes and the inputs.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The device that it computes on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The probabilities of all classes for each of some [inputs](Description::input), which are computed together.
    ///
    /// # Errors
    /// [`VisionError`]: the network's values are no numbers, or the device failed.
    pub fn classify(&self, inputs: &[&Pixels]) -> Result<Vec<Vec<f32>>, VisionError> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let logits = self.network.forward_each(self.normalized(inputs));
        let probabilities = |logits: Tensor<2>| {
            let probabilities: Vec<f32> =
                softmax(logits, 1).try_into_data()?.try_into_vec_as().expect("numbers are converted");
            if probabilities.iter().all(|value| value.is_finite()) {
                Ok(probabilities)
            } else {
                Err(VisionError::NotFinite)
            }
        };
        logits.into_iter().map(probabilities).collect()
    }

    /// `(images, size, size, 3)`.
    fn normalized(&self, inputs: &[&Pixels]) -> Tensor<4> {
        let Description { image_size, means, deviations, .. } = &self.description;
        let mut values = Vec::with_capacity(inputs.len() * image_size * image_size * 3);
        for pixel in inputs.iter().flat_map(|input| input.values.as_chunks::<3>().0) {
            values.extend([0, 1, 2].map(|channel| (pixel[channel] - means[channel]) / deviations[channel]));
        }
        let shape = [inputs.len(), *image_size, *image_size, 3];
        Tensor::from_data(TensorData::new(values, shape), (&self.device.burn(), DType::F32))
    }
}

/// The most probable classes first: their indices and probabilities, at most `count`.
pub fn most_probable(probabilities: &[f32], count: usize) -> Vec<(usize, f32)> {
    let mut ranked: Vec<(usize, f32)> = probabilities.iter().copied().enumerate().collect();
    // Of equals, the first, as NumPy's and PyTorch's argmax.
    ranked.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    ranked.truncate(count);
    ranked
}

#[cfg(test)]
mod tests;
