//! Batches, made beside the steps.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use nn::Random;
use rayon::prelude::*;

use super::plan::Plan;
use super::task::{Spoiled, Task};

/// Batches that wait for their step.
const AHEAD: usize = 2;

/// What a random number is for: these keep the sequences apart.
const ORDER: u64 = 1;
const SAMPLE: u64 = 2;
const STEP: u64 = 3;

/// The examples of a batch.
pub(crate) struct Batch<S> {
    pub(crate) samples: Vec<S>,
    /// Those that are missing in it.
    pub(crate) spoiled: Vec<Spoiled>,
}

impl<S> FromIterator<Result<S, Spoiled>> for Batch<S> {
    fn from_iter<I: IntoIterator<Item = Result<S, Spoiled>>>(made: I) -> Self {
        let mut batch = Self { samples: Vec::new(), spoiled: Vec::new() };
        for sample in made {
            match sample {
                Ok(sample) => batch.samples.push(sample),
                Err(spoiled) => batch.spoiled.push(spoiled),
            }
        }
        batch
    }
}

/// An epoch of a training, counted over all phases.
#[derive(Clone, Copy)]
pub(super) struct EpochOf<'a> {
    pub(super) plan: &'a Plan,
    pub(super) epoch: usize,
}

impl EpochOf<'_> {
    /// The examples in the order of the epoch.
    fn order(self, examples: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..examples).collect();
        Random::of(self.plan.seed, &[ORDER, self.epoch as u64]).shuffle(&mut order);
        order
    }

    /// The random numbers of a step. They do not depend on the steps before.
    pub(super) fn step(self, batch: usize) -> Random {
        Random::of(self.plan.seed, &[STEP, self.epoch as u64, batch as u64])
    }
}

/// Makes the batches of an epoch from the batch `first` on, on all cores, some ahead of their use. They end when the receiver is
/// dropped.
pub(super) fn batches<'scope, 'a: 'scope, T: Task>(
    scope: &'scope Scope<'scope, 'a>,
    task: &'a T,
    of: EpochOf<'a>,
    first: usize,
) -> Receiver<Batch<T::Sample>>
where
    T::Sample: 'scope,
{
    let (sender, receiver) = sync_channel(AHEAD);
    scope.spawn(move || make(task, of, first, &sender));
    receiver
}

fn make<T: Task>(task: &T, of: EpochOf, first: usize, sender: &SyncSender<Batch<T::Sample>>) {
    let EpochOf { plan, epoch } = of;
    let count = plan.batches(task.examples());
    let order = of.order(task.examples());
    for indices in order.chunks(plan.batch).take(count).skip(first) {
        let sample = |index: &usize| task.sample(*index, Random::of(plan.seed, &[SAMPLE, epoch as u64, *index as u64]));
        let made: Vec<Result<T::Sample, Spoiled>> = indices.par_iter().map(sample).collect();
        if sender.send(made.into_iter().collect()).is_err() {
            return;
        }
    }
}
