//! The loop: steps by a schedule, checkpoints from which it goes on, and evaluations between.

use std::path::Path;
use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use nn::checkpoint::{Checkpoint, StoredTensor, save};
use nn::layers::{Execution, Loader};
use nn::weights::Weights;
use nn::{Gradients, Group, Parameters, Random, Sgd};
use rayon::prelude::*;

use super::losses::{Example, Trained};
use super::matching::Sampling;
use super::pictures::{Annotated, Batches, changed, example};
use crate::faster_rcnn::config::{Clipping, Config, Solver, TrainingConfig};
use crate::faster_rcnn::tensors;
use crate::train::{Control, Outcome, TrainError};

/// The file of a training that can go on.
pub const CHECKPOINT: &str = "training.safetensors";
/// The beginnings of its tensors' names.
const PARAMETERS: &str = "parameters.";
const OPTIMIZER: &str = "optimizer.";
/// The entries of its header.
const SETTINGS: &str = "training.settings";
const POSITION: &str = "training.position";
/// The most time between two checkpoints.
const BETWEEN: Duration = Duration::from_secs(60);
/// What random numbers are for: sampling in training and in validation, and the first weights of heads.
const SAMPLES: u64 = 3;
const VALIDATION: u64 = 4;
const INITIAL: u64 = 5;
/// The deviations of the weights that heads begin with.
const HEADS: [(&str, f64); 5] = [
    ("rpn_head.conv.weight", 0.01),
    ("rpn_head.objectness_logits.weight", 0.01),
    ("rpn_head.anchor_deltas.weight", 0.01),
    ("box_predictor.cls_score.weight", 0.01),
    ("box_predictor.bbox_pred.weight", 0.001),
];

/// What is trained, with what, and how.
#[derive(Debug)]
pub struct Training {
    /// The network.
    pub config: Config,
    /// Its targets.
    pub targets: TrainingConfig,
    /// The schedule.
    pub solver: Solver,
    /// The pictures to train with, at least one, each with objects.
    pub pictures: Vec<Annotated>,
    /// The pictures to validate with.
    pub validation: Vec<Annotated>,
    /// How it computes.
    pub execution: Execution,
}

/// An event of a training.
#[derive(Debug)]
pub enum Told<'a> {
    /// It goes on from a checkpoint, after so many steps.
    Resumed(usize),
    /// A step is done.
    Step {
        /// The steps done.
        steps: usize,
        /// The losses by name, their sum first.
        losses: &'a [(&'static str, f32)],
        /// The learning rate.
        rate: f64,
        /// Its time in seconds.
        seconds: f64,
    },
    /// It is time to evaluate.
    Evaluate {
        /// The steps done.
        steps: usize,
        /// The mean of the losses' sum over the pictures to validate with; `None` without any.
        validation_loss: Option<f64>,
        /// The network's tensors.
        parameters: &'a Parameters,
    },
}

impl Training {
    /// The network in training.
    fn network<'a>(&'a self, weights: &Weights<'_>) -> Trained<'a> {
        Trained::load(&Loader::new(weights, self.execution), &self.config, &self.targets)
    }

    /// Parameters for training from nothing. The heads begin near 0, as Detectron2's do.
    pub fn initial(&self, device: nn::Device) -> Parameters {
        let mut parameters = Parameters::initial(device, self.solver.seed, |weights| self.network(weights));
        let near_zero = |(index, (name, shape)): (usize, (String, Vec<usize>))| {
            let deviation = HEADS.iter().find_map(|(head, deviation)| name.ends_with(head).then_some(*deviation))?;
            let (seed, count) = (self.solver.seed, shape.iter().product::<usize>());
            let values = move || {
                let mut random = Random::of(seed, &[INITIAL, index as u64]);
                (0..count).map(|_| (deviation * random.normal()) as f32).collect()
            };
            Some((name, StoredTensor::computed(shape, values)))
        };
        let heads = tensors(&self.config.form).into_iter().enumerate().filter_map(near_zero);
        parameters.take_over(&Checkpoint::computed("the first heads", heads)).expect("nothing is read");
        parameters
    }

    /// Trains. It goes on from the checkpoint in a folder, if there is one. `heed` hears of it.
    ///
    /// # Errors
    /// [`TrainError`].
    pub fn run(
        &self,
        parameters: &mut Parameters,
        checkpoints: Option<&Path>,
        heed: &mut dyn FnMut(Told) -> Control,
    ) -> Result<Outcome, TrainError> {
        if self.pictures.is_empty() {
            return Err(TrainError::NoExamples);
        }
        parameters.freeze(|name| self.solver.is_frozen(name));
        let mut optimizer = Sgd::default();
        let file = checkpoints.map(|folder| folder.join(CHECKPOINT));
        let mut steps = match &file {
            Some(file) if file.is_file() => {
                let steps = self.resume(file, parameters, &mut optimizer)?;
                if heed(Told::Resumed(steps)) == Control::Stop && steps < self.solver.steps {
                    return Ok(Outcome::Stopped);
                }
                steps
            }
            _ => 0,
        };
        let save = |parameters: &Parameters, optimizer: &Sgd, steps: usize| match &file {
            Some(file) => self.save(file, parameters, optimizer, steps),
            None => Ok(()),
        };
        let mut saved = Instant::now();
        for batch in Batches::new(&self.pictures, &self.solver).skip(steps) {
            if steps >= self.solver.steps {
                break;
            }
            let began = Instant::now();
            let examples = self.examples(&batch, steps)?;
            let rate = self.solver.rate_of(steps);
            let losses = self.step(parameters, &mut optimizer, &examples, steps, rate)?;
            steps += 1;
            let seconds = began.elapsed().as_secs_f64();
            let mut stopped = heed(Told::Step { steps, losses: &losses, rate, seconds }) == Control::Stop;
            let is_due = |every: usize| every > 0 && steps.is_multiple_of(every);
            if steps == self.solver.steps || is_due(self.solver.evaluate_every) {
                let validation_loss = self.validation_loss(parameters)?;
                stopped |= heed(Told::Evaluate { steps, validation_loss, parameters }) == Control::Stop;
            }
            if stopped || is_due(self.solver.save_every) || saved.elapsed() > BETWEEN {
                save(parameters, &optimizer, steps)?;
                saved = Instant::now();
            }
            if stopped && steps < self.solver.steps {
                return Ok(Outcome::Stopped);
            }
        }
        save(parameters, &optimizer, steps)?;
        Ok(Outcome::Done)
    }

    /// The examples of a batch.
    fn examples(&self, batch: &[usize], step: usize) -> Result<Vec<Example>, TrainError> {
        let one = |(place, index): (usize, &usize)| {
            let annotated = &self.pictures[*index];
            Ok(changed(annotated, &read(annotated)?, &self.solver, step, place))
        };
        batch.par_iter().enumerate().map(one).collect()
    }

    fn step(
        &self,
        parameters: &mut Parameters,
        optimizer: &mut Sgd,
        examples: &[Example],
        step: usize,
        rate: f64,
    ) -> Result<Vec<(&'static str, f32)>, TrainError> {
        let pass = parameters.pass(self.solver.seed.wrapping_add(step as u64));
        let network = pass.network(|weights| self.network(weights));
        let mut sampling = Sampling::Random(Random::of(self.solver.seed, &[SAMPLES, step as u64]));
        let batch = network.losses(examples, &mut sampling, pass.device());
        drop(network);
        let (losses, total) = summed(batch.losses);
        let (mut gradients, statistics) = pass.backward(total);
        let loss = losses[0].1;
        if !loss.is_finite() {
            return Err(TrainError::Diverged { step: step + 1, loss, rate });
        }
        if let Some(clipping) = self.solver.clipping {
            gradients.values_mut().for_each(|gradient| *gradient = clipped(gradient.clone(), clipping));
        }
        self.apply(parameters, optimizer, gradients, rate);
        parameters.apply(statistics);
        Ok(losses)
    }

    fn apply(&self, parameters: &mut Parameters, optimizer: &mut Sgd, gradients: Gradients, rate: f64) {
        let momentum = self.solver.momentum;
        let group = |name: &str| Group { rate, momentum, decay: self.solver.decay(name) };
        optimizer.step(parameters, gradients, group);
    }

    /// The mean over the pictures to validate with, as large as for detecting, with the statistics of a batch of one.
    fn validation_loss(&self, parameters: &Parameters) -> Result<Option<f64>, TrainError> {
        let mut sum = 0.0;
        for (index, annotated) in self.validation.iter().enumerate() {
            let size = [self.config.input.short, self.config.input.longest];
            let example = example(annotated, &read(annotated)?, size, false);
            let pass = parameters.pass(0);
            let network = pass.network(|weights| self.network(weights));
            let mut sampling = Sampling::Random(Random::of(self.solver.seed, &[VALIDATION, index as u64]));
            let batch = network.losses(&[example], &mut sampling, pass.device());
            let (losses, _) = summed(batch.losses);
            sum += f64::from(losses[0].1);
        }
        let count = self.validation.len();
        Ok((count > 0).then(|| sum / count as f64))
    }

    /// What the result depends on.
    fn settings(&self) -> String {
        format!("{:?} {:?} {:?} {} pictures", self.config, self.targets, self.solver, self.pictures.len())
    }

    fn save(&self, file: &Path, parameters: &Parameters, optimizer: &Sgd, steps: usize) -> Result<(), TrainError> {
        let name = file.display().to_string();
        let checkpoint = parameters.checkpoint(&name).prefixed(PARAMETERS);
        let checkpoint = checkpoint
            .joined(optimizer.checkpoint(&name).prefixed(OPTIMIZER))
            .with_entry(SETTINGS, self.settings())
            .with_entry(POSITION, steps.to_string());
        Ok(save(&checkpoint, None, file, &mut |_, _| ())?)
    }

    /// Takes all tensors from a checkpoint, and returns the steps done.
    fn resume(&self, file: &Path, parameters: &mut Parameters, optimizer: &mut Sgd) -> Result<usize, TrainError> {
        let no_training = || TrainError::NoTraining { file: file.to_owned() };
        let checkpoint = Checkpoint::open(file)?;
        let found = checkpoint.entry(SETTINGS).ok_or_else(no_training)?;
        let wanted = self.settings();
        if found != wanted {
            return Err(TrainError::OtherSettings { file: file.to_owned(), found: found.to_owned(), wanted });
        }
        let steps = checkpoint.entry(POSITION).and_then(|text| text.parse().ok()).ok_or_else(no_training)?;
        if parameters.take_over(&checkpoint.within(PARAMETERS))?.len() != parameters.count() {
            return Err(no_training());
        }
        optimizer.restore(parameters, &checkpoint.within(OPTIMIZER))?;
        Ok(steps)
    }
}

/// The values of losses with their sum first, and the sum to minimize.
fn summed(losses: [(&'static str, Tensor<1>); 4]) -> (Vec<(&'static str, f32)>, Tensor<1>) {
    let value = |loss: &Tensor<1>| loss.clone().inner().into_scalar::<f32>();
    let mut values: Vec<(&'static str, f32)> = losses.iter().map(|(name, loss)| (*name, value(loss))).collect();
    let [first, second, third, fourth] = losses.map(|(_, loss)| loss);
    let total = first + second + third + fourth;
    values.insert(0, ("total_loss", value(&total)));
    (values, total)
}

fn clipped(gradient: Tensor<1>, clipping: Clipping) -> Tensor<1> {
    match clipping {
        Clipping::Value(most) => gradient.clamp(-most, most),
        Clipping::Norm(most) => {
            let norm = f64::from(gradient.clone().square().sum().into_scalar::<f32>()).sqrt();
            // As `torch.nn.utils.clip_grad_norm_`.
            let factor = most / (norm + 1e-6);
            if factor < 1.0 { gradient * factor } else { gradient }
        }
    }
}

/// The picture, which has to have the size that its boxes are for.
fn read(Annotated { file, size, .. }: &Annotated) -> Result<picture::RgbImage, TrainError> {
    let bytes = std::fs::read(file).map_err(|source| TrainError::Unreadable { file: file.clone(), source })?;
    let picture = picture::decode(&bytes).map_err(|source| TrainError::Picture { file: file.clone(), source })?;
    let found = [picture.width() as usize, picture.height() as usize];
    if found != *size {
        return Err(TrainError::OtherSize { file: file.clone(), found, annotated: *size });
    }
    Ok(picture)
}
