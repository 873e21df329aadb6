//! Checkpoints of a training: all that it needs to go on as if it had never been interrupted.

use std::path::{Path, PathBuf};

use nn::checkpoint::{Checkpoint, CheckpointError, save};
use nn::{AdamW, Parameters};

use super::error::TrainError;
use super::history::History;
use super::plan::Plan;

/// The name of the file in the folder of checkpoints.
pub const CHECKPOINT: &str = "training.safetensors";

/// The beginnings of the tensors' names.
const PARAMETERS: &str = "parameters.";
const OPTIMIZER: &str = "optimizer.";
const BEST: &str = "best.";
/// The entries of the header.
const SETTINGS: &str = "training.settings";
const POSITION: &str = "training.position";
const HISTORY: &str = "training.history";

/// The folder that checkpoints are written to. There is one file, which each checkpoint replaces as a whole.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

/// Where a training stands, between two steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Position {
    /// The phase, from 0.
    pub(super) phase: usize,
    /// The epoch in the phase, from 0.
    pub(super) epoch: usize,
    /// The batch in the epoch, from 0.
    pub(super) batch: usize,
    /// The sum of the epoch's losses so far.
    pub(super) loss: f64,
    /// The number of steps in that sum.
    pub(super) steps: usize,
    /// The seconds that the epoch has taken so far.
    pub(super) seconds: f64,
}

/// A training that can go on.
pub(super) struct Saved {
    checkpoint: Checkpoint,
    pub(super) position: Position,
    pub(super) history: History,
}

impl Checkpoints {
    /// In a folder that exists. What an interrupted program left there of an incomplete file is removed.
    pub fn new(folder: &Path) -> Self {
        if let Ok(entries) = folder.read_dir() {
            let leftover = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(".checkpoint-");
            for entry in entries.flatten().filter(|entry| leftover(&entry.file_name())) {
                // It is in nobody's way.
                drop(std::fs::remove_file(entry.path()));
            }
        }
        Self { folder: folder.to_owned() }
    }

    /// The path of the file.
    pub fn file(&self) -> PathBuf {
        self.folder.join(CHECKPOINT)
    }

    /// Whether there is a checkpoint.
    pub fn exist(&self) -> bool {
        self.file().is_file()
    }

    /// Writes a checkpoint: the parameters, and those of the best epoch where they are kept. It replaces the one before when it is
    /// complete.
    pub(super) fn write(
        &self,
        plan: &Plan,
        position: &Position,
        history: &History,
        parameters: [Option<&Parameters>; 2],
        optimizer: &AdamW,
    ) -> Result<(), CheckpointError> {
        let file = self.file();
        let name = file.display().to_string();
        let optimizer = optimizer.checkpoint(&name).prefixed(OPTIMIZER);
        let prefixed = [PARAMETERS, BEST].into_iter().zip(parameters);
        let parameters = prefixed.filter_map(|(prefix, of)| Some(of?.checkpoint(&name).prefixed(prefix)));
        let checkpoint = parameters
            .fold(optimizer, Checkpoint::joined)
            .with_entry(SETTINGS, plan.fingerprint())
            .with_entry(POSITION, position.to_text())
            .with_entry(HISTORY, history.to_csv());
        save(&checkpoint, None, &file, &mut |_, _| ())
    }

    /// Reads the checkpoint, if there is one. It has to be that of a training with the same plan.
    pub(super) fn read(&self, plan: &Plan) -> Result<Option<Saved>, TrainError> {
        if !self.exist() {
            return Ok(None);
        }
        let file = self.file();
        let checkpoint = Checkpoint::open(&file)?;
        let (wanted, found) = (plan.fingerprint(), checkpoint.entry(SETTINGS));
        let (position, history) = (checkpoint.entry(POSITION), checkpoint.entry(HISTORY));
        let position = position.and_then(Position::of_text).filter(|position| position.phase <= plan.phases.len());
        let (Some(found), Some(position), Some(history)) = (found, position, history.and_then(History::of_csv)) else {
            return Err(TrainError::NoTraining { file });
        };
        if found != wanted {
            return Err(TrainError::OtherSettings { file, found: found.to_owned(), wanted });
        }
        Ok(Some(Saved { checkpoint, position, history }))
    }
}

impl Saved {
    /// Gives parameters their values.
    pub(super) fn restore_parameters(&self, parameters: &mut Parameters) -> Result<(), TrainError> {
        let taken = parameters.take_over(&self.checkpoint.within(PARAMETERS))?;
        if taken.len() == parameters.count() {
            Ok(())
        } else {
            Err(TrainError::NoTraining { file: self.checkpoint.file().to_owned() })
        }
    }

    /// The parameters of the best epoch, if the checkpoint has them. They are like others.
    pub(super) fn best(&self, parameters: &Parameters) -> Result<Option<Parameters>, TrainError> {
        let mut best = parameters.clone();
        let taken = best.take_over(&self.checkpoint.within(BEST))?;
        Ok(Some(best).filter(|best| taken.len() == best.count()))
    }

    /// Gives the optimizer its moments.
    pub(super) fn restore_optimizer(&self, optimizer: &mut AdamW, parameters: &Parameters) -> Result<(), TrainError> {
        Ok(optimizer.restore(parameters, &self.checkpoint.within(OPTIMIZER))?)
    }
}

impl Position {
    fn to_text(self) -> String {
        let Self { phase, epoch, batch, loss, steps, seconds } = self;
        format!("{phase} {epoch} {batch} {loss} {steps} {seconds}")
    }

    fn of_text(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [phase, epoch, batch, loss, steps, seconds] = words[..] else { return None };
        Some(Self {
            phase: phase.parse().ok()?,
            epoch: epoch.parse().ok()?,
            batch: batch.parse().ok()?,
            loss: loss.parse().ok()?,
            steps: steps.parse().ok()?,
            seconds: seconds.parse().ok()?,
        })
    }
}
