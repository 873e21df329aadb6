//! Convolutions on the CPU, and the operations around them, on feature maps whose channels are innermost (NHWC).
//!
//! Every convolution ends in a product of matrices ([`gemm`]): pixels, or values computed from them, times weights that were
//! packed once. [`Winograd2d`] is for 3x3 kernels on large maps, [`Direct`] for the others. Channelwise operations before and
//! after a convolution are fused into it ([`Prologue`], [`Epilogue`]). A network adds its own kernels by [`MapOp`].

#![allow(clippy::needless_range_loop, reason = "loops over registers and positions, several arrays at the same index")]

mod arch;
mod convolution;
mod direct;
mod extent;
mod fused;
pub mod gemm;
mod huge_pages;
mod ops;
mod pad_channels;
mod peak;
mod scratch;
mod squeeze_excitation;
mod upsample_add;
pub mod winograd;
mod winograd_2d;

#[cfg(any(test, feature = "test-instructions"))]
pub use arch::TEST_INSTRUCTIONS;
pub use arch::arch;
pub use convolution::{Convolution, convolve};
pub use direct::Direct;
pub use extent::Extent;
pub use fused::{DenseEpilogue, Epilogue, Prologue, SimdEpilogue, SimdPrologue};
pub use ops::{MapOp, Maps, apply, merge};
pub use pad_channels::PadChannels;
pub use peak::peak_operations;
pub use scratch::Scratch;
pub use squeeze_excitation::{ExciteAdd, SqueezeExcitation};
pub use upsample_add::UpsampleAdd;
pub use winograd::{F23, F43, Stride2, Transposed, Winograd};
pub use winograd_2d::{Tiling, Winograd2d};

#[cfg(test)]
mod tests;
