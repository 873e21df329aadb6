use burn::tensor::Tensor;
use nn::layers::{After, Conv2d, Execution, Loader};

use super::config::Config;
use super::extractor::{Extractor, LEVELS};

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
    boxes: Conv2d,
    classes: Conv2d,
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
        let extractor = Extractor::load(&loader.at("FeatureExtractor"), &config.extractor);
        let predictor = |level: usize| {
            let (loader, anchors) = (loader.at(format!("BoxPredictor_{level}")), config.anchors.per_cell(level));
            let conv = |name: &str, values: usize| {
                let loader = loader.at(name);
                let channels = [extractor.channels[level], anchors * values];
                Conv2d::load(&loader, channels, config.predictor_side, 1).with_bias(&loader)
            };
            Predictor { boxes: conv("BoxEncodingPredictor", CODE), classes: conv("ClassPredictor", config.classes + 1) }
        };
        let predictors = (0..LEVELS).map(predictor).collect();
        Self { extractor, predictors, execution: loader.execution() }
    }

    /// Pictures `(images, height, width, 3)` with values of -1 to 1, red first.
    pub(crate) fn forward(&self, pictures: Tensor<4>, classes: usize) -> Outputs {
        let maps = self.features(pictures);
        let values = |conv: &Conv2d, maps: &Tensor<4>, values: usize| {
            let out = self.execution.channels_innermost(conv.forward(maps.clone(), None, &After::Nothing));
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

    /// The implementation of its layers.
    #[cfg(test)]
    pub(crate) fn execution(&self) -> Execution {
        self.execution
    }
}
