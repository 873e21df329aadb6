//! The loop of steps.

use std::collections::BTreeSet;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use burn::tensor::{DType, Device, Tensor, TensorData};
use nn::layers::{Execution, Loader};
use nn::{Gradients, Parameters, Random, Statistics};
use picture::RgbImage;
use rayon::prelude::*;

use super::super::config::Config;
use super::super::detections::decode;
use super::super::extractor::grids;
use super::super::input::Input;
use super::super::network::{Network, Outputs};
use super::augmentation::Example;
use super::losses::BatchLosses;
use super::saved::State;
use super::settings::TrainingSettings;
use super::targets::{Targets, Truth};
use crate::train::batches::Batch;
use crate::train::{Checkpoints, Control, Epoch, Event, History, Outcome, Spoiled, TrainError};

/// Batches that are made before they are used.
const AHEAD: usize = 2;
/// What random numbers are for.
const ORDER: u64 = 1;
const SAMPLE: u64 = 2;

/// Annotated pictures.
pub trait Examples: Sync {
    /// Their number.
    fn count(&self) -> usize;

    /// A picture, and its objects.
    ///
    /// # Errors
    /// [`Spoiled`]: the example cannot be used. The training goes on without it.
    fn example(&self, index: usize) -> Result<(RgbImage, Vec<Truth>), Spoiled>;
}

/// A training.
#[derive(Clone, Copy, Debug)]
pub struct Training<'a, E> {
    /// The network.
    pub config: &'a Config,
    /// How it trains.
    pub settings: &'a TrainingSettings,
    /// What it trains with.
    pub examples: &'a E,
    /// What is random follows from it.
    pub seed: u64,
    /// What it computes with.
    pub execution: Execution,
    /// The steps between two evaluations.
    pub round: usize,
    /// What the parameters begin with, in words: a checkpoint of a training that began otherwise is not resumed.
    pub begins: &'a str,
    /// Where checkpoints are kept; `None`: nowhere.
    pub checkpoints: Option<&'a Checkpoints>,
    /// The time from checkpoint to checkpoint. There is one at the end in any case.
    pub checkpoint_every: Duration,
}

/// What a training has made.
#[derive(Debug)]
pub struct Trained {
    /// How it ended.
    pub outcome: Outcome,
    /// What each round has shown.
    pub history: History,
    /// The parameters of the best round, or of the last step where no round was done.
    pub parameters: Parameters,
}

/// A picture as the network takes it, and what the network shall say of it.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) input: Input,
    pub(super) targets: Targets,
}

impl<E: Examples> Training<'_, E> {
    /// Trains parameters, and keeps those of the best round. `evaluate` measures them after each: figures by name, of which the first
    /// is the larger the better. `heed` hears every event, and answers whether to go on. A training that goes on from a checkpoint has
    /// the same result as one that was not interrupted, bit for bit on one device.
    ///
    /// # Errors
    /// [`TrainError`].
    pub fn run(
        &self,
        parameters: Parameters,
        evaluate: &mut dyn FnMut(&Parameters) -> Vec<(String, f64)>,
        heed: &mut dyn FnMut(Event) -> Control,
    ) -> Result<Trained, TrainError> {
        if self.examples.count() == 0 {
            return Err(TrainError::NoExamples);
        }
        let settings = self.settings;
        let fingerprint = self.fingerprint();
        let mut state = State::new(parameters, settings.rule, settings.average.is_some());
        let mut control = Control::GoOn;
        if let Some(checkpoints) = self.checkpoints
            && state.resume(checkpoints, &fingerprint)?
        {
            control = heed(Event::Resumed { steps: state.steps });
        }
        let mut spoiled = BTreeSet::new();
        let anchors = self.anchors();
        let first = state.steps;
        thread::scope(|scope| -> Result<(), TrainError> {
            let (sender, receiver) = sync_channel(AHEAD);
            let anchors = &anchors;
            scope.spawn(move || self.make(first, anchors, &sender));
            let (mut since, mut saved) = (Instant::now(), Instant::now());
            for batch in receiver {
                for of_batch in batch.spoiled {
                    if spoiled.insert(of_batch.example.clone()) {
                        control = control.or(heed(Event::Spoiled(&of_batch)));
                    }
                    if spoiled.len() == self.examples.count() {
                        return Err(TrainError::AllSpoiled { first: of_batch });
                    }
                }
                if control == Control::Stop {
                    break;
                }
                if !batch.samples.is_empty() {
                    control = control.or(self.advance(&mut state, &batch.samples, anchors, heed)?);
                }
                state.steps += 1;
                state.seconds += since.elapsed().as_secs_f64();
                since = Instant::now();
                if state.steps.is_multiple_of(self.round.max(1)) || state.steps == settings.steps {
                    control = control.or(self.end_round(&mut state, since, evaluate, heed));
                    since = Instant::now();
                }
                if let Some(checkpoints) = self.checkpoints
                    && (control == Control::Stop
                        || state.steps == settings.steps
                        || saved.elapsed() >= self.checkpoint_every)
                {
                    state.save(checkpoints, &fingerprint)?;
                    control = control.or(heed(Event::Saved));
                    saved = Instant::now();
                }
                if control == Control::Stop {
                    break;
                }
            }
            Ok(())
        })?;
        let outcome = if state.steps < settings.steps { Outcome::Stopped } else { Outcome::Done };
        if state.best.is_none() && outcome == Outcome::Stopped && state.steps > 0 {
            // What is there so far is the model.
            self.end_round(&mut state, Instant::now(), evaluate, heed);
        }
        let State { parameters, averaged, best, history, .. } = state;
        let last = averaged.unwrap_or(parameters);
        Ok(Trained { outcome, history, parameters: best.map_or(last, |(_, parameters)| parameters) })
    }

    /// All that the result depends on.
    fn fingerprint(&self) -> String {
        let Self { config, settings, examples, seed, round, .. } = self;
        format!(
            "{}; {} examples, seed {seed}, {round} steps a round; {config:?}; {settings:?}",
            self.begins,
            examples.count()
        )
    }

    /// One step.
    fn advance(
        &self,
        state: &mut State,
        samples: &[Sample],
        anchors: &[[f32; 4]],
        heed: &mut dyn FnMut(Event) -> Control,
    ) -> Result<Control, TrainError> {
        let (settings, steps) = (self.settings, state.steps + 1);
        let rate = settings.schedule.at(state.steps);
        let (losses, gradients, statistics) = self.step(&state.parameters, samples, anchors);
        let loss = losses.iter().map(|(_, loss)| loss).sum::<f32>();
        if !loss.is_finite() {
            return Err(TrainError::Diverged { step: steps, loss, rate });
        }
        state.parameters.apply(statistics);
        let l2 = |name: &str| settings.l2(name);
        state.optimizer.step(&mut state.parameters, gradients, rate, l2, settings.longest_gradient);
        if let Some((decay, averaged)) = settings.average.zip(state.averaged.as_mut()) {
            averaged.approach(&state.parameters, 1.0 - decay);
        }
        let (sum, count) = state.losses;
        state.losses = (sum + f64::from(loss), count + 1);
        Ok(heed(Event::Step { steps, of: settings.steps, loss, parts: &losses, rate }))
    }

    /// Measures the parameters, and keeps them if they are the best so far.
    fn end_round(
        &self,
        state: &mut State,
        since: Instant,
        evaluate: &mut dyn FnMut(&Parameters) -> Vec<(String, f64)>,
        heed: &mut dyn FnMut(Event) -> Control,
    ) -> Control {
        let model = state.averaged.as_ref().unwrap_or(&state.parameters);
        let figures = evaluate(model);
        let figure = figures.first().map_or(f64::NEG_INFINITY, |(_, figure)| *figure);
        if state.best.as_ref().is_none_or(|(before, _)| figure >= *before) {
            state.best = Some((figure, model.clone()));
        }
        let (sum, count) = std::mem::take(&mut state.losses);
        let epoch = Epoch {
            phase: 1,
            epoch: state.history.epochs.len() + 1,
            train_loss: sum / count.max(1) as f64,
            figures,
            rate: self.settings.schedule.at(state.steps.saturating_sub(1)),
            seconds: std::mem::take(&mut state.seconds) + since.elapsed().as_secs_f64(),
        };
        let control = heed(Event::Epoch(&epoch));
        state.history.epochs.push(epoch);
        control
    }

    /// The anchors of the network.
    pub(super) fn anchors(&self) -> Vec<[f32; 4]> {
        self.config.anchors.generate(&grids(self.config.picture), self.config.picture)
    }

    /// The losses of a batch, their gradients, and what normalizations have found.
    pub(super) fn step(
        &self,
        parameters: &Parameters,
        samples: &[Sample],
        anchors: &[[f32; 4]],
    ) -> (Vec<(&'static str, f32)>, Gradients, Vec<Statistics>) {
        // Nothing in the network is random.
        let pass = parameters.pass(0);
        let network = pass.network(|weights| Network::load(&Loader::new(weights, self.execution), self.config));
        let device = pass.device().clone();
        let BatchLosses { boxes, classes } = self.losses(&network, samples, anchors, &device);
        drop(network);
        let number = |loss: &Tensor<1>| -> f32 { loss.clone().inner().into_scalar() };
        let losses = vec![("localization_loss", number(&boxes)), ("classification_loss", number(&classes))];
        let (gradients, statistics) = pass.backward(boxes + classes);
        (losses, gradients, statistics)
    }

    pub(super) fn losses(
        &self,
        network: &Network,
        samples: &[Sample],
        anchors: &[[f32; 4]],
        device: &Device,
    ) -> BatchLosses {
        let Outputs { boxes, classes } = self.outputs(network, samples, device);
        let targets: Vec<Targets> = samples.iter().map(|sample| sample.targets.clone()).collect();
        let loss = &self.settings.loss;
        let now = if loss.miner.is_some() { self.boxes(&boxes, anchors) } else { Vec::new() };
        let losses = loss.of_anchors(boxes, classes, &targets, device);
        loss.of_batch(losses, &targets, &now, device)
    }

    pub(super) fn outputs(&self, network: &Network, samples: &[Sample], device: &Device) -> Outputs {
        let values: Vec<f32> = samples.iter().flat_map(|sample| &sample.input.values).copied().collect();
        let [height, width] = self.config.picture;
        let shape = [samples.len(), height, width, 3];
        let pictures = Tensor::<4>::from_data(TensorData::new(values, shape), (device, DType::F32));
        network.forward(pictures, self.config.classes)
    }

    /// The boxes that the network says now, image by image.
    fn boxes(&self, encodings: &Tensor<3>, anchors: &[[f32; 4]]) -> Vec<Vec<[f32; 4]>> {
        let values: Vec<f32> = encodings.clone().inner().into_data().try_into_vec_as().expect("encodings are float32");
        let decoded = |encodings: &[[f32; 4]]| {
            let pairs = encodings.iter().zip(anchors);
            pairs.map(|(encoding, anchor)| decode(*anchor, *encoding, self.config.box_scales)).collect()
        };
        values.as_chunks::<4>().0.chunks_exact(anchors.len()).map(decoded).collect()
    }

    /// Makes the batches of all steps from one on, on all cores, until nobody takes them.
    fn make(&self, first: usize, anchors: &[[f32; 4]], sender: &SyncSender<Batch<Sample>>) {
        let count = self.examples.count();
        let mut epoch: Option<(usize, Vec<usize>)> = None;
        for step in first..self.settings.steps {
            let positions = (0..self.settings.batch).map(|index| step * self.settings.batch + index);
            let mut indices = Vec::new();
            for position in positions {
                let number = position / count;
                if epoch.as_ref().is_none_or(|(current, _)| *current != number) {
                    let mut order: Vec<usize> = (0..count).collect();
                    Random::of(self.seed, &[ORDER, number as u64]).shuffle(&mut order);
                    epoch = Some((number, order));
                }
                indices.extend(epoch.as_ref().map(|(_, order)| (position, order[position % count])));
            }
            let sample = |(position, index): &(usize, usize)| {
                self.sample(*index, &mut Random::of(self.seed, &[SAMPLE, *position as u64]), anchors)
            };
            let made: Vec<Result<Sample, Spoiled>> = indices.par_iter().map(sample).collect();
            if sender.send(made.into_iter().collect()).is_err() {
                return;
            }
        }
    }

    fn sample(&self, index: usize, random: &mut Random, anchors: &[[f32; 4]]) -> Result<Sample, Spoiled> {
        let (picture, truths) = self.examples.example(index)?;
        let values = picture.as_raw().iter().map(|value| f32::from(*value)).collect();
        let (height, width) = (picture.height() as usize, picture.width() as usize);
        let mut example = Example { height, width, values, truths };
        for augmentation in &self.settings.augmentations {
            augmentation.apply(&mut example, random);
        }
        let Example { height, width, values, truths } = example;
        let input = Input::of_values(&values, [height, width], self.config.picture);
        let targets = self.settings.matcher.targets(&truths, anchors, self.config.box_scales);
        Ok(Sample { input, targets })
    }
}
