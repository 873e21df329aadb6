//! Convolutions, normalizations and pooling in training, on feature maps whose channels are innermost (NHWC): forward, and the
//! gradients of inputs and weights. How work is split depends on shapes alone, so that results do not depend on the threads.

mod adam;
mod convolution;
mod depthwise;
mod max_pool;
mod normalization;
mod sgd;
mod transposed;
mod weight_gradient;

pub(crate) use adam::{AdamStep, adam};
pub(crate) use convolution::{Shape, forward, input_gradient};
pub(crate) use max_pool::{max_pool, max_pool_gradient};
pub(crate) use normalization::{Activation, Normalization, statistics};
pub(crate) use sgd::{SgdStep, sgd};
pub(crate) use weight_gradient::weight_gradient;
