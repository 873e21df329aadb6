//! Training of a classifier.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use nn::checkpoint::{Checkpoint, save, save_pytorch};
use nn::layers::{Execution, Loader};
use nn::weights::Weights;
use nn::{Parameters, Precision};
use vision::classifier::{
    Augmentation, Body, DESCRIPTION, Description, LabelledPictures, Labelling, PathPattern, Split, Training,
    named_as_fastai,
};
use vision::train::{Checkpoints, Control, Event, Outcome, Phase, Plan, Task, find_rate, train};

use super::hyperparameters::Hyperparameters;
use super::job::{Job, Notice, write};
use super::stop::Stop;
use crate::model_folder;

/// The layer groups of fastai: two halves of the body, and the head.
const GROUPS: usize = 3;
/// The decay of the optimizer's second moment, and what is added to its root.
const BETA2: f64 = 0.99;
const EPSILON: f64 = 1e-8;
/// The file of the model.
const MODEL: &str = "model.safetensors";
/// The hyperparameters that count.
pub(super) const KNOWN: [&str; 21] = [
    "augment",
    "batch_size",
    "checkpoint_seconds",
    "epochs",
    "find_lr",
    "frozen_epochs",
    "frozen_lr",
    "image_size",
    "keep",
    "kind",
    "label_pattern",
    "label_smoothing",
    "lr",
    "mixup",
    "model_arch",
    "patience",
    "pth",
    "seed",
    "threads",
    "validation_share",
    "weight_decay",
];

pub(super) fn run(job: &Job, stop: &Stop, tell: &mut dyn FnMut(Notice)) -> anyhow::Result<Outcome> {
    let given = &job.hyperparameters;
    given.only(&KNOWN, "a classifier")?;
    let training = training(job)?;
    let begins_with = job.weights.as_deref().map(weights).transpose()?;
    tell(Notice::Text(format!(
        "{} pictures of {} classes: {} train, {} validate",
        training.pictures.pictures.len(),
        training.classes(),
        training.split.training.len(),
        training.split.validation.len(),
    )));
    let load = |weights: &Weights| training.network(&Loader::new(weights, training.execution));
    let seed = given.whole("seed", 2) as u64;
    let mut parameters = Parameters::initial(job.device, seed, load);
    if let Some(checkpoint) = &begins_with {
        let taken = parameters.take_over(&named_as_fastai(checkpoint))?;
        if taken.is_empty() {
            bail!("{} has no tensor of {}: a checkpoint of it would work", checkpoint.file().display(), training.body);
        }
        let (taken, all) = (taken.len(), parameters.count());
        tell(Notice::Text(format!("begins with {taken} of {all} tensors of {}", checkpoint.file().display())));
    }
    let mut plan = plan(given, &training, begins_with.as_ref());
    let checkpoints = job.opened_checkpoints()?;
    let goes_on = checkpoints.as_ref().is_some_and(Checkpoints::exist);
    if given.flag("find_lr", false) {
        find(job, &training, &mut plan, &parameters, tell)?;
    }
    if goes_on {
        tell(Notice::Text("goes on from a checkpoint".to_owned()));
    }
    let mut done = 0;
    let mut heed = |event: Event| {
        if let Event::Resumed { steps } | Event::Step { steps, .. } = &event {
            done = *steps as u64;
        }
        tell(Notice::Event(event));
        if stop.has_come() { Control::Stop } else { Control::GoOn }
    };
    let (outcome, history) =
        train(&training, &plan, &mut parameters, training.execution, checkpoints.as_ref(), &mut heed)?;
    let trained = parameters.checkpoint("the trained network");
    save(&trained, None, &job.model.join(MODEL), &mut |_, _| ())?;
    if given.flag("pth", false) {
        save_pytorch(&trained, Some(done), &job.model.join(format!("{}.pth", training.body)))?;
    }
    let [means, deviations] = training.body.normalization();
    let classes = training.pictures.classes.clone();
    let description = Description { classes, image_size: training.size, means, deviations };
    write(&job.model.join(DESCRIPTION), &description.to_json())?;
    let settings = given.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let data = [("data".to_owned(), job.data.display().to_string())];
    job.write_history(&history, &data.into_iter().chain(settings).collect::<Vec<_>>())?;
    Ok(outcome)
}

/// The data, and what is done with it.
fn training(job: &Job) -> anyhow::Result<Training> {
    let given = &job.hyperparameters;
    let labelling = match given.get("label_pattern") {
        Some(pattern) => Labelling::Path(pattern.parse::<PathPattern>().context("the hyperparameter label_pattern")?),
        None => Labelling::of(&job.data)?,
    };
    let pictures = LabelledPictures::list(&job.data, &labelling)?;
    if pictures.classes.len() < 2 {
        let folder = job.data.display();
        bail!("{folder} has pictures of one class, {:?}: two and more would work", pictures.classes);
    }
    let seed = given.whole("seed", 2) as u32;
    let split = Split::random(pictures.pictures.len(), given.number("validation_share", 0.2), seed);
    let body: Body = given.get("model_arch").unwrap_or("resnet34").parse()?;
    Ok(Training {
        body,
        pictures,
        split,
        size: given.whole("image_size", 224),
        augmentation: if given.flag("augment", true) { Augmentation::default() } else { Augmentation::CROP },
        smoothing: given.number("label_smoothing", 0.0),
        mixup: given.number("mixup", 0.0),
        execution: Execution::fastest(job.device, Precision::Float32),
    })
}

/// The checkpoint of a file, or of a folder.
fn weights(path: &Path) -> anyhow::Result<Checkpoint> {
    let file = if path.is_dir() { model_folder::checkpoint(path)? } else { path.to_owned() };
    Ok(Checkpoint::open(&file)?)
}

fn plan(given: &Hyperparameters, training: &Training, begins_with: Option<&Checkpoint>) -> Plan {
    let (frozen_epochs, epochs, rates) = match begins_with {
        Some(_) => (4, 2, "1e-6,1e-4"),
        None => (0, 20, "3e-3"),
    };
    let frozen = Phase {
        epochs: given.whole("frozen_epochs", frozen_epochs),
        rates: fastai_rates(given.rates("frozen_lr", "3e-4,3e-3", GROUPS)),
    };
    let unfrozen = Phase { epochs: given.whole("epochs", epochs), rates: given.rates("lr", rates, GROUPS) };
    let Training { body, pictures, split, size, augmentation, smoothing, mixup, .. } = training;
    let files: usize = pictures.pictures.iter().map(|(file, _)| file.as_os_str().len()).sum();
    let begins =
        begins_with.map_or_else(String::new, |checkpoint| format!(", begins with {} bytes", checkpoint.file_bytes()));
    let settings = format!(
        "{body} of {size} pixels, {} classes, {} pictures ({files}), {} validate, {augmentation:?}, smoothing {smoothing}, mixup \
         {mixup}{begins}",
        pictures.classes.len(),
        pictures.pictures.len(),
        split.validation.len(),
    );
    Plan {
        phases: vec![frozen, unfrozen],
        batch: given.whole("batch_size", 64).min(training.examples()).max(1),
        seed: given.whole("seed", 2) as u64,
        decay: given.number("weight_decay", 0.01),
        beta2: BETA2,
        epsilon: EPSILON,
        patience: Some(given.whole("patience", 0)).filter(|patience| *patience > 0),
        keeps_best: given.get("keep") == Some("best"),
        checkpoint_every: Duration::from_secs(given.whole("checkpoint_seconds", 60) as u64),
        settings,
    }
}

/// The rates of fastai's `slice(3e-3)`: all groups but the last have its first rate.
fn fastai_rates(mut rates: Vec<f64>) -> Vec<f64> {
    let first = rates.first().copied().unwrap_or_default();
    let last = rates.len().saturating_sub(1);
    rates[..last].fill(first);
    rates
}

/// Looks for a learning rate, and scales the rates of every phase so that it is the largest of each.
fn find(
    job: &Job,
    training: &Training,
    plan: &mut Plan,
    parameters: &Parameters,
    tell: &mut dyn FnMut(Notice),
) -> anyhow::Result<()> {
    let finding = find_rate(training, plan, parameters, training.execution)?;
    let rows = finding.losses.iter().map(|(rate, loss)| format!("{rate},{loss}\n"));
    write(
        &job.output.join("learning_rates.csv"),
        &["lr,loss\n".to_owned()].into_iter().chain(rows).collect::<String>(),
    )?;
    let Some(rate) = finding.suggestion() else {
        tell(Notice::Text("no learning rate was found: the loss rises from the start".to_owned()));
        return Ok(());
    };
    tell(Notice::Text(format!("the learning rate {rate:.2e} is used: there the loss falls most")));
    for phase in &mut plan.phases {
        let largest = phase.rates.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        phase.rates.iter_mut().for_each(|of_group| *of_group *= rate / largest);
    }
    Ok(())
}
