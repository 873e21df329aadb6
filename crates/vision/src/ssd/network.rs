use burn::tensor::Tensor;
use nn::checkpoint::CheckpointError;
use nn::layers::{After, Conv2d, Execution, Loader};

use super::config::Config;
use super::extractor::{Extractor, LEVELS};
use super::module::Module;
use super::tracing::{Layer, Tracing};
use crate::export::{Activation, ValueId};

/// Values of a box.
const CODE: usize = 4;

/// The network: a feature extractor, and a box predictor at each of its levels.
#[derive(Debug)]
pub(crate) struct Network {
    extractor: Extractor,
    predictors: Vec<Predictor>,
    execution: Execution,
}

/// The box predictor of a level.
#[derive(Debug)]
struct Predictor {
    boxes: Head,
    classes: Head,
    /// The name of its module.
    name: String,
}

/// A convolution of a box predictor.
#[derive(Debug)]
struct Head {
    conv: Conv2d,
    layer: Layer,
}

/// What the network answers for a batch, anchor by anchor.
#[derive(Debug)]
pub(crate) struct Outputs {
    /// `(images, anchors, 4)`: the encodings of boxes.
    pub(crate) boxes: Tensor<3>,
    /// `(images, anchors, 1 + classes)`: the logits of the background and of the classes.
    pub(crate) classes: Tensor<3>,
}

impl Network {
    /// Under the names of TensorFlow's variables, with `.` in the place of `/`.
    pub(crate) fn load(loader: &Loader, config: &Config) -> Self {
        let network = Module::new(loader);
        let extractor = Extractor::load(&network.at("FeatureExtractor"), &config.extractor);
        let predictor = |level: usize| {
            let (module, anchors) = (network.at(format!("BoxPredictor_{level}")), config.anchors.per_cell(level));
            let head = |name: &str, values: usize| {
                let module = module.at(name);
                let channels = [extractor.channels[level], anchors * values];
                let conv = Conv2d::load(module.loader(), channels, config.predictor_side, 1);
                Head { conv: conv.with_bias(module.loader()), layer: Layer::with_bias(&module, 1) }
            };
            let (boxes, classes) = (head("BoxEncodingPredictor", CODE), head("ClassPredictor", config.classes + 1));
            Predictor { boxes, classes, name: module.name().to_owned() }
        };
        let predictors = (0..LEVELS).map(predictor).collect();
        Self { extractor, predictors, execution: loader.execution() }
    }

    /// Pictures `(images, height, width, 3)` with values of -1 to 1, red first.
    pub(crate) fn forward(&self, pictures: Tensor<4>, classes: usize) -> Outputs {
        let maps = self.features(pictures);
        let values = |head: &Head, maps: &Tensor<4>, values: usize| {
            let out = self.execution.channels_innermost(head.conv.forward(maps.clone(), None, &After::Nothing));
            let [images, height, width, channels] = out.dims();
            out.reshape([images, height * width * channels / values, values])
        };
        let levels = || self.predictors.iter().zip(&maps);
        Outputs {
            boxes: Tensor::cat(levels().map(|(level, maps)| values(&level.boxes, maps, CODE)).collect(), 1),
            classes: Tensor::cat(levels().map(|(level, maps)| values(&level.classes, maps, classes + 1)).collect(), 1),
        }
    }

    /// The maps of each level.
    pub(crate) fn features(&self, pictures: Tensor<4>) -> Vec<Tensor<4>> {
        self.extractor.forward(self.execution.arrange(pictures))
    }

    /// The same values in a graph: encodings of boxes, and logits. These are their names.
    pub(super) fn trace(
        &self,
        tracing: &mut Tracing,
        pictures: ValueId,
        classes: usize,
        names: [&str; 2],
    ) -> Result<[ValueId; 2], CheckpointError> {
        let maps = self.extractor.trace(tracing, pictures)?;
        let (mut boxes, mut logits) = (Vec::new(), Vec::new());
        for (predictor, maps) in self.predictors.iter().zip(maps) {
            let encodings = tracing.convolution(&predictor.boxes.layer, maps, Activation::None)?;
            boxes.push(tracing.reshape(&predictor.name, "Reshape", encodings, CODE));
            let scores = tracing.convolution(&predictor.classes.layer, maps, Activation::None)?;
            logits.push(tracing.reshape(&predictor.name, "Reshape_1", scores, classes + 1));
        }
        Ok([tracing.concatenation(names[0], boxes), tracing.concatenation(names[1], logits)])
    }

    /// The implementation of its layers.
    #[cfg(test)]
    pub(crate) fn execution(&self) -> Execution {
        self.execution
    }
}
