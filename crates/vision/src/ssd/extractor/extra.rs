use burn::tensor::Tensor;
use nn::checkpoint::CheckpointError;

use super::layers::ConvNorm;
use crate::export::ValueId;
use crate::ssd::module::Module;
use crate::ssd::tracing::Tracing;

/// A level after those of the backbone: half as large as the one before it (`feature_map_generators.py` of the Object Detection API).
#[derive(Debug)]
pub(super) struct Extra {
    narrow: ConvNorm,
    halve: ConvNorm,
}

impl Extra {
    /// `last` is the layer of the backbone whose name the level's layers begin with. `channels` are those of inputs, middle and outputs.
    pub(super) fn load(module: &Module, last: &str, level: usize, channels: [usize; 3], epsilon: f64) -> Self {
        let [inputs, middle, outputs] = channels;
        let narrow = module.at(format!("{last}_1_Conv2d_{level}_1x1_{middle}"));
        let halve = module.at(format!("{last}_2_Conv2d_{level}_3x3_s2_{outputs}"));
        Self {
            narrow: ConvNorm::pointwise(&narrow, [inputs, middle], epsilon),
            halve: ConvNorm::of_three(&halve, [middle, outputs], 2, epsilon),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.halve.forward(self.narrow.forward(x))
    }

    pub(super) fn trace(&self, tracing: &mut Tracing, x: ValueId) -> Result<ValueId, CheckpointError> {
        let narrow = self.narrow.trace(tracing, x)?;
        self.halve.trace(tracing, narrow)
    }
}
