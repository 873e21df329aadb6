//! Training: which anchors and regions stand for objects, four losses, and the loop around them.

mod losses;
mod matching;
mod pictures;
mod targets;
mod trainer;

pub use losses::{Batch, Example, Trained};
pub use matching::Sampling;
pub use pictures::Annotated;
pub use trainer::{CHECKPOINT, Told, Training};

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
