//! Gradients by Burn's autodiff, and the rule that applies them.

mod adam_w;
mod convolve;
mod max_pool;
mod normalize;
mod pass;

pub use adam_w::{AdamW, Group};
pub(crate) use convolve::convolve;
pub(crate) use max_pool::max_pool;
pub(crate) use normalize::{Normalized, normalize};
pub(crate) use pass::Training;
pub use pass::{Gradients, Pass, Statistics};

#[cfg(test)]
mod tests;
