//! Training of an SSD as TensorFlow's Object Detection API does it.

mod augmentation;
mod initial;
mod losses;
mod mining;
mod saved;
mod schedule;
mod settings;
mod targets;
mod trainer;

pub use augmentation::{Augmentation, CropChoice, Example};
pub use initial::{beginning, initial};
pub use losses::{BoxLoss, ClassLoss, LossSettings};
pub use mining::{HardBy, Miner};
pub use schedule::Schedule;
pub use settings::{Hyperparameters, Initial, TrainingSettings};
pub use targets::{Match, Matcher, Targets, Truth};
pub use trainer::{Examples, Trained, Training};

#[cfg(test)]
mod golden;
