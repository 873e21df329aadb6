//! Classifiers of pictures as fastai v1's `create_cnn` builds them: a feature extractor, and a head that pools its maps by maximum and
//! by mean. The networks that they begin from are classifiers too.

mod augmentation;
mod body;
mod description;
mod export;
mod extractor;
mod head;
mod labels;
mod model;
mod sampling;
mod split;
mod training;
mod transform;

use burn::tensor::Tensor;
use nn::layers::{Execution, Linear, Loader};

pub use augmentation::Augmentation;
pub use body::{Body, UnknownBody};
pub use description::{DESCRIPTION, Description, DescriptionError, EXPORT};
pub use export::{ExportError, PickleError};
use extractor::Extractor;
use head::Head;
pub use labels::{LabelledPictures, Labelling, LabelsError, PathPattern, PatternError};
pub use model::{Classifier, Identity, Layout, identify, most_probable, tensors, tensors_of};
pub use sampling::Pixels;
pub use split::Split;
pub use training::{Sample, Training, named_as_fastai};
pub use transform::{Transform, Zoom};

/// The mean of each channel of ImageNet's pictures, red first, for values of 0 to 1.
pub const IMAGENET_MEANS: [f32; 3] = [0.485, 0.456, 0.406];
/// The standard deviation of each channel of ImageNet's pictures, red first, for values of 0 to 1.
pub const IMAGENET_DEVIATIONS: [f32; 3] = [0.229, 0.224, 0.225];

/// The probabilities of fastai's dropouts.
const DROPOUTS: [f64; 2] = [0.25, 0.5];

/// The network.
#[derive(Debug)]
pub struct Network {
    body: Extractor,
    classifier: Layers,
    execution: Execution,
}

/// What comes after the body.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a network has one of them, and no network is small")]
enum Layers {
    /// fastai's head, on the largest value and the mean of each channel.
    Fastai(Head),
    /// One layer, on the mean of each channel.
    Published(Linear),
}

impl Network {
    /// Under the names of fastai's checkpoints: the body is `0`, the head `1`.
    pub fn load(loader: &Loader, body: Body, classes: usize) -> Self {
        Self::with_dropouts(loader, body, classes, DROPOUTS)
    }

    /// The same with other probabilities of the head's dropouts, first to last. They matter in training alone.
    pub fn with_dropouts(loader: &Loader, body: Body, classes: usize, dropouts: [f64; 2]) -> Self {
        Self {
            body: Extractor::load(&loader.at(0), body),
            classifier: Layers::Fastai(Head::load(&loader.at(1), body.features(), classes, dropouts)),
            execution: loader.execution(),
        }
    }

    /// The network as it is published, trained on ImageNet: the body's names have no prefix, and the last layer is `fc` or `_fc`.
    pub fn load_published(loader: &Loader, body: Body, classes: usize) -> Self {
        let last = loader.at(if body == Body::EfficientNetLite0 { "_fc" } else { "fc" });
        Self {
            body: Extractor::load_published(loader, body),
            classifier: Layers::Published(Linear::load(&last, [body.features(), classes])),
            execution: loader.execution(),
        }
    }

    /// From pictures `(images, height, width, 3)`, normalized, to logits `(images, classes)`.
    pub fn forward(&self, pictures: Tensor<4>) -> Tensor<2> {
        self.logits(self.features(pictures))
    }

    /// The same, with what comes after the body for one picture after the other: products of matrices are rounded differently for
    /// other numbers of rows, and a picture's answer must not depend on the others.
    fn forward_each(&self, pictures: Tensor<4>) -> Vec<Tensor<2>> {
        self.features(pictures).split(1, 0).into_iter().map(|features| self.logits(features)).collect()
    }

    /// The body's last maps, pooled.
    fn features(&self, pictures: Tensor<4>) -> Tensor<2> {
        self.pooled(self.body.forward(self.execution.arrange(pictures)))
    }

    fn pooled(&self, maps: Tensor<4>) -> Tensor<2> {
        let mean = self.execution.global_mean(maps.clone());
        match self.classifier {
            // The maximum is first in `AdaptiveConcatPool2d`.
            Layers::Fastai(_) => Tensor::cat(vec![self.execution.global_max(maps), mean], 1),
            Layers::Published(_) => mean,
        }
    }

    fn logits(&self, features: Tensor<2>) -> Tensor<2> {
        match &self.classifier {
            Layers::Fastai(head) => head.logits(head.linear(features)),
            Layers::Published(linear) => linear.forward(features),
        }
    }
}

#[cfg(test)]
mod golden;
