//! StyleGAN2's own kernels for the CPU, beside those of [`nn::kernels`].

#![allow(clippy::needless_range_loop, reason = "loops over registers and positions, several arrays at the same index")]

mod scale;
mod styled;
mod to_rgb;
mod upsample;

pub(super) use scale::{Scale, ScaleToRgb};
pub(super) use styled::{Styled, StyledConvolution};
pub(super) use to_rgb::{AddRgb, ToRgb};
pub(super) use upsample::Upsample;

#[cfg(test)]
mod tests;
