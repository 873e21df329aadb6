//! The loop of steps.

use std::collections::BTreeSet;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use burn::tensor::{DType, Device, Tensor, TensorData};
use nn::layers::{Execution, Loader};
use nn::{Gradients, Optimizer, Parameters, Random, Statistics};
use picture::RgbImage;
use rayon::prelude::*;

use super::super::config::Config;
use super::super::detections::decode;
use super::super::extractor::grids;
use super::super::input::Input;
use super::super::network::{Network, Outputs};
use super::augmentation::Example;
use super::losses::BatchLosses;
use super::settings::TrainingSettings;
use super::targets::{Targets, Truth};
use crate::train::{Control, Epoch, Event, History, Outcome, Spoiled, TrainError};

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

/// What is made of some examples.
struct Batch {
    samples: Vec<Sample>,
    spoiled: Vec<Spoiled>,
}

impl<E: Examples> Training<'_, E> {
    /// Trains parameters, and keeps those of the best round. `evaluate` measures them after each: figures by name, of which the first
    /// is the larger the better. `heed` hears every event, and answers whether to go on.
    ///
    /// # Errors
    /// [`TrainError`].
    pub fn run(
        &self,
        mut parameters: Parameters,
        evaluate: &mut dyn FnMut(&Parameters) -> Vec<(String, f64)>,
        heed: &mut dyn FnMut(Event) -> Control,
    ) -> Result<Trained, TrainError> {
        if self.examples.count() == 0 {
            return Err(TrainError::NoExamples);
        }
        let settings = self.settings;
        let mut optimizer = Optimizer::new(settings.rule);
        let mut averaged = settings.average.map(|decay| (decay, parameters.clone()));
        let mut best: Option<(f64, Parameters)> = None;
        let mut history = History::default();
        let (mut spoiled, mut since, mut sum, mut steps) = (BTreeSet::new(), Instant::now(), 0.0, 0_usize);
        let (mut outcome, anchors) = (Outcome::Done, self.anchors());
        thread::scope(|scope| -> Result<(), TrainError> {
            let (sender, receiver) = sync_channel(AHEAD);
            let anchors = &anchors;
            scope.spawn(move || self.make(anchors, &sender));
            for (step, batch) in receiver.into_iter().enumerate() {
                let rate = settings.schedule.at(step);
                for of_batch in batch.spoiled {
                    if spoiled.insert(of_batch.example.clone()) {
                        heed(Event::Spoiled(&of_batch));
                    }
                    if spoiled.len() == self.examples.count() {
                        return Err(TrainError::AllSpoiled { first: of_batch });
                    }
                }
                let mut control = Control::GoOn;
                if !batch.samples.is_empty() {
                    let (losses, gradients, statistics) = self.step(&parameters, &batch.samples, anchors);
                    let loss = losses.iter().map(|(_, loss)| loss).sum::<f32>();
                    if !loss.is_finite() {
                        return Err(TrainError::Diverged { step: step + 1, loss, rate });
                    }
                    parameters.apply(statistics);
                    let l2 = |name: &str| settings.l2(name);
                    optimizer.step(&mut parameters, gradients, rate, l2, settings.longest_gradient);
                    if let Some((decay, averaged)) = &mut averaged {
                        averaged.approach(&parameters, 1.0 - *decay);
                    }
                    (sum, steps) = (sum + f64::from(loss), steps + 1);
                    control = heed(Event::Step { steps: step + 1, of: settings.steps, loss, parts: &losses, rate });
                }
                let is_last = step + 1 == settings.steps || control == Control::Stop;
                if (step + 1).is_multiple_of(self.round.max(1)) || is_last {
                    let model = averaged.as_ref().map_or(&parameters, |(_, averaged)| averaged);
                    let figures = evaluate(model);
                    let figure = figures.first().map_or(f64::NEG_INFINITY, |(_, figure)| *figure);
                    if best.as_ref().is_none_or(|(before, _)| figure >= *before) {
                        best = Some((figure, model.clone()));
                    }
                    let epoch = history.epochs.len() + 1;
                    let seconds = since.elapsed().as_secs_f64();
                    let train_loss = sum / steps.max(1) as f64;
                    history.epochs.push(Epoch { phase: 1, epoch, train_loss, figures, rate, seconds });
                    (since, sum, steps) = (Instant::now(), 0.0, 0);
                    if heed(Event::Epoch(&history.epochs[epoch - 1])) == Control::Stop {
                        control = Control::Stop;
                    }
                }
                if control == Control::Stop && step + 1 < settings.steps {
                    outcome = Outcome::Stopped;
                    break;
                }
            }
            Ok(())
        })?;
        let parameters = best.map_or(parameters, |(_, parameters)| parameters);
        Ok(Trained { outcome, history, parameters })
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

    /// Makes the batches of all steps, on all cores, until nobody takes them.
    fn make(&self, anchors: &[[f32; 4]], sender: &SyncSender<Batch>) {
        let count = self.examples.count();
        let mut epoch: Option<(usize, Vec<usize>)> = None;
        for step in 0..self.settings.steps {
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
            let mut batch = Batch { samples: Vec::new(), spoiled: Vec::new() };
            for sample in made {
                match sample {
                    Ok(sample) => batch.samples.push(sample),
                    Err(spoiled) => batch.spoiled.push(spoiled),
                }
            }
            if sender.send(batch).is_err() {
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
