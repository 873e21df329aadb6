//! Training of a Faster R-CNN.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use dataset::LocalPictures;
use dataset::evaluation::report::{self, Gallery};
use dataset::evaluation::{Assessment, Style};
use nn::checkpoint::{Checkpoint, save, save_pytorch};
use nn::layers::Execution;
use nn::{Parameters, Precision};
use vision::faster_rcnn::config::{Config, Document, Solver, TrainingConfig};
use vision::faster_rcnn::training::{CHECKPOINT, Told, Training};
use vision::faster_rcnn::{FasterRcnn, Identity, tensors};
use vision::train::{Control, Epoch, Event, History, Outcome};

use super::job::{Job, Notice, write};
use super::objects::Objects;
use super::stop::Stop;
use crate::handlers::faster_rcnn::LABELS;
use crate::model_folder;

/// The files of the model.
const MODEL: &str = "model.pth";
const CONFIG: &str = "config.yaml";
/// The file that has the name of the first one.
const LAST: &str = "last_checkpoint";
/// The best model so far, by AP, and what the evaluations have shown, in the folder of checkpoints.
pub(super) const BEST: &str = "best.safetensors";
pub(super) const HISTORY: &str = "history.csv";
/// The figure by which the best model is chosen.
const AP: &str = "AP";
/// The hyperparameters that count. All else is in the configuration.
pub(super) const KNOWN: [&str; 8] =
    ["config_file", "keep", "kind", "local_config_file", "opts", "resume", "seed", "threads"];

pub(super) fn run(job: &Job, stop: &Stop, tell: &mut dyn FnMut(Notice)) -> anyhow::Result<Outcome> {
    job.hyperparameters.only(&KNOWN, "a Faster R-CNN")?;
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
    let mut watch = Watch::new(job, &training, &objects)?;
    let outcome = training.run(&mut parameters, job.checkpoints.as_deref(), &mut |told| {
        watch.hear(&told, tell);
        if stop.has_come() || watch.failed.is_some() { Control::Stop } else { Control::GoOn }
    })?;
    if let Some(error) = watch.failed.take() {
        return Err(error);
    }
    if watch.keeps_best && watch.best().is_some() {
        let best = Checkpoint::open(&watch.folder.join(BEST))?;
        parameters.take_over(&best)?;
    }
    // Frozen normalizations count no batches.
    let batches = training.solver.trains_norms.then_some(watch.steps as u64);
    save_pytorch(&parameters.checkpoint("the trained network"), batches, &job.model.join(MODEL))?;
    write(&job.model.join(CONFIG), &document.to_yaml())?;
    write(&job.model.join(LAST), MODEL)?;
    write(&job.model.join(LABELS), &format!("{}\n", objects.classes.join("\n")))?;
    let settings = job.hyperparameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let data = [("data".to_owned(), job.data.display().to_string())];
    job.write_history(&watch.history, &data.into_iter().chain(settings).collect::<Vec<_>>())?;
    write_report(job, &training.config, &objects, &parameters)?;
    Ok(outcome)
}

/// Writes `report.html` and `report.json` of the model that is kept, on the pictures to validate with, as `evaluate` writes them. Without an
/// object in these pictures there is nothing to report.
fn write_report(job: &Job, config: &Config, objects: &Objects, parameters: &Parameters) -> anyhow::Result<()> {
    let identity = Identity { config: config.clone(), checkpoint: parameters.checkpoint("the trained network") };
    let comparison = objects.compare(&objects.validation, &FasterRcnn::load(&identity, job.device)?)?;
    if comparison.truths().is_empty() {
        return Ok(());
    }
    let assessment = Assessment::of(&comparison, Style::Coco, None);
    // Every picture has its whole path, so that none is looked for beside the list.
    let gallery = Gallery::of(&comparison, &assessment, &job.data, &LocalPictures);
    write(&job.output.join("report.html"), &report::page(&comparison, &assessment, &gallery))?;
    write(&job.output.join("report.json"), &format!("{:#}\n", report::json(&comparison, &assessment)))
}

/// The configuration of a job whose data set has `classes` classes.
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
    if let Some(seed) = given.get("seed") {
        document.merge_options(["SEED", seed])?;
    }
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
        let frozen = training.solver.frozen_stages;
        if frozen > 0 {
            bail!(
                "MODEL.BACKBONE.FREEZE_AT is {frozen}, and the stages that it freezes have random weights: a channel pretrained would \
                 work, or MODEL.BACKBONE.FREEZE_AT 0 in opts"
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
    /// Where the best model is kept.
    folder: PathBuf,
    keeps_best: bool,
    history: History,
    /// The steps done.
    steps: usize,
    /// The sum of the losses since the last evaluation, and their number.
    losses: (f64, usize),
    rate: f64,
    began: Instant,
    failed: Option<anyhow::Error>,
}

impl<'a> Watch<'a> {
    fn new(job: &'a Job, training: &'a Training, objects: &'a Objects) -> anyhow::Result<Self> {
        let folder = job.checkpoints.as_ref().unwrap_or(&job.output);
        std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        let file = folder.join(CHECKPOINT);
        if file.is_file() && !job.hyperparameters.flag("resume", true) {
            std::fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?;
        }
        Ok(Self {
            job,
            training,
            objects,
            folder: folder.clone(),
            keeps_best: job.hyperparameters.get("keep") == Some("best"),
            history: History::default(),
            steps: 0,
            losses: (0.0, 0),
            rate: 0.0,
            began: Instant::now(),
            failed: None,
        })
    }

    fn hear(&mut self, told: &Told, tell: &mut dyn FnMut(Notice)) {
        match told {
            Told::Resumed(steps) => {
                self.steps = *steps;
                self.recall();
                tell(Notice::Event(Event::Resumed { steps: *steps }));
            }
            Told::Step { steps, losses, rate, .. } => {
                let (_, loss) = losses[0];
                self.losses = (self.losses.0 + f64::from(loss), self.losses.1 + 1);
                (self.steps, self.rate) = (*steps, *rate);
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

    /// The evaluations up to here.
    fn evaluations(&self) -> usize {
        let (every, of) = (self.training.solver.evaluate_every, self.training.solver.steps);
        let between = self.steps.checked_div(every).unwrap_or(0);
        // The last step has one in any case.
        if self.steps == of && (every == 0 || !of.is_multiple_of(every)) { between + 1 } else { between }
    }

    /// Takes the evaluations of an interrupted training, but for those after its checkpoint, which come again.
    fn recall(&mut self) {
        let text = std::fs::read_to_string(self.folder.join(HISTORY)).unwrap_or_default();
        let mut history = History::of_csv(&text).unwrap_or_default();
        history.epochs.truncate(self.evaluations());
        self.history = history;
    }

    /// The largest AP so far.
    fn best(&self) -> Option<f64> {
        self.history.epochs.iter().filter_map(|epoch| epoch.figure(AP)).max_by(f64::total_cmp)
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
        // As Detectron2 names them. A class without objects has no AP.
        let of_classes = self.objects.classes.iter().zip(&of_classes);
        let of_classes = of_classes.map(|(class, figures)| (format!("AP-{}", class.replace(',', " ")), figures.ap));
        let of_all = [(AP, figures.ap), ("AP50", figures.ap50), ("AP75", figures.ap75)];
        let aps = of_all.map(|(name, ap)| (name.to_owned(), ap)).into_iter().chain(of_classes);
        let mut named: Vec<(String, f64)> =
            validation_loss.map(|loss| ("validation_loss".to_owned(), loss)).into_iter().collect();
        named.extend(aps.filter_map(|(name, ap)| Some((name, 100.0 * ap?))));
        let (sum, count) = std::mem::take(&mut self.losses);
        let epoch = Epoch {
            phase: 1,
            epoch: self.history.epochs.len() + 1,
            train_loss: sum / count.max(1) as f64,
            figures: named,
            rate: self.rate,
            seconds: self.began.elapsed().as_secs_f64(),
        };
        self.began = Instant::now();
        tell(Notice::Event(Event::Epoch(&epoch)));
        let is_best = epoch.figure(AP).is_some_and(|ap| self.best().is_none_or(|best| ap > best));
        if self.keeps_best && is_best {
            save(&identity.checkpoint, None, &self.folder.join(BEST), &mut |_, _| ())?;
        }
        self.history.epochs.push(epoch);
        if self.job.checkpoints.is_some() {
            write(&self.folder.join(HISTORY), &self.history.to_csv())?;
        }
        Ok(())
    }
}
