//! Boxes: priors, their coding as offsets, scores, and non-maximum suppression.
//!
//! A box is `[left, top, right, bottom]`, and a prior `[centre x, centre y, width, height]`, in multiples of the picture's width
//! and height.

mod coder;
mod nms;
mod number;
mod priors;
mod scores;
mod selection;

pub use coder::{decode, decode_points};
pub use nms::suppress;
pub use number::Number;
pub use priors::{Level, Priors};
pub use scores::second_probability;
pub use selection::{Selected, Thresholds, select};

#[cfg(test)]
mod golden;
