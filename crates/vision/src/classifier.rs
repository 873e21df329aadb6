//! A classifier of pictures as fastai v1's `cnn_learner` builds it: a feature extractor, and a head that pools its maps by maximum
//! and by mean.

mod augmentation;
mod body;
mod description;
mod export;
mod head;
mod labels;
mod model;
mod sampling;
mod split;
mod transform;

use burn::tensor::Tensor;
use nn::layers::{Execution, Loader};

use crate::backbone::ResNet;

pub use augmentation::Augmentation;
pub use body::{Body, UnknownBody};
pub use description::{DESCRIPTION, Description, DescriptionError, EXPORT};
pub use export::{ExportError, PickleError};
use head::Head;
pub use labels::{LabelledPictures, Labelling, LabelsError, PathPattern, PatternError};
pub use model::{Classifier, Identity, identify, most_probable, tensors};
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
        self.logits(self.pooled(self.maps(pictures)))
    }

    /// The same, with the head for one picture after the other: products of matrices are rounded differently for other numbers of
    /// rows, and a picture's answer must not depend on the others.
    fn forward_each(&self, pictures: Tensor<4>) -> Vec<Tensor<2>> {
        let pooled = self.pooled(self.maps(pictures));
        pooled.split(1, 0).into_iter().map(|pooled| self.logits(pooled)).collect()
    }

    /// The maps after the stem and after each stage, largest first.
    fn maps(&self, pictures: Tensor<4>) -> [Tensor<4>; 5] {
        self.body.features(self.execution.arrange(pictures))
    }

    /// The largest value and the mean of each channel of the last maps. The maximum is first in `AdaptiveConcatPool2d`.
    fn pooled(&self, [.., last]: [Tensor<4>; 5]) -> Tensor<2> {
        Tensor::cat(vec![self.execution.global_max(last.clone()), self.execution.global_mean(last)], 1)
    }

    fn logits(&self, pooled: Tensor<2>) -> Tensor<2> {
        self.head.logits(self.head.linear(pooled))
    }
}

#[cfg(test)]
mod golden;
