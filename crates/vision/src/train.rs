//! Training of any network: a loop of steps over mixed batches, in phases, with a schedule, exact checkpoints and a history.
//!
//! A [`Task`] plugs a network, its data and its loss in. [`train`] runs it.

pub(crate) mod batches;
mod error;
mod finder;
mod history;
mod one_cycle;
mod plan;
mod report;
mod saved;
mod task;
mod trainer;

pub use error::TrainError;
pub use finder::{Finding, find_rate};
pub use history::{Epoch, History};
pub use one_cycle::{InEffect, OneCycle};
pub use plan::{Phase, Plan};
pub use report::report;
pub use saved::{CHECKPOINT, Checkpoints};
pub use task::{Losses, Spoiled, Task, Validation};
pub use trainer::{Control, Event, Outcome, train};

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
