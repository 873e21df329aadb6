//! Convolutions on the CPU, on feature maps whose channels lie side by side: image by row by column by channel.
//!
//! Everything ends in one product of matrices ([`gemm`]): pixels, or values made of them, times weights that were packed once.
//! [`Nested`] is for 3x3 kernels on maps worth it, [`Direct`] for everything else; [`Upsample`] doubles the size. What comes
//! before and after a convolution in a network is done on the way, while the values are at hand ([`Prologue`], [`Epilogue`]).

#![allow(clippy::needless_range_loop, reason = "loops over registers and positions, several arrays at the same index")]

mod arch;
mod around;
mod direct;
mod enlarge;
mod excite;
mod filtering;
mod flex;
mod gemm;
mod maps;
mod nested;
mod pages;
mod peak;
mod rgb;
mod scale;
mod space;
mod upsample;

pub(crate) use around::{Epilogue, Prologue};
pub(crate) use direct::Direct;
pub(crate) use excite::Excite;
pub(crate) use flex::{Convolution, Merge, convolve, merge, scale};
pub(crate) use gemm::COLUMNS;
pub(crate) use nested::Nested;
pub use peak::peak_operations;
pub(crate) use rgb::ToRgb;
pub(crate) use scale::{Scale, Styled};
pub(crate) use upsample::Upsample;

#[cfg(test)]
mod tests;
