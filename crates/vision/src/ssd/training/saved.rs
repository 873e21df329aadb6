//! Where a training stands, and its checkpoints, from which it goes on as if it had never been interrupted.

use nn::checkpoint::{Checkpoint, CheckpointError, save};
use nn::{Optimizer, Parameters, Rule};

use crate::train::{Checkpoints, History, TrainError};

/// The beginnings of the tensors' names.
const PARAMETERS: &str = "parameters.";
const OPTIMIZER: &str = "optimizer.";
const AVERAGED: &str = "averaged.";
const BEST: &str = "best.";
/// The entries of the header.
const SETTINGS: &str = "training.settings";
const POSITION: &str = "training.position";
const HISTORY: &str = "training.history";

/// Where a training stands, between two steps.
#[derive(Debug)]
pub(super) struct State {
    /// The steps that are done.
    pub(super) steps: usize,
    pub(super) parameters: Parameters,
    pub(super) optimizer: Optimizer,
    /// The moving averages of the parameters, where they become the model.
    pub(super) averaged: Option<Parameters>,
    /// The parameters of the best round so far, and its figure.
    pub(super) best: Option<(f64, Parameters)>,
    pub(super) history: History,
    /// The sum of the losses since the last round, and the number of steps in it.
    pub(super) losses: (f64, usize),
    /// How long the steps since the last round have taken, in seconds.
    pub(super) seconds: f64,
}

impl State {
    /// Before the first step.
    pub(super) fn new(parameters: Parameters, rule: Rule, is_averaged: bool) -> Self {
        Self {
            steps: 0,
            averaged: is_averaged.then(|| parameters.clone()),
            parameters,
            optimizer: Optimizer::new(rule),
            best: None,
            history: History::default(),
            losses: (0.0, 0),
            seconds: 0.0,
        }
    }

    /// Writes a checkpoint. It replaces the one before when it is complete.
    pub(super) fn save(&self, checkpoints: &Checkpoints, settings: &str) -> Result<(), CheckpointError> {
        let file = checkpoints.file();
        let name = file.display().to_string();
        let Self { steps, losses: (sum, count), seconds, .. } = self;
        let figure = self.best.as_ref().map_or(f64::NEG_INFINITY, |(figure, _)| *figure);
        let others = [(AVERAGED, self.averaged.as_ref()), (BEST, self.best.as_ref().map(|(_, best)| best))];
        let others = others.into_iter().filter_map(|(prefix, of)| Some(of?.checkpoint(&name).prefixed(prefix)));
        let checkpoint = others
            .fold(self.optimizer.checkpoint(&name).prefixed(OPTIMIZER), Checkpoint::joined)
            .joined(self.parameters.checkpoint(&name).prefixed(PARAMETERS))
            .with_entry(SETTINGS, settings.to_owned())
            .with_entry(POSITION, format!("{steps} {sum} {count} {seconds} {figure}"))
            .with_entry(HISTORY, self.history.to_csv());
        save(&checkpoint, None, &file, &mut |_, _| ())
    }

    /// Takes over what the last checkpoint has, if there is one, and says whether. It has to be that of a training with the same
    /// settings.
    pub(super) fn resume(&mut self, checkpoints: &Checkpoints, settings: &str) -> Result<bool, TrainError> {
        if !checkpoints.exist() {
            return Ok(false);
        }
        let file = checkpoints.file();
        let checkpoint = Checkpoint::open(&file)?;
        let numbers = checkpoint.entry(POSITION).and_then(numbers);
        let history = checkpoint.entry(HISTORY).and_then(History::of_csv);
        let (Some(found), Some(numbers), Some(history)) = (checkpoint.entry(SETTINGS), numbers, history) else {
            return Err(TrainError::NoTraining { file });
        };
        if found != settings {
            return Err(TrainError::OtherSettings { file, found: found.to_owned(), wanted: settings.to_owned() });
        }
        let taken = |parameters: &mut Parameters, prefix: &str| -> Result<bool, TrainError> {
            Ok(parameters.take_over(&checkpoint.within(prefix))?.len() == parameters.count())
        };
        let mut best = self.parameters.clone();
        let has_best = taken(&mut best, BEST)?;
        let is_complete = taken(&mut self.parameters, PARAMETERS)?
            && self.averaged.as_mut().map_or(Ok(true), |averaged| taken(averaged, AVERAGED))?;
        if !is_complete {
            return Err(TrainError::NoTraining { file });
        }
        self.optimizer.restore(&self.parameters, &checkpoint.within(OPTIMIZER))?;
        let [steps, sum, count, seconds, figure] = numbers;
        self.best = has_best.then_some((figure, best));
        (self.steps, self.history, self.losses, self.seconds) =
            (steps as usize, history, (sum, count as usize), seconds);
        Ok(true)
    }
}

/// Five numbers with blanks between them.
fn numbers(text: &str) -> Option<[f64; 5]> {
    let numbers: Vec<f64> = text.split(' ').map(|word| word.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}
