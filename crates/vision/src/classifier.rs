//! A classifier of pictures as fastai v1's `cnn_learner` builds it: a feature extractor, and a head that pools its maps by maximum
//! and by mean.

mod augmentation;
mod body;
mod head;
mod labels;
mod sampling;
mod split;
mod transform;

use burn::tensor::Tensor;
use nn::layers::{Execution, Loader};

use crate::backbone::ResNet;

pub use augmentation::Augmentation;
pub use body::{Body, UnknownBody};
use head::Head;
pub use labels::{LabelledPictures, Labelling, LabelsError, PathPattern, PatternError};
pub use sampling::Pixels;
pub use split::Split;
pub use transform::{Transform, Zoom};

/// The mean of each channel of ImageNet's pictures, red first, for values of 0 to 1.
pub const IMAGENET_MEANS: [f32; 3] = [0.485, 0.456, 0.406];
/// The standard deviation of each channel of ImageNet's pictures, red first, for values of 0 to 1.
pub const IMAGENET_DEVIATIONS: [f32; 3] = [0.229, 0.224, 0.225];

/// The network.
#[derive(Debug)]
pub struct Network {
    body: ResNet,
    head: Head,
    execution: Execution,
}

/// What the network computes on the way.
#[derive(Debug)]
pub(crate) struct Features {
    /// The maps after the stem and after each stage, largest first.
    #[cfg_attr(not(test), expect(dead_code, reason = "compared in tests"))]
    pub(crate) maps: [Tensor<4>; 5],
    #[cfg_attr(not(test), expect(dead_code, reason = "compared in tests"))]
    pub(crate) pooled: Tensor<2>,
    #[cfg_attr(not(test), expect(dead_code, reason = "compared in tests"))]
    pub(crate) linear: Tensor<2>,
    pub(crate) logits: Tensor<2>,
}

impl Network {
    /// Under the names of fastai's checkpoints: the body is `0`, the head `1`.
    pub fn load(loader: &Loader, body: Body, classes: usize) -> Self {
        Self {
            body: ResNet::load_sequential(&loader.at(0), body.depth()),
            head: Head::load(&loader.at(1), body.features(), classes),
            execution: loader.execution(),
        }
    }

    /// From pictures `(images, height, width, 3)`, normalized, to logits `(images, classes)`.
    pub fn forward(&self, pictures: Tensor<4>) -> Tensor<2> {
        self.features(pictures).logits
    }

    pub(crate) fn features(&self, pictures: Tensor<4>) -> Features {
        let maps = self.body.features(self.execution.arrange(pictures));
        let [.., last] = maps.clone();
        // The maximum is first in `AdaptiveConcatPool2d`.
        let pooled = [self.execution.global_max(last.clone()), self.execution.global_mean(last)];
        let pooled = Tensor::cat(pooled.to_vec(), 1);
        let linear = self.head.linear(pooled.clone());
        let logits = self.head.logits(linear.clone());
        Features { maps, pooled, linear, logits }
    }
}

#[cfg(test)]
mod golden;
