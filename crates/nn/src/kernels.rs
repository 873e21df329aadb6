//! Convolutions on the CPU, and the operations around them, on feature maps whose channels are innermost (NHWC).
//!
//! Every convolution ends in a product of matrices ([`gemm`]): pixels, or values computed from them, times weights that were
//! packed once. [`Winograd2d`] is for 3x3 kernels on large maps, [`Strassen`] for kernels of one pixel there, [`Patches`] for few
//! channels, [`Direct`] for the others. [`Depthwise`] convolutions are plain sums. Channelwise operations before and after a convolution
//! are fused into it ([`Prologue`], [`Epilogue`]). A network adds its own kernels by [`MapOp`].

#![allow(clippy::needless_range_loop, reason = "loops over registers and positions, several arrays at the same index")]

mod arch;
mod concatenate;
mod convolution;
mod data;
mod depthwise;
mod direct;
mod extent;
mod finish;
mod fused;
pub mod gemm;
pub(crate) mod gradients;
mod huge_pages;
mod max_pool;
mod nearest_add;
mod ops;
mod packed;
mod pad_channels;
mod padding;
mod patches;
mod peak;
mod phases;
mod pixels;
mod place;
mod pooled;
mod prefetch;
mod prepared;
mod region;
mod scratch;
mod squeeze_excitation;
mod strassen;
mod strided_7x7;
mod upsample_add;
pub mod winograd;
mod winograd_2d;
mod winograd_outputs;
mod winograd_patches;
mod winograd_taps;
mod winograd_weights;

#[cfg(any(test, feature = "test-instructions"))]
pub use arch::TEST_INSTRUCTIONS;
pub use arch::arch;
pub use concatenate::Concatenate;
pub use convolution::{Convolution, convolve, convolve_add};
pub use data::data;
pub use depthwise::Depthwise;
pub use direct::Direct;
pub use extent::Extent;
pub use fused::{DenseEpilogue, Epilogue, Prologue, SimdEpilogue, SimdPrologue};
pub use max_pool::MaxPool;
pub use nearest_add::NearestAdd;
pub(crate) use ops::numbers;
pub use ops::{MapOp, Maps, UpdateOp, apply, join, merge, update};
pub use packed::Use;
pub use pad_channels::PadChannels;
pub use padding::Padding;
pub use patches::Patches;
pub use peak::peak_operations;
pub use phases::Phases;
pub use pixels::{Pixels, Pointwise, Source, convolve_both};
pub use place::Place;
pub use pooled::Pooled;
pub use scratch::Scratch;
pub use squeeze_excitation::{ExciteAdd, SqueezeExcitation};
pub use strassen::Strassen;
pub use strided_7x7::Strided7x7;
pub use upsample_add::{RowSpan, UpsampleAdd, UpsampleMultiply};
pub use winograd::{F23, F43, F63, Stride2, Stride2F42, Transposed, Winograd};
pub use winograd_2d::{Tiling, Winograd2d};

#[cfg(test)]
mod tests;
