//! The layers of PyTorch, under their names there. Feature maps are `(images, channels, height, width)` for Burn's operations and
//! `(images, height, width, channels)` for the kernels of the CPU.

mod batch_norm1d;
mod batch_norm2d;
mod channelwise;
mod conv2d;
mod dropout;
mod kernel;
mod linear;
mod loader;
mod maps;
mod prelu;
mod same_conv2d;
mod squeeze_excitation;
mod sum_conv2d;

pub use batch_norm1d::BatchNorm1d;
pub use batch_norm2d::BatchNorm2d;
pub use channelwise::{Channelwise, host};
pub use conv2d::{After, Conv2d, convolve};
pub use dropout::Dropout;
pub use kernel::{Kernel, channels_last};
pub use linear::Linear;
pub use loader::{Budget, Execution, Loader, Norms};
pub use prelu::{PReLU, leak};
pub use same_conv2d::SameConv2d;
pub use squeeze_excitation::SqueezeExcitation;
pub use sum_conv2d::SumConv2d;
