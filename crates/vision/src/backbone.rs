//! Feature extractors, under the names that their layers have in torchvision and in the detectors' checkpoints.

mod conv_norm;
mod efficient_net_lite0;
mod fpn;
mod mobile_net_v1;
mod resnet;

pub use conv_norm::ConvNorm;
pub use efficient_net_lite0::EfficientNetLite0;
pub use fpn::Fpn;
pub use mobile_net_v1::MobileNetV1;
pub use resnet::{Depth, ResNet, Stage, Stem, Style};
