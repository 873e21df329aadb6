//! One training, of any kind.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use nn::Device;
use vision::train::{CHECKPOINT, Checkpoints, Event, History, Outcome};

use super::classifier;
use super::faster_rcnn;
use super::hyperparameters::Hyperparameters;
use super::ssd;
use super::stop::Stop;

/// A training: what it reads, and what it writes.
#[derive(Clone, Debug)]
pub struct Job {
    /// The folder of the data.
    pub data: PathBuf,
    /// A checkpoint to begin with, or a folder that has one.
    pub weights: Option<PathBuf>,
    /// The folder of the model, which `serve` serves.
    pub model: PathBuf,
    /// The folder of `history.csv` and `training.html`.
    pub output: PathBuf,
    /// The folder of the training's own checkpoints, from which it goes on; `None` keeps none.
    pub checkpoints: Option<PathBuf>,
    /// What the network computes on.
    pub device: Device,
    /// The settings.
    pub hyperparameters: Hyperparameters,
}

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// [`vision::classifier`].
    Classifier,
    /// [`vision::faster_rcnn`].
    FasterRcnn,
    /// [`vision::ssd`].
    Ssd,
}

/// A word that names nothing that trains.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be trained: classifier, faster-rcnn or ssd would work")]
pub struct UnknownKind(String);

impl FromStr for JobKind {
    type Err = UnknownKind;

    fn from_str(word: &str) -> Result<Self, UnknownKind> {
        match word {
            "classifier" => Ok(Self::Classifier),
            "faster-rcnn" => Ok(Self::FasterRcnn),
            "ssd" => Ok(Self::Ssd),
            _ => Err(UnknownKind(word.to_owned())),
        }
    }
}

/// An event of a training.
#[derive(Debug)]
pub enum Notice<'a> {
    /// A fact about the job.
    Text(String),
    /// What happens in the loop.
    Event(Event<'a>),
}

impl Job {
    /// Trains, and writes the model, also where it is stopped. `tell` hears of it.
    ///
    /// # Errors
    /// What keeps it from going on.
    pub fn run(&self, stop: &Stop, tell: &mut dyn FnMut(Notice)) -> anyhow::Result<Outcome> {
        let threads = self.hyperparameters.whole("threads", 0);
        if threads > 0 {
            // It fails only where threads have begun to compute before, as in tests.
            drop(rayon::ThreadPoolBuilder::new().num_threads(threads).build_global());
        }
        match self.kind()? {
            JobKind::Classifier => classifier::run(self, stop, tell),
            JobKind::FasterRcnn => faster_rcnn::run(self, stop, tell),
            JobKind::Ssd => ssd::run(self, stop, tell),
        }
    }

    /// What is trained: what the hyperparameters say, and those of Detectron2 are a Faster R-CNN's; else by the files of the data.
    ///
    /// # Errors
    /// [`UnknownKind`].
    pub fn kind(&self) -> Result<JobKind, UnknownKind> {
        let given = |name: &str| self.hyperparameters.get(name).is_some();
        match self.hyperparameters.get("kind") {
            Some(word) => word.parse(),
            None if given("config_file") || given("local_config_file") => Ok(JobKind::FasterRcnn),
            None if self.data.join(ssd::CONFIG).is_file() => Ok(JobKind::Ssd),
            None => Ok(JobKind::Classifier),
        }
    }

    /// Removes the files of the training from its folder of checkpoints, and the folder unless it has others. A training that is done
    /// does not need them.
    pub fn remove_checkpoints(&self) {
        let Some(folder) = &self.checkpoints else { return };
        let is_faster_rcnn = self.kind() == Ok(JobKind::FasterRcnn);
        let keeps_best = self.hyperparameters.get("keep") == Some("best");
        let files = [
            (CHECKPOINT, true),
            (faster_rcnn::HISTORY, is_faster_rcnn),
            (faster_rcnn::BEST, is_faster_rcnn && keeps_best),
        ];
        for (name, _) in files.into_iter().filter(|(_, is_own)| *is_own) {
            // What is left there is in nobody's way.
            drop(std::fs::remove_file(folder.join(name)));
        }
        // Opening the folder removes incomplete files.
        drop(Checkpoints::new(folder));
        drop(std::fs::remove_dir(folder));
    }

    /// Its folder of checkpoints, which is made where it is missing.
    pub(super) fn opened_checkpoints(&self) -> anyhow::Result<Option<Checkpoints>> {
        let Some(folder) = &self.checkpoints else { return Ok(None) };
        std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        Ok(Some(Checkpoints::new(folder)))
    }

    /// Writes `history.csv` and `training.html`.
    pub(super) fn write_history(&self, history: &History, settings: &[(String, String)]) -> anyhow::Result<()> {
        write(&self.output.join("history.csv"), &history.to_csv())?;
        write(&self.output.join("training.html"), &vision::train::report(history, settings))
    }
}

pub(super) fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::hyperparameters::HYPERPARAMETERS;
    use super::*;

    #[test]
    fn every_hyperparameter_means_something_to_what_is_trained() {
        let known = [&classifier::KNOWN[..], &faster_rcnn::KNOWN[..], &ssd::KNOWN[..]].concat();
        let known: BTreeSet<&str> = known.into_iter().collect();
        assert_eq!(known, HYPERPARAMETERS.iter().map(|known| known.name).collect());

        let given = |name: &str, value: &str| Hyperparameters::read([(name.to_owned(), value.to_owned())]).unwrap();
        given("seed", "3").only(&ssd::KNOWN, "an SSD").unwrap();
        let error = given("lr", "1e-3").only(&ssd::KNOWN, "an SSD").unwrap_err().to_string();
        assert!(error.starts_with("the hyperparameter lr means nothing to an SSD: batch_size, "), "{error}");
        assert!(given("num_steps", "5").only(&classifier::KNOWN, "a classifier").is_err());
    }

    #[test]
    fn no_file_but_the_trainings_own_is_removed_from_its_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = folder.path().join("checkpoints");
        let left = |settings: &[(&str, &str)], foreign: &[&str]| {
            std::fs::create_dir_all(&checkpoints).unwrap();
            let own = ["training.safetensors", "best.safetensors", "history.csv", ".checkpoint-1"];
            own.iter().chain(foreign).for_each(|name| std::fs::write(checkpoints.join(name), "").unwrap());
            let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let job = Job {
                data: folder.path().to_owned(),
                weights: None,
                model: folder.path().to_owned(),
                output: folder.path().to_owned(),
                checkpoints: Some(checkpoints.clone()),
                device: Device::Cpu,
                hyperparameters: Hyperparameters::read(settings).unwrap(),
            };
            job.remove_checkpoints();
            let names = checkpoints.read_dir().into_iter().flatten().map(|entry| entry.unwrap().file_name());
            names.map(|name| name.into_string().unwrap()).collect::<BTreeSet<String>>()
        };
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
        let classifier = left(&[], &["resnet34.pth"]);
        assert_eq!(classifier, named(&["best.safetensors", "history.csv", "resnet34.pth"]));
        let last = left(&[("kind", "faster-rcnn")], &["resnet34.pth"]);
        assert_eq!(last, named(&["best.safetensors", "resnet34.pth"]));
        std::fs::remove_dir_all(&checkpoints).unwrap();
        assert_eq!(left(&[("kind", "faster-rcnn"), ("keep", "best")], &[]), BTreeSet::new());
        assert!(!checkpoints.exists());
    }
}
