//! MobileNetV1 (Howard et al. 2017, arXiv 1704.04861) with a quarter of its channels, as RetinaFace has it.

use burn::tensor::Tensor;
use nn::layers::Loader;

use super::conv_norm::ConvNorm;

/// The slope of the activations below zero.
const SLOPE: f32 = 0.1;
/// The outputs and the stride of the first convolution.
const FIRST: (usize, usize) = (8, 2);
/// The outputs and strides of the other layers, stage by stage: an eighth, a 16th and a 32nd of the size at their ends.
const STAGES: [&[(usize, usize)]; 3] = [
    &[(16, 1), (32, 2), (32, 1), (64, 2), (64, 1)],
    &[(128, 2), (128, 1), (128, 1), (128, 1), (128, 1), (128, 1)],
    &[(256, 2), (256, 1)],
];

/// The network without its classifier.
#[derive(Debug)]
pub struct MobileNetV1 {
    first: ConvNorm,
    stages: [Vec<Separable>; 3],
}

impl MobileNetV1 {
    /// The output channels of each stage.
    pub const CHANNELS: [usize; 3] = [64, 128, 256];

    /// Under the names `stage1` to `stage3`.
    pub fn load(loader: &Loader) -> Self {
        let mut inputs = FIRST.0;
        let mut stage = |index: usize| {
            let loader = loader.at(format!("stage{}", index + 1));
            // The first convolution is layer 0 of the first stage.
            let before = usize::from(index == 0);
            let layer = |(layer, (outputs, stride)): (usize, &(usize, usize))| {
                let channels = [std::mem::replace(&mut inputs, *outputs), *outputs];
                Separable::load(&loader.at(layer + before), channels, *stride)
            };
            STAGES[index].iter().enumerate().map(layer).collect()
        };
        let stages = [stage(0), stage(1), stage(2)];
        Self { first: ConvNorm::load(&loader.at("stage1").at(0), [3, FIRST.0], 3, FIRST.1), stages }
    }

    /// The maps after each stage.
    pub fn forward(&self, pictures: Tensor<4>) -> [Tensor<4>; 3] {
        let mut x = self.first.forward_leaky(pictures, SLOPE);
        self.stages.each_ref().map(|stage| {
            x = stage.iter().fold(x.clone(), |x, layer| layer.forward(x));
            x.clone()
        })
    }
}

/// A depthwise convolution, then one of single pixels.
#[derive(Debug)]
struct Separable {
    depthwise: ConvNorm,
    pointwise: ConvNorm,
}

impl Separable {
    fn load(loader: &Loader, channels: [usize; 2], stride: usize) -> Self {
        // Layers 2 and 5 of the `Sequential` are activations.
        Self {
            depthwise: ConvNorm::depthwise(&loader.at(0), &loader.at(1), channels[0], stride),
            pointwise: ConvNorm::named(&loader.at(3), &loader.at(4), channels, 1, 1),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.pointwise.forward_leaky(self.depthwise.forward_leaky(x, SLOPE), SLOPE)
    }
}
