//! What variables begin with.

use nn::checkpoint::{Checkpoint, CheckpointError, StoredTensor};
use nn::layers::{Execution, Loader};
use nn::weights::{self, Weights};
use nn::{Device, Parameters, Random};

use super::super::config::Config;
use super::super::network::Network;
use super::super::variables::as_layers;
use super::settings::{Hyperparameters, Initial, TrainingSettings};

/// The scope of a feature extractor's variables in a detector's checkpoint. That of a classifier does not have it.
const SCOPE: &str = "FeatureExtractor/";
/// The scopes of the backbones in a classifier's checkpoint.
const BACKBONES: [&str; 2] = ["MobilenetV1/", "MobilenetV2/"];

/// The parameters of a network before training: weights at random, normalizations that change nothing, and biases of 0, or what the
/// settings say for those of classes.
///
/// # Errors
/// None that is known: the tensors are computed.
pub fn initial(
    config: &Config,
    settings: &TrainingSettings,
    seed: u64,
    device: Device,
) -> Result<Parameters, CheckpointError> {
    let network = |weights: &Weights| Network::load(&Loader::new(weights, Execution::Burn), config);
    let layers = weights::list(network);
    let tensors = layers.into_iter().enumerate().map(|(index, (name, shape))| {
        let mut random = Random::of(seed, &[index as u64]);
        let count = shape.iter().product();
        let values: Vec<f32> = if shape.len() == 4 {
            let initial = settings.of(&name).initial;
            (0..count).map(|_| initial.draw(&mut random) as f32).collect()
        } else if name.ends_with("ClassPredictor.bias") {
            vec![settings.class_bias; count]
        } else if name.ends_with("running_var") || name.ends_with("weight") {
            vec![1.0; count]
        } else {
            vec![0.0; count]
        };
        (name, StoredTensor::computed(shape, move || values.clone()))
    });
    Parameters::load(&Checkpoint::computed("the network before training", tensors), device, network)
}

/// The tensors of a checkpoint that a training begins with, under the names of the layers: those of a detector, or the backbone of a
/// classifier (`fine_tune_checkpoint_type` of both kinds).
pub fn beginning(checkpoint: &Checkpoint) -> Checkpoint {
    if checkpoint.tensors().keys().any(|name| name.starts_with(SCOPE)) {
        return as_layers(checkpoint);
    }
    as_layers(&checkpoint.renamed(|name| match BACKBONES.iter().any(|backbone| name.starts_with(backbone)) {
        true => format!("{SCOPE}{name}"),
        false => name.to_owned(),
    }))
}

impl TrainingSettings {
    /// The hyperparameters of a layer's tensor.
    pub(super) fn of(&self, name: &str) -> Hyperparameters {
        if name.starts_with("BoxPredictor") {
            self.predictor
        } else if name.contains("_1_Conv2d_") || name.contains("_2_Conv2d_") {
            self.levels
        } else {
            self.backbone
        }
    }

    /// The L2 regularization of a layer's tensor. Of depthwise kernels, those of MobileNetV1 alone have one.
    pub(super) fn l2(&self, name: &str) -> f64 {
        let Some(module) = name.strip_suffix(".weight").filter(|module| !module.ends_with("BatchNorm")) else {
            return 0.0;
        };
        let is_depthwise = module.ends_with("depthwise");
        if is_depthwise && !name.contains("MobilenetV1") { 0.0 } else { self.of(name).l2 }
    }
}

impl Initial {
    fn draw(self, random: &mut Random) -> f64 {
        match self {
            Self::Normal { mean, deviation } => mean + deviation * random.normal(),
            Self::TruncatedNormal { mean, deviation } => loop {
                let value = random.normal();
                if value.abs() <= 2.0 {
                    return mean + deviation * value;
                }
            },
        }
    }
}
