//! Gradients by Burn's autodiff, and the rule that applies them.

mod adam_w;
mod convolve;
mod max_pool;
mod normalize;
mod optimizer;

pub use adam_w::{AdamW, Group};
pub(crate) use convolve::{Form, convolve};
pub(crate) use max_pool::max_pool;
pub(crate) use normalize::{Normalized, activate, normalize};
pub use optimizer::{Optimizer, Rule};

#[cfg(test)]
mod tests;
