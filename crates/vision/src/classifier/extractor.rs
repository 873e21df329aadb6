//! The network of a body.

use burn::tensor::Tensor;
use nn::layers::Loader;

use super::Body;
use crate::backbone::{EfficientNetLite0, ResNet};

/// The feature extractor with its weights.
#[derive(Debug)]
pub(super) enum Extractor {
    ResNet(Box<ResNet>),
    EfficientNetLite0(Box<EfficientNetLite0>),
}

impl Extractor {
    /// Under fastai's names: a ResNet is a `Sequential`.
    pub(super) fn load(loader: &Loader, body: Body) -> Self {
        match body.depth() {
            Some(depth) => Self::ResNet(Box::new(ResNet::load_sequential(loader, depth))),
            None => Self::EfficientNetLite0(Box::new(EfficientNetLite0::load(loader))),
        }
    }

    /// Under the names that it is published with.
    pub(super) fn load_published(loader: &Loader, body: Body) -> Self {
        match body.depth() {
            Some(depth) => Self::ResNet(Box::new(ResNet::load(loader, depth))),
            None => Self::EfficientNetLite0(Box::new(EfficientNetLite0::load(loader))),
        }
    }

    /// The last maps of some pictures, in the layout of the loader's execution.
    pub(super) fn forward(&self, pictures: Tensor<4>) -> Tensor<4> {
        match self {
            Self::ResNet(network) => {
                let [.., last] = network.forward(pictures);
                last
            }
            Self::EfficientNetLite0(network) => network.forward(pictures),
        }
    }

    #[cfg(test)]
    pub(super) fn resnet(&self) -> &ResNet {
        match self {
            Self::ResNet(network) => network,
            Self::EfficientNetLite0(_) => panic!("another network"),
        }
    }
}
