//! MobileNetV1 (Howard et al. 2017, arXiv 1704.04861) as in TensorFlow's slim.

use burn::tensor::Tensor;
use nn::checkpoint::CheckpointError;

use super::layers::ConvNorm;
use crate::export::ValueId;
use crate::ssd::module::Module;
use crate::ssd::tracing::Tracing;

/// The outputs of the first convolution.
const FIRST: usize = 32;
/// The outputs and strides of the layers after it.
const LAYERS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];
/// The number of the layer whose maps are the first level.
const FIRST_LEVEL: usize = 11;

/// The network without its classifier.
#[derive(Debug)]
pub(super) struct MobileNetV1 {
    first: ConvNorm,
    /// Each a depthwise convolution, and one of single pixels.
    layers: Vec<[ConvNorm; 2]>,
    /// Of both levels.
    pub(super) channels: [usize; 2],
}

impl MobileNetV1 {
    pub(super) fn load(module: &Module, depth: impl Fn(usize) -> usize, epsilon: f64) -> Self {
        let mut inputs = depth(FIRST);
        let first = ConvNorm::of_three(&module.at("Conv2d_0"), [3, inputs], 2, epsilon);
        let layer = |(index, (outputs, stride)): (usize, (usize, usize))| {
            let outputs = depth(outputs);
            let channels = [std::mem::replace(&mut inputs, outputs), outputs];
            let name = |kind: &str| module.at(format!("Conv2d_{}_{kind}", index + 1));
            [
                ConvNorm::depthwise(&name("depthwise"), channels[0], stride, epsilon),
                ConvNorm::pointwise(&name("pointwise"), channels, epsilon),
            ]
        };
        let layers = LAYERS.into_iter().enumerate().map(layer).collect();
        Self { first, layers, channels: [depth(LAYERS[FIRST_LEVEL - 1].0), inputs] }
    }

    /// The maps of both levels: a 16th and a 32nd of the size.
    pub(super) fn forward(&self, pictures: Tensor<4>) -> [Tensor<4>; 2] {
        let (before, after) = self.layers.split_at(FIRST_LEVEL);
        let run = |x: Tensor<4>, layers: &[[ConvNorm; 2]]| {
            layers.iter().fold(x, |x, [depthwise, pointwise]| pointwise.forward(depthwise.forward(x)))
        };
        let first = run(self.first.forward(pictures), before);
        [first.clone(), run(first, after)]
    }

    /// The same values in a graph.
    pub(super) fn trace(&self, tracing: &mut Tracing, pictures: ValueId) -> Result<[ValueId; 2], CheckpointError> {
        let mut x = self.first.trace(tracing, pictures)?;
        let mut first = x;
        for (index, [depthwise, pointwise]) in self.layers.iter().enumerate() {
            if index == FIRST_LEVEL {
                first = x;
            }
            let spread = depthwise.trace(tracing, x)?;
            x = pointwise.trace(tracing, spread)?;
        }
        Ok([first, x])
    }
}
