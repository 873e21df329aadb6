//! Training of an SSD, as `svpino/tensorflow-object-detection-sagemaker` runs it.

mod evaluation;
mod mobile;
mod records;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nn::checkpoint::{Checkpoint, StoredTensor, save};
use nn::layers::Execution;
use nn::{Parameters, Precision};
use regex::Regex;
use serde_json::{Map, Value};
use vision::ssd::training::{Training, TrainingSettings, beginning, initial};
use vision::ssd::{Config, as_variables, variable};
use vision::train::{Control, Event, Outcome};

use self::records::Records;
use super::job::{Job, Notice, write};
use super::stop::Stop;

/// The files of the data's channel.
pub(super) const CONFIG: &str = "pipeline.config";
const LABEL_MAP: &str = "label_map.pbtxt";
/// The folder of the model's files, and the files there.
const GRAPH: &str = "graph";
const MODEL: &str = "model.safetensors";
const HYPERPARAMETERS: &str = "hyperparameters.json";
/// The value of `inference_type` for whole numbers of 8 bits.
const QUANTIZED: &str = "QUANTIZED_UINT8";
/// Evaluations of a training, where the job does not say how many steps there are between two.
const ROUNDS: usize = 10;
/// The hyperparameters that count. All else is in `pipeline.config`.
pub(super) const KNOWN: [&str; 10] = [
    "batch_size",
    "checkpoint_seconds",
    "eval_steps",
    "image_size",
    "inference_type",
    "kind",
    "num_steps",
    "quantize",
    "seed",
    "threads",
];

/// Trains, and writes what `serve` serves: `graph/model.safetensors` and the files beside it.
pub(super) fn run(job: &Job, stop: &Stop, tell: &mut dyn FnMut(Notice)) -> anyhow::Result<Outcome> {
    let given = &job.hyperparameters;
    given.only(&KNOWN, "an SSD")?;
    let file = job.data.join(CONFIG);
    let text = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let in_config = || format!("{} cannot be used", file.display());
    let config = Config::parse(&text).with_context(in_config)?;
    let mut settings = TrainingSettings::parse(&text).with_context(in_config)?;
    settings.steps = given.whole("num_steps", 100);
    settings.batch = given.whole("batch_size", settings.batch);

    let label_map = job.data.join(LABEL_MAP);
    ensure!(
        label_map.is_file(),
        "{} has no {LABEL_MAP}: the one that the records were written with would work",
        job.data.display()
    );
    let mut say = |text: String| tell(Notice::Text(text));
    let training = Records::read(&job.data, &settings.records, "training", &label_map, &config, &mut say)?;
    let training = training.with_context(|| {
        let folder = job.data.display();
        format!(
            "{folder} has no record to train with: training.record, or the files that train_input_reader names, would \
             work"
        )
    })?;
    let validation =
        Records::read(&job.data, &settings.validation_records, "validation", &label_map, &config, &mut say)?;
    tell(Notice::Text(format!(
        "{} pictures of {} classes train, {} validate",
        training.len(),
        config.classes,
        validation.as_ref().map_or(0, Records::len),
    )));

    let seed = given.whole("seed", 2) as u64;
    let execution = Execution::fastest(job.device, Precision::Float32);
    let mut parameters = initial(&config, &settings, seed, job.device)?;
    let mut begins = String::from("from nothing");
    if let Some(path) = &job.weights {
        let checkpoint = weights(path)?;
        let taken = parameters.take_over(&beginning(&checkpoint))?.len();
        let from = checkpoint.file().display();
        ensure!(taken > 0, "{from} has no variable of this network: a checkpoint of it would work");
        begins = format!("with {} bytes", checkpoint.file_bytes());
        tell(Notice::Text(format!("begins with {taken} of {} variables of {from}", parameters.count())));
    }
    freeze(&mut parameters, &settings)?;

    let round = given.whole("eval_steps", settings.steps.div_ceil(ROUNDS)).max(1);
    let checkpoints = job.opened_checkpoints()?;
    let plan = Training {
        config: &config,
        settings: &settings,
        examples: &training,
        seed,
        execution,
        round,
        begins: &begins,
        checkpoints: checkpoints.as_ref(),
        checkpoint_every: Duration::from_secs(given.whole("checkpoint_seconds", 60) as u64),
    };
    let failed = RefCell::new(None);
    let mut evaluate = |parameters: &Parameters| match &validation {
        None => Vec::new(),
        Some(records) => evaluation::figures(parameters, &config, job.device, records).unwrap_or_else(|error| {
            failed.borrow_mut().get_or_insert(error);
            Vec::new()
        }),
    };
    let mut heed = |event: Event| {
        tell(Notice::Event(event));
        // A training whose model cannot be evaluated ends, so that nobody waits for it in vain.
        if stop.has_come() || failed.borrow().is_some() { Control::Stop } else { Control::GoOn }
    };
    let trained = plan.run(parameters, &mut evaluate, &mut heed)?;
    if let Some(error) = failed.take() {
        return Err(error.context("the model cannot be evaluated"));
    }
    let variables = as_variables(&trained.parameters.checkpoint("the trained network"));
    write_model(job, &text, &label_map, &variables)?;
    if given.flag("quantize", false) {
        let whole = given.get("inference_type") == Some(QUANTIZED);
        mobile::write(&job.model.join(GRAPH), &variables, &config, whole.then_some(&training))?;
    }
    let settings = given.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let data = [("data".to_owned(), job.data.display().to_string())];
    job.write_history(&trained.history, &data.into_iter().chain(settings).collect::<Vec<_>>())?;
    Ok(trained.outcome)
}

/// Freezes the variables that `freeze_variables` names.
fn freeze(parameters: &mut Parameters, settings: &TrainingSettings) -> anyhow::Result<()> {
    let expressions = settings.frozen.iter().map(|text| {
        // From the beginning of a name on, as Python's `re.match`.
        Regex::new(&format!("^(?:{text})")).with_context(|| format!("freeze_variables: {text:?} is no expression"))
    });
    let expressions = expressions.collect::<anyhow::Result<Vec<_>>>()?;
    let layers = parameters.checkpoint("layers");
    parameters.freeze(|layer| {
        let shape = layers.tensors().get(layer).map_or(&[][..], StoredTensor::shape);
        let variable = variable(layer, shape).unwrap_or_default();
        expressions.iter().any(|expression| expression.is_match(&variable))
    });
    Ok(())
}

/// The checkpoint of a file, of a folder, or of the only folder in it: archives of published models have one.
fn weights(path: &Path) -> anyhow::Result<Checkpoint> {
    if path.is_file() {
        return Ok(Checkpoint::open(path)?);
    }
    let files = |folder: &Path| -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
        let entries = std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        Ok(paths.into_iter().partition(|path| path.is_file()))
    };
    let ending = |file: &Path, wanted: &str| file.extension().is_some_and(|ending| ending == wanted);
    let (mut here, folders) = files(path)?;
    if let [folder] = &folders[..]
        && !here.iter().any(|file| ["index", "safetensors", "pb"].iter().any(|wanted| ending(file, wanted)))
    {
        here = files(folder)?.0;
    }
    for wanted in ["index", "safetensors", "pb"] {
        match &here.iter().filter(|file| ending(file, wanted)).collect::<Vec<_>>()[..] {
            [] => {}
            [file] => return Ok(Checkpoint::open(file)?),
            [first, second, ..] => bail!(
                "{} has several checkpoints ({}, {}): one of them would work",
                path.display(),
                first.display(),
                second.display()
            ),
        }
    }
    bail!("{} has no checkpoint: model.ckpt.index with its data file would work", path.display())
}

fn write_model(job: &Job, config: &str, label_map: &Path, variables: &Checkpoint) -> anyhow::Result<()> {
    let graph = job.model.join(GRAPH);
    std::fs::create_dir_all(&graph).with_context(|| format!("the folder {} cannot be made", graph.display()))?;
    save(variables, None, &graph.join(MODEL), &mut |_, _| ())?;
    write(&graph.join(CONFIG), config)?;
    let copy = graph.join(LABEL_MAP);
    std::fs::copy(label_map, &copy).with_context(|| format!("{} cannot be written", copy.display()))?;
    let given = job.hyperparameters.iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
    write(&graph.join(HYPERPARAMETERS), &format!("{}\n", Value::from(given.collect::<Map<_, _>>())))
}
