//! Convolutions on the CPU, on feature maps as Burn and PyTorch lay them out: channel after channel, row after row.
//!
//! Everything ends in one product of matrices: weights, packed once for the [`gemm`] kernel, times panels of 16 pixels or tiles.
//! [`winograd`] is for 3x3 kernels on maps worth it, [`direct`] for everything else; [`upsample`] doubles the size. What comes
//! before and after a convolution in a network is done on the way, while the values are at hand ([`Prologue`], [`Epilogue`]).

mod around;
mod direct;
mod flex;
mod gemm;
mod pages;
mod peak;
mod space;
mod upsample;
mod winograd;

pub(crate) use around::{Epilogue, Prologue};
pub(crate) use direct::Direct;
pub(crate) use flex::{Convolution, convolve};
pub use peak::peak_operations;
pub(crate) use upsample::Upsample;
pub(crate) use winograd::Winograd;

#[cfg(test)]
mod tests;
