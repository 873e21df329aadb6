//! `train`: a model from annotated pictures.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use container::training::{Hyperparameters, Job, JobKind, Notice, Stop};
use nn::DeviceChoice;
use serde_json::json;
use vision::train::{Epoch, Event, Outcome};

use crate::choice::Choice;
use crate::escape::{self, Shown};
use crate::terminal::progress::Progress;

/// The folder of checkpoints in the output. A training that is done removes its files there, and the folder if it is empty then.
const CHECKPOINTS: &str = "checkpoints";

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Pictures by class, train.json and val.json, or pipeline.config and records
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Write the model, history.csv and training.html here
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What to train
    #[arg(long, value_name = "classifier|faster-rcnn|ssd", hide_possible_values = true,
        value_parser = Choice::<JobKind>::of(&["classifier", "faster-rcnn", "ssd"]))]
    kind: Option<JobKind>,
    /// Set a hyperparameter, such as epochs=10: the manual lists them
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Begin with the checkpoint in this file or folder
    #[arg(long, value_name = "PATH")]
    weights: Option<PathBuf>,
    /// Keep the training's checkpoints, and go on from the one there [default: the folder checkpoints in --out, until it is done]
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// What the network computes on
    #[arg(long, value_name = "auto|cpu|cuda", default_value = "auto", hide_possible_values = true,
        value_parser = Choice::<DeviceChoice>::of(&["auto", "cpu", "cuda"]))]
    device: DeviceChoice,
    /// Print one line of JSON for each epoch
    #[arg(long)]
    json: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.trim().is_empty());
    let (name, value) = pair.ok_or("NAME=VALUE works, such as epochs=10")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) fn run(train: &Train) -> anyhow::Result<()> {
    let word = |kind| match kind {
        JobKind::Classifier => "classifier",
        JobKind::FasterRcnn => "faster-rcnn",
        JobKind::Ssd => "ssd",
    };
    let kind = train.kind.map(|kind| ("kind".to_owned(), word(kind).to_owned()));
    let hyperparameters =
        Hyperparameters::read(kind.into_iter().chain(train.settings.iter().cloned())).context("--set")?;
    if !train.data.is_dir() {
        bail!("--data {} is no folder: one with pictures would work", train.data.shown());
    }
    let device = train.device.find().context("--device")?;
    let checkpoints = train.checkpoints.clone().unwrap_or_else(|| train.out.join(CHECKPOINTS));
    for folder in [&train.out, &checkpoints] {
        std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.shown()))?;
    }
    let job = Job {
        data: train.data.clone(),
        weights: train.weights.clone(),
        model: train.out.clone(),
        output: train.out.clone(),
        checkpoints: Some(checkpoints),
        device,
        hyperparameters,
    };
    let kind = job.kind()?;
    container::heap::keep_large_blocks();
    let stop = Stop::on_signals()?;
    let mut progress = Some(Progress::steps("training"));
    let mut failed = None;
    let outcome = job.run(&stop, &mut |notice| {
        if let Err(error) = say(&notice, train.json, &mut progress) {
            failed.get_or_insert(error);
        }
    });
    if let Some(progress) = progress.take() {
        progress.finish();
    }
    let outcome = outcome?;
    if let Some(error) = failed {
        return Err(error);
    }
    match outcome {
        Outcome::Done => {
            if train.checkpoints.is_none() {
                job.remove_checkpoints();
            }
            let command = match kind {
                JobKind::Classifier => "classify",
                JobKind::FasterRcnn | JobKind::Ssd => "detect",
            };
            note!("the model is in {}: `time-traveler {command} PHOTO --model {0}` uses it", train.out.shown());
            Ok(())
        }
        Outcome::Stopped => bail!("stopped: the same command goes on from here"),
    }
}

fn say(notice: &Notice, as_json: bool, progress: &mut Option<Progress>) -> anyhow::Result<()> {
    match notice {
        Notice::Text(text) => above(progress, &escape::line(text)),
        Notice::Event(Event::Step { steps, of, loss, .. }) => {
            if let Some(progress) = progress {
                progress.say(&format!("loss {loss:.4}"));
                progress.at(*steps as u64, *of as u64);
            }
        }
        Notice::Event(Event::Epoch(epoch)) if as_json => print_line!("{}", json_of(epoch))?,
        Notice::Event(Event::Epoch(epoch)) => {
            let line = text_of(epoch);
            if let Some(progress) = progress {
                progress.suspend(|| print_line!("{line}"))?;
            }
        }
        Notice::Event(Event::Resumed { steps }) => above(progress, &format!("goes on after step {steps}")),
        Notice::Event(Event::Spoiled(spoiled)) => {
            above(
                progress,
                &format!("left out: {}: {}", Path::new(&spoiled.example).shown(), escape::line(&spoiled.reason)),
            );
        }
        Notice::Event(Event::EndedEarly) => {
            above(progress, "the validation loss has not improved: the training ends early")
        }
        Notice::Event(Event::Saved) => {}
    }
    Ok(())
}

/// A line above the bar.
fn above(progress: &mut Option<Progress>, line: &str) {
    match progress {
        Some(progress) => progress.suspend(|| note!("{line}")),
        None => note!("{line}"),
    }
}

fn text_of(epoch: &Epoch) -> String {
    let figures = epoch.figures.iter().map(|(name, value)| format!(", {name} {value:.4}"));
    format!(
        "phase {} epoch {}: train_loss {:.4}{}, {:.1} s",
        epoch.phase,
        epoch.epoch,
        epoch.train_loss,
        figures.collect::<String>(),
        epoch.seconds
    )
}

fn json_of(epoch: &Epoch) -> serde_json::Value {
    let mut line = json!({
        "phase": epoch.phase, "epoch": epoch.epoch, "train_loss": epoch.train_loss, "lr": epoch.rate, "seconds": epoch.seconds,
    });
    for (name, value) in &epoch.figures {
        line[name] = json!(value);
    }
    line
}
