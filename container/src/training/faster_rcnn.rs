//! Training of a Faster R-CNN.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use nn::checkpoint::{Checkpoint, save};
use nn::layers::Execution;
use nn::{Parameters, Precision};
use vision::faster_rcnn::config::{Config, Document, Solver, TrainingConfig};
use vision::faster_rcnn::training::{CHECKPOINT, Told, Training};
use vision::faster_rcnn::{FasterRcnn, Identity, tensors};
use vision::train::{Control, Epoch, Event, History, Outcome};

use super::job::{Ended, Job, Notice, write};
use super::objects::Objects;
use super::stop::Stop;
use crate::model_folder;

/// The files of the model.
const MODEL: &str = "model.safetensors";
const CONFIG: &str = "config.yaml";
/// The best model so far, by AP, in the output.
const BEST: &str = "model_best.safetensors";

pub(super) fn run(job: &Job, stop: &Stop, tell: &mut dyn FnMut(Notice)) -> anyhow::Result<Ended> {
    let objects = Objects::read(&job.data)?;
    let (document, config) = configuration(job, objects.classes.len())?;
    let (pictures, validation) = (objects.annotated(&objects.training), objects.annotated(&objects.validation));
    let all = pictures.len();
    // Pictures without objects are left out, as Detectron2 does by default.
    let pictures: Vec<_> = pictures.into_iter().filter(|picture| !picture.boxes.is_empty()).collect();
    tell(Notice::Text(format!(
        "{} pictures train, {} are left out without objects, {} validate; {} classes: {}",
        pictures.len(),
        all - pictures.len(),
        validation.len(),
        objects.classes.len(),
        objects.classes.join(", "),
    )));
    let training = Training {
        targets: TrainingConfig::of(&document)?,
        solver: Solver::of(&document)?,
        pictures,
        validation,
        execution: Execution::fastest(job.device, Precision::Float32),
        config,
    };
    let mut parameters = training.initial(job.device);
    begin(job, &document, &training, &mut parameters, tell)?;
    if let Some(folder) = &job.checkpoints {
        std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        let file = folder.join(CHECKPOINT);
        if file.is_file() && !job.hyperparameters.flag("resume", true) {
            std::fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?;
        }
    }
    let mut watch = Watch::new(job, &training, &objects);
    let outcome = training.run(&mut parameters, job.checkpoints.as_deref(), &mut |told| {
        watch.hear(&told, tell);
        if stop.has_come() || watch.failed.is_some() { Control::Stop } else { Control::GoOn }
    })?;
    if let Some(error) = watch.failed {
        return Err(error);
    }
    save(&parameters.checkpoint("the trained network"), None, &job.model.join(MODEL), &mut |_, _| ())?;
    write(&job.model.join(CONFIG), &document.to_yaml())?;
    write(&job.model.join("last_checkpoint"), MODEL)?;
    let settings = job.hyperparameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    job.write_history(&watch.history, &settings.collect::<Vec<_>>())?;
    Ok(match outcome {
        Outcome::Done => Ended::Done,
        Outcome::Stopped => Ended::Stopped,
    })
}

/// The configuration of a job, for so many classes.
fn configuration(job: &Job, classes: usize) -> anyhow::Result<(Document, Config)> {
    let given = &job.hyperparameters;
    let mut document = match (given.get("config_file"), given.get("local_config_file")) {
        (Some(_), Some(_)) => bail!("config_file and local_config_file are both given: one would work"),
        (Some(name), None) => Document::published(name).with_context(|| {
            format!("config_file is {name:?}: COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml or _101_, or 1x, would work")
        })?,
        (None, Some(name)) => {
            let mut document = Document::default();
            document.merge_file(&local(job, name)?)?;
            document
        }
        (None, None) => Document::pyramid(),
    };
    let count = classes.to_string();
    document.merge_options(["MODEL.ROI_HEADS.NUM_CLASSES", count.as_str()])?;
    if let Some(options) = given.get("opts") {
        document.merge_options(options.split_whitespace()).context("opts")?;
    }
    let config = Config::of(&document)?;
    if config.form.classes != classes {
        bail!(
            "MODEL.ROI_HEADS.NUM_CLASSES is {}, and the data set has {classes} classes: {classes} would work",
            config.form.classes
        );
    }
    Ok((document, config))
}

/// The file of a configuration: beside the data, or where the path says.
fn local(job: &Job, name: &str) -> anyhow::Result<PathBuf> {
    let places = [job.data.join(name), PathBuf::from("/opt/ml/code").join(name), PathBuf::from(name)];
    let found = places.into_iter().find(|place| place.is_file());
    found.with_context(|| format!("local_config_file is {name:?}: a file in the channel of the data would work"))
}

/// Takes over the tensors of a checkpoint to begin with.
fn begin(
    job: &Job,
    document: &Document,
    training: &Training,
    parameters: &mut Parameters,
    tell: &mut dyn FnMut(Notice),
) -> anyhow::Result<()> {
    let Some(path) = &job.weights else {
        let weights = document.get("MODEL.WEIGHTS").to_string();
        if weights != "''" {
            bail!(
                "MODEL.WEIGHTS is {weights}, which is not fetched: a channel pretrained with the file would work, or \
                 MODEL.WEIGHTS \"\" in opts to begin from nothing"
            );
        }
        if !training.solver.trains_norms {
            bail!(
                "nothing begins to train with MODEL.RESNETS.NORM FrozenBN: a channel pretrained would work, or MODEL.RESNETS.NORM BN \
                 and MODEL.BACKBONE.FREEZE_AT 0 in opts"
            );
        }
        return Ok(());
    };
    let file = if path.is_dir() { model_folder::checkpoint(path)? } else { path.clone() };
    let names = tensors(&training.config.form);
    let checkpoint = Checkpoint::open(&file)?.unwrapped(names.iter().map(|(name, _)| name.as_str()))?;
    let taken = parameters.take_over(&checkpoint)?;
    if taken.is_empty() {
        bail!("{} has no tensor of a Faster R-CNN: a checkpoint of one would work", file.display());
    }
    let (taken, all) = (taken.len(), parameters.count());
    tell(Notice::Text(format!("begins with {taken} of {all} tensors of {}", file.display())));
    Ok(())
}

/// What is kept of a training while it runs.
struct Watch<'a> {
    job: &'a Job,
    training: &'a Training,
    objects: &'a Objects,
    history: History,
    /// The sum of the losses since the last evaluation, and their number.
    losses: (f64, usize),
    rate: f64,
    began: Instant,
    best: Option<f64>,
    failed: Option<anyhow::Error>,
}

impl<'a> Watch<'a> {
    fn new(job: &'a Job, training: &'a Training, objects: &'a Objects) -> Self {
        Self {
            job,
            training,
            objects,
            history: History::default(),
            losses: (0.0, 0),
            rate: 0.0,
            began: Instant::now(),
            best: None,
            failed: None,
        }
    }

    fn hear(&mut self, told: &Told, tell: &mut dyn FnMut(Notice)) {
        match told {
            Told::Resumed(steps) => tell(Notice::Event(Event::Resumed { steps: *steps })),
            Told::Step { steps, losses, rate, .. } => {
                let (_, loss) = losses[0];
                self.losses = (self.losses.0 + f64::from(loss), self.losses.1 + 1);
                self.rate = *rate;
                let of = self.training.solver.steps;
                tell(Notice::Event(Event::Step { steps: *steps, of, loss, parts: &losses[1..], rate: *rate }));
            }
            Told::Evaluate { validation_loss, parameters, .. } => {
                if let Err(error) = self.evaluate(*validation_loss, parameters, tell) {
                    self.failed = Some(error);
                }
            }
        }
    }

    fn evaluate(
        &mut self,
        validation_loss: Option<f64>,
        parameters: &Parameters,
        tell: &mut dyn FnMut(Notice),
    ) -> anyhow::Result<()> {
        let checkpoint = parameters.checkpoint("the network in training");
        let identity = Identity { config: self.training.config.clone(), checkpoint };
        let network = FasterRcnn::load(&identity, self.job.device)?;
        let (figures, of_classes) = self.objects.evaluate(&self.objects.validation, &network)?;
        let percent = |value: Option<f64>| 100.0 * value.unwrap_or(0.0);
        let mut all: Vec<(String, f64)> =
            validation_loss.map(|loss| ("validation_loss".to_owned(), loss)).into_iter().collect();
        let named = [("AP", figures.ap), ("AP50", figures.ap50), ("AP75", figures.ap75)];
        all.extend(named.map(|(name, value)| (name.to_owned(), percent(value))));
        let of_classes = self.objects.classes.iter().zip(&of_classes);
        all.extend(of_classes.map(|(class, figures)| (format!("AP-{class}"), percent(figures.ap))));
        let (sum, count) = std::mem::take(&mut self.losses);
        let epoch = Epoch {
            phase: 1,
            epoch: self.history.epochs.len() + 1,
            train_loss: sum / count.max(1) as f64,
            figures: all,
            rate: self.rate,
            seconds: self.began.elapsed().as_secs_f64(),
        };
        self.began = Instant::now();
        tell(Notice::Event(Event::Epoch(&epoch)));
        self.history.epochs.push(epoch);
        let ap = percent(figures.ap);
        if self.best.is_none_or(|best| ap > best) {
            self.best = Some(ap);
            save(&identity.checkpoint, None, &self.job.output.join(BEST), &mut |_, _| ())?;
        }
        Ok(())
    }
}
