//! The loop.

use std::collections::BTreeSet;
use std::thread;
use std::time::Instant;

use burn::tensor::Tensor;
use nn::layers::{Execution, Loader};
use nn::{AdamW, Group, Parameters, Random};

use super::batches::{EpochOf, batches};
use super::error::TrainError;
use super::history::{Epoch, History};
use super::one_cycle::InEffect;
use super::plan::Plan;
use super::saved::{Checkpoints, Position};
use super::task::{Losses, Spoiled, Task, Validation};

/// What happens in a training.
#[derive(Debug)]
pub enum Event<'a> {
    /// It goes on from a checkpoint, after this many steps.
    Resumed {
        /// Of all phases.
        steps: usize,
    },
    /// A step is done.
    Step {
        /// The steps done, of all phases.
        steps: usize,
        /// The steps of the plan.
        of: usize,
        /// Its loss.
        loss: f32,
        /// The parts of the loss, by name.
        parts: &'a [(&'static str, f32)],
        /// The largest learning rate.
        rate: f64,
    },
    /// An example cannot be used. It is reported once.
    Spoiled(&'a Spoiled),
    /// An epoch is done.
    Epoch(&'a Epoch),
    /// A checkpoint is written.
    Saved,
    /// The loss has not improved for long: the training ends before its plan does.
    EndedEarly,
}

/// Whether the training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// It does.
    GoOn,
    /// It stops after this step, with a checkpoint.
    Stop,
}

impl Control {
    /// [`Stop`](Self::Stop) if one of both is.
    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::Stop { self } else { other }
    }
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The plan is done, or the training has ended early.
    Done,
    /// It was stopped, and can go on.
    Stopped,
}

/// Trains parameters by a plan, and returns what every epoch has shown. It goes on from the last checkpoint, if there is one;
/// on the CPU, a training that was interrupted has the same result as one that was not, bit for bit. `heed` hears every event, and
/// answers whether to go on.
///
/// # Errors
/// [`TrainError`].
pub fn train<T: Task>(
    task: &T,
    plan: &Plan,
    parameters: &mut Parameters,
    execution: Execution,
    checkpoints: Option<&Checkpoints>,
    heed: &mut dyn FnMut(Event) -> Control,
) -> Result<(Outcome, History), TrainError> {
    let batches = plan.batches(task.examples());
    if batches == 0 {
        return Err(TrainError::NoExamples);
    }
    let mut trainer = Trainer {
        task,
        plan,
        parameters,
        execution,
        checkpoints,
        heed,
        batches,
        optimizer: AdamW::new(plan.beta2, plan.epsilon),
        position: Position::default(),
        history: History::default(),
        best: None,
        spoiled: BTreeSet::new(),
        saved: Instant::now(),
        stopped: false,
    };
    let outcome = trainer.run()?;
    if let Some(best) = trainer.best.take().filter(|_| outcome == Outcome::Done) {
        *trainer.parameters = best;
    }
    Ok((outcome, trainer.history))
}

struct Trainer<'a, T: Task> {
    task: &'a T,
    plan: &'a Plan,
    parameters: &'a mut Parameters,
    execution: Execution,
    checkpoints: Option<&'a Checkpoints>,
    heed: &'a mut dyn FnMut(Event) -> Control,
    /// The batches of an epoch.
    batches: usize,
    optimizer: AdamW,
    position: Position,
    history: History,
    /// The parameters after the best epoch so far, if the plan keeps them.
    best: Option<Parameters>,
    /// The names of examples that could not be used.
    spoiled: BTreeSet<String>,
    /// When the last checkpoint was written.
    saved: Instant,
    stopped: bool,
}

impl<T: Task> Trainer<'_, T> {
    fn run(&mut self) -> Result<Outcome, TrainError> {
        self.resume()?;
        while self.position.phase < self.plan.phases.len() {
            if self.position.epoch == 0 && self.position.batch == 0 {
                self.begin_phase();
            }
            while self.position.epoch < self.plan.phases[self.position.phase].epochs {
                if self.run_epoch()? == Outcome::Stopped {
                    self.save()?;
                    return Ok(Outcome::Stopped);
                }
                let waited = self.epochs_without_improvement().unwrap_or_default();
                let ends = self.plan.patience.is_some_and(|patience| waited >= patience.max(1));
                if ends {
                    self.tell(Event::EndedEarly);
                    self.position = Position { phase: self.plan.phases.len(), ..Position::default() };
                }
                self.save()?;
                if ends {
                    return Ok(Outcome::Done);
                }
                if self.stopped {
                    return Ok(Outcome::Stopped);
                }
            }
            self.position = Position { phase: self.position.phase + 1, ..Position::default() };
        }
        Ok(Outcome::Done)
    }

    /// Freezes the parameters of the phase.
    fn freeze(&mut self) {
        let (task, phase) = (self.task, self.position.phase);
        self.parameters.freeze(|name| task.is_frozen(name, phase));
    }

    fn begin_phase(&mut self) {
        self.freeze();
        self.optimizer = AdamW::new(self.plan.beta2, self.plan.epsilon);
    }

    fn resume(&mut self) -> Result<(), TrainError> {
        let Some(saved) = self.checkpoints.map(|checkpoints| checkpoints.read(self.plan)).transpose()?.flatten() else {
            return Ok(());
        };
        saved.restore_parameters(self.parameters)?;
        self.position = saved.position;
        self.freeze();
        saved.restore_optimizer(&mut self.optimizer, self.parameters)?;
        self.best = saved.best(self.parameters)?;
        self.history = saved.history;
        let steps = self.steps();
        self.tell(Event::Resumed { steps });
        Ok(())
    }

    fn run_epoch(&mut self) -> Result<Outcome, TrainError> {
        let began = Instant::now();
        let (task, plan) = (self.task, self.plan);
        let (phase, first) = (self.position.phase, self.position.batch);
        let epoch = plan.phases[..phase].iter().map(|phase| phase.epochs).sum::<usize>() + self.position.epoch;
        let of = EpochOf { plan, epoch };
        let cycle = plan.cycle(phase, self.batches);
        let mut rate = 0.0;
        let before = self.position.seconds;
        let outcome = thread::scope(|scope| {
            for (batch, made) in (first..).zip(batches(scope, task, of, first)) {
                for spoiled in &made.spoiled {
                    self.tell_spoiled(spoiled);
                }
                let in_effect = cycle.at(self.position.epoch * self.batches + batch);
                rate = in_effect.rates.iter().copied().fold(0.0, f64::max);
                self.position.batch = batch + 1;
                // A normalization has no variance over one example.
                if made.samples.len() > usize::from(plan.batch > 1 && task.examples() > 1) {
                    self.step(made.samples, of.step(batch), &in_effect, rate)?;
                } else if let Some(first) = made.spoiled.into_iter().next().filter(|_| self.all_spoiled()) {
                    return Err(TrainError::AllSpoiled { first });
                }
                self.position.seconds = before + began.elapsed().as_secs_f64();
                if self.stopped && self.position.batch < self.batches {
                    return Ok(Outcome::Stopped);
                }
                if self.saved.elapsed() >= plan.checkpoint_every {
                    self.save()?;
                }
            }
            Ok(Outcome::Done)
        })?;
        if outcome == Outcome::Stopped {
            return Ok(outcome);
        }
        let Validation { figures, spoiled } = self.task.validate(self.parameters);
        spoiled.iter().for_each(|spoiled| self.tell_spoiled(spoiled));
        let Position { phase, epoch, loss, steps, .. } = self.position;
        let epoch = Epoch {
            phase: phase + 1,
            epoch: epoch + 1,
            train_loss: loss / steps.max(1) as f64,
            figures,
            rate,
            seconds: before + began.elapsed().as_secs_f64(),
        };
        self.tell(Event::Epoch(&epoch));
        self.history.epochs.push(epoch);
        if self.plan.keeps_best && self.epochs_without_improvement() == Some(0) {
            self.best = Some(self.parameters.clone());
        }
        self.position = Position { phase, epoch: self.position.epoch + 1, ..Position::default() };
        Ok(Outcome::Done)
    }

    /// How long the validation loss has not fallen; `None`: there is none.
    fn epochs_without_improvement(&self) -> Option<usize> {
        let (name, _) = self.history.epochs.last()?.figures.first()?;
        Some(self.history.epochs_without_improvement(name))
    }

    fn step(
        &mut self,
        samples: Vec<T::Sample>,
        random: Random,
        in_effect: &InEffect,
        rate: f64,
    ) -> Result<(), TrainError> {
        let InEffect { rates, momentum } = in_effect;
        let seed = random.clone().bits();
        let pass = self.parameters.pass(seed);
        let network = pass.network(|weights| self.task.network(&Loader::new(weights, self.execution)));
        let Losses { total, parts } = self.task.losses(&network, samples, random, pass.device());
        drop(network);
        let part = |(name, loss): (&'static str, Tensor<1>)| (name, number(loss));
        let parts: Vec<(&'static str, f32)> = parts.into_iter().map(part).collect();
        let loss = number(total.clone());
        let (gradients, statistics) = pass.backward(total);
        if !loss.is_finite() {
            return Err(TrainError::Diverged { step: self.steps(), loss, rate });
        }
        self.parameters.apply(statistics);
        let (task, decay) = (self.task, self.plan.decay);
        let group = |name: &str| Group { rate: rates[task.group(name)], momentum: *momentum, decay };
        self.optimizer.step(self.parameters, gradients, group);
        self.position.loss += f64::from(loss);
        self.position.steps += 1;
        let (steps, of) = (self.steps(), self.plan.epochs() * self.batches);
        self.tell(Event::Step { steps, of, loss, parts: &parts, rate });
        Ok(())
    }

    /// The steps that are done.
    fn steps(&self) -> usize {
        let Position { phase, epoch, batch, .. } = self.position;
        let epochs: usize = self.plan.phases[..phase].iter().map(|phase| phase.epochs).sum();
        (epochs + epoch) * self.batches + batch
    }

    fn all_spoiled(&self) -> bool {
        self.spoiled.len() >= self.task.examples()
    }

    fn tell_spoiled(&mut self, spoiled: &Spoiled) {
        if self.spoiled.insert(spoiled.example.clone()) {
            self.tell(Event::Spoiled(spoiled));
        }
    }

    fn tell(&mut self, event: Event) {
        if (self.heed)(event) == Control::Stop {
            self.stopped = true;
        }
    }

    fn save(&mut self) -> Result<(), TrainError> {
        self.saved = Instant::now();
        let Some(checkpoints) = self.checkpoints else { return Ok(()) };
        let best = self.best.as_ref();
        checkpoints.write(
            self.plan,
            &self.position,
            &self.history,
            [Some(&*self.parameters), best],
            &self.optimizer,
        )?;
        // The time that writing takes does not count.
        self.saved = Instant::now();
        self.tell(Event::Saved);
        Ok(())
    }
}

/// The value of a tensor of one element.
pub(super) fn number(tensor: Tensor<1>) -> f32 {
    tensor.inner().into_scalar()
}
