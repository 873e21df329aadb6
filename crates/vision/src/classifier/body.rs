//! The feature extractors.

use std::fmt;
use std::str::FromStr;

use super::{IMAGENET_DEVIATIONS, IMAGENET_MEANS};
use crate::backbone::{Depth, EfficientNetLite0};

/// The feature extractor of a classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// ResNet-18.
    ResNet18,
    /// ResNet-34.
    ResNet34,
    /// ResNet-50.
    ResNet50,
    /// EfficientNet-Lite0.
    EfficientNetLite0,
}

impl Body {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ResNet18, Self::ResNet34, Self::ResNet50, Self::EfficientNetLite0];

    /// Its name: of a ResNet, that in torchvision.
    pub fn name(self) -> &'static str {
        match self {
            Self::ResNet18 => "resnet18",
            Self::ResNet34 => "resnet34",
            Self::ResNet50 => "resnet50",
            Self::EfficientNetLite0 => "efficientnet_lite0",
        }
    }

    /// Of a ResNet.
    pub(super) fn depth(self) -> Option<Depth> {
        match self {
            Self::ResNet18 => Some(Depth::Layers18),
            Self::ResNet34 => Some(Depth::Layers34),
            Self::ResNet50 => Some(Depth::Layers50),
            Self::EfficientNetLite0 => None,
        }
    }

    /// The mean and the deviation of each channel, red first, for values of 0 to 1, by which its published weights want pictures
    /// normalized.
    pub fn normalization(self) -> [[f32; 3]; 2] {
        match self {
            Self::EfficientNetLite0 => [[127.0 / 255.0; 3], [128.0 / 255.0; 3]],
            _ => [IMAGENET_MEANS, IMAGENET_DEVIATIONS],
        }
    }

    /// The channels of its last maps.
    pub fn features(self) -> usize {
        match self.depth().map(Depth::channels) {
            Some([.., features]) => features,
            None => EfficientNetLite0::CHANNELS,
        }
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network: resnet18, resnet34, resnet50 or efficientnet_lite0 would work")]
pub struct UnknownBody(pub String);

impl FromStr for Body {
    type Err = UnknownBody;

    fn from_str(word: &str) -> Result<Self, UnknownBody> {
        Self::ALL.into_iter().find(|body| body.name() == word).ok_or_else(|| UnknownBody(word.to_owned()))
    }
}
