//! Gradients by Burn's autodiff, and the rule that applies them.

mod adam_w;
mod convolve;
mod max_pool;
mod normalize;
mod optimizer;
mod sgd;

pub use adam_w::{AdamW, Group};
pub(crate) use convolve::{Form, convolve, with_operations};
pub(crate) use max_pool::max_pool;
pub(crate) use normalize::{Normalized, activate, normalize};
pub use optimizer::{Optimizer, Rule};
pub use sgd::Sgd;

pub(crate) use crate::kernels::gradients::Activation;

#[cfg(test)]
mod tests;
