//! What a training consists of.

use std::time::Duration;

use super::one_cycle::OneCycle;

/// The settings of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The phases, one after the other. Each begins with new moments.
    pub phases: Vec<Phase>,
    /// The examples of a batch, at least 1. What is left at an epoch's end is not used.
    pub batch: usize,
    /// What is random follows from it.
    pub seed: u64,
    /// The weight decay.
    pub decay: f64,
    /// The decay of the optimizer's second moment.
    pub beta2: f64,
    /// What is added to the root of the second moment.
    pub epsilon: f64,
    /// The epochs without a better validation loss after which the training ends.
    pub patience: Option<usize>,
    /// Whether the parameters at the end are those of the epoch with the smallest validation loss, and not those of the last step.
    pub keeps_best: bool,
    /// The time from checkpoint to checkpoint. There is one after every epoch in any case.
    pub checkpoint_every: Duration,
    /// What else the result depends on, such as the settings of the data: a checkpoint with another text is not resumed.
    pub settings: String,
}

/// Epochs with the same parameters frozen, under one cycle of rates.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Their number.
    pub epochs: usize,
    /// The largest learning rate of each group.
    pub rates: Vec<f64>,
}

impl Plan {
    /// The batches of an epoch.
    pub fn batches(&self, examples: usize) -> usize {
        match examples / self.batch {
            // A batch that is not full is better than nothing.
            0 => usize::from(examples > 0),
            batches => batches,
        }
    }

    /// All epochs of all phases.
    pub fn epochs(&self) -> usize {
        self.phases.iter().map(|phase| phase.epochs).sum()
    }

    pub(super) fn cycle(&self, phase: usize, batches: usize) -> OneCycle {
        let Phase { epochs, rates } = &self.phases[phase];
        OneCycle::new(epochs * batches, rates.clone())
    }

    /// All that the result depends on.
    pub(super) fn fingerprint(&self) -> String {
        let Self { phases, batch, seed, decay, beta2, epsilon, patience, keeps_best, checkpoint_every: _, settings } =
            self;
        let kept = if *keeps_best { "best" } else { "last" };
        format!(
            "{settings}; {phases:?}, batches of {batch}, seed {seed}, {decay} {beta2} {epsilon} {patience:?}, {kept}"
        )
    }
}
