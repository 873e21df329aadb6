//! The feature extractors, under the names that their variables have in TensorFlow, with `.` in the place of `/`.

mod extra;
mod layers;
mod mobile_net_v1;
mod mobile_net_v2;

use burn::tensor::Tensor;
use nn::checkpoint::CheckpointError;
use nn::layers::Norms;

use super::config::{Backbone, ExtractorConfig, NormConfig};
use super::module::Module;
use super::tracing::Tracing;
use crate::export::ValueId;
use extra::Extra;
use mobile_net_v1::MobileNetV1;
use mobile_net_v2::MobileNetV2;

/// The levels after those of the backbone, for both extractors: their channels before the depth multiplier.
const EXTRA: [usize; 4] = [512, 256, 256, 128];
/// Levels of a backbone.
const OF_BACKBONE: usize = 2;
/// The levels of maps.
pub(super) const LEVELS: usize = OF_BACKBONE + EXTRA.len();
/// The halvings of the size down to the first level.
const HALVINGS: usize = 4;

/// A feature extractor.
#[derive(Debug)]
pub(super) struct Extractor {
    backbone: Network,
    extra: Vec<Extra>,
    /// Of each level.
    pub(super) channels: [usize; LEVELS],
}

#[derive(Debug)]
enum Network {
    V1(Box<MobileNetV1>),
    V2(Box<MobileNetV2>),
}

/// Channels with the depth multiplier: those of MobileNetV1, and those of the levels after both backbones.
fn multiplied(channels: usize, multiplier: f64, least: usize) -> usize {
    ((channels as f64 * multiplier) as usize).max(least)
}

impl Extractor {
    pub(super) fn load<'a>(module: &Module<'a>, config: &ExtractorConfig) -> Self {
        let ExtractorConfig { backbone, depth_multiplier, min_depth, backbone_norm, norm } = *config;
        let of = |module: &Module<'a>, norm: NormConfig| {
            module.with_norms(Norms { momentum: 1.0 - norm.decay, are_fixed: norm.is_fixed })
        };
        let depth = |channels: usize| multiplied(channels, depth_multiplier, min_depth);
        let (module, last, network) = match backbone {
            Backbone::MobileNetV1 => {
                let module = module.at("MobilenetV1");
                let network = MobileNetV1::load(&of(&module, backbone_norm), depth, backbone_norm.epsilon);
                (module, "Conv2d_13_pointwise", Network::V1(Box::new(network)))
            }
            Backbone::MobileNetV2 => {
                let module = module.at("MobilenetV2");
                let depth = |channels: usize| mobile_net_v2::divisible(channels, depth_multiplier, min_depth);
                let network = MobileNetV2::load(&of(&module, backbone_norm), depth, backbone_norm.epsilon);
                (module, "layer_19", Network::V2(Box::new(network)))
            }
        };
        let [first, mut inputs] = match &network {
            Network::V1(network) => network.channels,
            Network::V2(network) => network.channels,
        };
        let mut channels = [first, inputs, 0, 0, 0, 0];
        let mut extra = Vec::new();
        for (index, outputs) in EXTRA.into_iter().enumerate() {
            let (level, middle, outputs) = (OF_BACKBONE + index, depth(outputs / 2), depth(outputs));
            extra.push(Extra::load(&of(&module, norm), last, level, [inputs, middle, outputs], norm.epsilon));
            channels[level] = outputs;
            inputs = outputs;
        }
        Self { backbone: network, extra, channels }
    }

    /// The maps of each level, largest first, in the layout of the loader's execution.
    pub(super) fn forward(&self, pictures: Tensor<4>) -> Vec<Tensor<4>> {
        let maps = match &self.backbone {
            Network::V1(network) => network.forward(pictures),
            Network::V2(network) => network.forward(pictures),
        };
        let mut levels = Vec::from(maps);
        for extra in &self.extra {
            levels.push(extra.forward(levels[levels.len() - 1].clone()));
        }
        levels
    }

    /// The same values in a graph.
    pub(super) fn trace(&self, tracing: &mut Tracing, pictures: ValueId) -> Result<Vec<ValueId>, CheckpointError> {
        let maps = match &self.backbone {
            Network::V1(network) => network.trace(tracing, pictures)?,
            Network::V2(network) => network.trace(tracing, pictures)?,
        };
        let mut levels = Vec::from(maps);
        for extra in &self.extra {
            levels.push(extra.trace(tracing, levels[levels.len() - 1])?);
        }
        Ok(levels)
    }
}

/// The rows and columns of each level, for pictures of this height and width.
pub(super) fn grids(picture: [usize; 2]) -> [[usize; 2]; LEVELS] {
    std::array::from_fn(|level| picture.map(|side| side.div_ceil(1 << (HALVINGS + level))))
}
