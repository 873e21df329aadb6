//! MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381) as in TensorFlow's slim.

use burn::tensor::Tensor;
use nn::checkpoint::CheckpointError;

use super::layers::{ConvNorm, Projection};
use crate::export::ValueId;
use crate::ssd::module::Module;
use crate::ssd::tracing::Tracing;

/// The outputs of the first and of the last convolution.
const FIRST: usize = 32;
const LAST: usize = 1280;
/// The factor from a block's inputs to the channels of its depthwise convolution. The first block does not expand.
const EXPANSION: usize = 6;
/// Blocks of one form: their number, their outputs, and the stride of the first.
const BLOCKS: [(usize, usize, usize); 7] =
    [(1, 16, 1), (2, 24, 2), (3, 32, 2), (4, 64, 2), (3, 96, 1), (3, 160, 2), (1, 320, 1)];
/// The number of the block whose expanded maps are the first level, from 0.
const FIRST_LEVEL: usize = 13;
/// Channels are a multiple of this number.
const DIVISOR: usize = 8;

/// Channels with the depth multiplier: the nearest multiple of 8 from `least` on, but never less than 90 % of them.
pub(super) fn divisible(channels: usize, multiplier: f64, least: usize) -> usize {
    let wanted = channels as f64 * multiplier;
    let rounded = ((wanted + DIVISOR as f64 / 2.0) as usize / DIVISOR * DIVISOR).max(least);
    if (rounded as f64) < 0.9 * wanted { rounded + DIVISOR } else { rounded }
}

/// The network without its classifier.
#[derive(Debug)]
pub(super) struct MobileNetV2 {
    first: ConvNorm,
    blocks: Vec<Block>,
    last: ConvNorm,
    /// Of both levels.
    pub(super) channels: [usize; 2],
}

impl MobileNetV2 {
    pub(super) fn load(module: &Module, depth: impl Fn(usize) -> usize, epsilon: f64) -> Self {
        let mut inputs = depth(FIRST);
        let first = ConvNorm::of_three(&module.at("Conv"), [3, inputs], 2, epsilon);
        let mut blocks = Vec::new();
        let mut first_level = 0;
        for (count, outputs, stride) in BLOCKS {
            for index in 0..count {
                let name = match blocks.len() {
                    0 => "expanded_conv".to_owned(),
                    number => format!("expanded_conv_{number}"),
                };
                let expansion = if blocks.is_empty() { 1 } else { EXPANSION };
                if blocks.len() == FIRST_LEVEL {
                    first_level = inputs * expansion;
                }
                let (stride, channels) = (if index == 0 { stride } else { 1 }, [inputs, depth(outputs)]);
                blocks.push(Block::load(&module.at(name), channels, expansion, stride, epsilon));
                inputs = depth(outputs);
            }
        }
        let last = ConvNorm::pointwise(&module.at("Conv_1"), [inputs, depth(LAST)], epsilon);
        Self { first, blocks, last, channels: [first_level, depth(LAST)] }
    }

    /// The maps of both levels: a 16th and a 32nd of the size.
    pub(super) fn forward(&self, pictures: Tensor<4>) -> [Tensor<4>; 2] {
        let mut x = self.first.forward(pictures);
        let mut first_level = x.clone();
        for (number, block) in self.blocks.iter().enumerate() {
            let expanded = block.expanded(x.clone());
            if number == FIRST_LEVEL {
                first_level = expanded.clone();
            }
            x = block.reduced(expanded, x);
        }
        [first_level, self.last.forward(x)]
    }

    /// The same values in a graph.
    pub(super) fn trace(&self, tracing: &mut Tracing, pictures: ValueId) -> Result<[ValueId; 2], CheckpointError> {
        let mut x = self.first.trace(tracing, pictures)?;
        let mut first_level = x;
        for (number, block) in self.blocks.iter().enumerate() {
            let expanded = block.trace_expanded(tracing, x)?;
            if number == FIRST_LEVEL {
                first_level = expanded;
            }
            x = block.trace_reduced(tracing, expanded, x)?;
        }
        Ok([first_level, self.last.trace(tracing, x)?])
    }
}

/// An inverted residual.
#[derive(Debug)]
struct Block {
    expand: Option<ConvNorm>,
    depthwise: ConvNorm,
    project: Projection,
    /// Whether the inputs are added.
    is_residual: bool,
    /// The name of its module.
    name: String,
}

impl Block {
    fn load(module: &Module, [inputs, outputs]: [usize; 2], expansion: usize, stride: usize, epsilon: f64) -> Self {
        let channels = inputs * expansion;
        let expand = (expansion > 1).then(|| ConvNorm::pointwise(&module.at("expand"), [inputs, channels], epsilon));
        Self {
            expand,
            depthwise: ConvNorm::depthwise(&module.at("depthwise"), channels, stride, epsilon),
            project: Projection::load(&module.at("project"), [channels, outputs], epsilon),
            is_residual: stride == 1 && inputs == outputs,
            name: module.name().to_owned(),
        }
    }

    fn expanded(&self, inputs: Tensor<4>) -> Tensor<4> {
        match &self.expand {
            Some(expand) => expand.forward(inputs),
            None => inputs,
        }
    }

    fn reduced(&self, expanded: Tensor<4>, inputs: Tensor<4>) -> Tensor<4> {
        self.project.forward(self.depthwise.forward(expanded), self.is_residual.then_some(inputs))
    }

    fn trace_expanded(&self, tracing: &mut Tracing, inputs: ValueId) -> Result<ValueId, CheckpointError> {
        match &self.expand {
            Some(expand) => expand.trace(tracing, inputs),
            None => Ok(inputs),
        }
    }

    fn trace_reduced(
        &self,
        tracing: &mut Tracing,
        expanded: ValueId,
        inputs: ValueId,
    ) -> Result<ValueId, CheckpointError> {
        let spread = self.depthwise.trace(tracing, expanded)?;
        let reduced = self.project.trace(tracing, spread)?;
        Ok(if self.is_residual { tracing.addition(&self.name, [reduced, inputs]) } else { reduced })
    }
}
