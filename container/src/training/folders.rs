//! The folders that SageMaker prepares for a training container.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nn::DeviceChoice;
use serde_json::Value;

use super::hyperparameters::Hyperparameters;
use super::job::Job;

/// Where they are.
const BASE: &str = "/opt/ml";
/// The channels that pictures and a checkpoint to begin with may come in, in the order in which they are looked for.
const DATA: [&str; 3] = ["training", "train", "data"];
const WEIGHTS: [&str; 3] = ["pretrained", "model", "checkpoint"];

/// `/opt/ml`, or what `SAGEMAKER_BASE_DIR` and the variables of SageMaker's own images say in its place.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    base: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Folders {
    pub(super) fn of_this_process() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        Self::of(variables)
    }

    fn of(variables: BTreeMap<String, String>) -> Self {
        let base = variables.get("SAGEMAKER_BASE_DIR").filter(|base| !base.is_empty());
        Self { base: base.map_or_else(|| BASE.into(), PathBuf::from), variables }
    }

    /// The job that they describe. No data is read.
    pub(super) fn job(&self) -> anyhow::Result<Job> {
        let hyperparameters = self.hyperparameters()?;
        let channels = self.channels()?;
        let chosen = |names: &[&str]| names.iter().find_map(|name| channels.get(*name)).cloned();
        // A job with one channel means it, whatever its name.
        let others = channels.iter().filter(|(name, _)| !WEIGHTS.contains(&name.as_str()));
        let only = || match &others.map(|(_, folder)| folder).collect::<Vec<_>>()[..] {
            [folder] => Some((*folder).clone()),
            _ => None,
        };
        let data = chosen(&DATA).or_else(only).with_context(|| {
            let given: Vec<&str> = channels.keys().map(String::as_str).collect();
            format!("there is no channel {}: the job has {given:?}", DATA.join(" or "))
        })?;
        let model = self.folder("SM_MODEL_DIR", "model");
        let output = self.folder("SM_OUTPUT_DATA_DIR", "output/data");
        for folder in [&model, &output] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        }
        // SageMaker makes this folder for jobs that keep checkpoints.
        let checkpoints = Some(self.base.join("checkpoints")).filter(|folder| folder.is_dir());
        let device = match self.variables.get("DEVICE") {
            Some(word) => word.parse().context("DEVICE")?,
            None => DeviceChoice::default(),
        };
        let device = device.find().context("DEVICE")?;
        Ok(Job { data, weights: chosen(&WEIGHTS), model, output, checkpoints, device, hyperparameters })
    }

    /// Describes why the training failed.
    pub(super) fn write_failure(&self, text: &str) -> io::Result<()> {
        let folder = self.folder("SM_OUTPUT_DIR", "output");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("failure"), text)
    }

    fn folder(&self, variable: &str, name: &str) -> PathBuf {
        let given = self.variables.get(variable).filter(|folder| !folder.is_empty());
        given.map_or_else(|| self.base.join(name), PathBuf::from)
    }

    fn hyperparameters(&self) -> anyhow::Result<Hyperparameters> {
        let file = self.base.join("input/config/hyperparameters.json");
        let Some(Value::Object(members)) = json(&file)? else { return Ok(Hyperparameters::default()) };
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(Hyperparameters::read(members.into_iter().map(|(name, value)| (name, text(value))))?)
    }

    /// The folder of each channel.
    fn channels(&self) -> anyhow::Result<BTreeMap<String, PathBuf>> {
        let data = self.base.join("input/data");
        let config = json(&self.base.join("input/config/inputdataconfig.json"))?;
        if let Some(Value::Object(channels)) = config.filter(|config| config.as_object().is_some_and(|c| !c.is_empty()))
        {
            if let Some(name) = channels.iter().find(|(_, c)| c["TrainingInputMode"] == "Pipe").map(|(name, _)| name) {
                anyhow::bail!("the channel {name} is in Pipe mode: File or FastFile would work");
            }
            return Ok(channels.keys().map(|name| (name.clone(), data.join(name))).collect());
        }
        let Ok(entries) = data.read_dir() else { return Ok(BTreeMap::new()) };
        let channel = |path: PathBuf| Some((path.file_name()?.to_str()?.to_owned(), path.clone()));
        Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).filter_map(channel).collect())
    }
}

/// The content of a JSON file; `None`: there is none.
fn json(file: &Path) -> anyhow::Result<Option<Value>> {
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| format!("{} is no JSON", file.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(base: &Path) -> Folders {
        Folders::of([("SAGEMAKER_BASE_DIR".to_owned(), base.display().to_string())].into())
    }

    fn write(base: &Path, name: &str, text: &str) {
        let file = base.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    #[test]
    fn a_job_is_read_from_its_folders() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path();
        write(base, "input/config/hyperparameters.json", r#"{"epochs": "3", "model_arch": "\"resnet18\""}"#);
        write(base, "input/config/inputdataconfig.json", r#"{"training": {"TrainingInputMode": "File"}, "model": {}}"#);
        let job = folders(base).job().unwrap();
        assert_eq!(job.data, base.join("input/data/training"));
        assert_eq!(job.weights, Some(base.join("input/data/model")));
        assert_eq!((job.model.clone(), job.checkpoints), (base.join("model"), None));
        assert!(job.model.is_dir() && base.join("output/data").is_dir());
        assert_eq!(job.hyperparameters.get("model_arch"), Some("resnet18"));
        std::fs::create_dir(base.join("checkpoints")).unwrap();
        assert_eq!(folders(base).job().unwrap().checkpoints, Some(base.join("checkpoints")));
    }

    #[test]
    fn channels_are_found_without_a_list_and_missing_ones_are_named() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path();
        let error = folders(base).job().unwrap_err().to_string();
        assert!(error.contains("training or train or data"), "{error}");
        std::fs::create_dir_all(base.join("input/data/pets")).unwrap();
        assert_eq!(folders(base).job().unwrap().data, base.join("input/data/pets"));
        write(base, "input/config/inputdataconfig.json", r#"{"pets": {"TrainingInputMode": "Pipe"}}"#);
        let error = folders(base).job().unwrap_err().to_string();
        assert!(error.contains("File or FastFile would work"), "{error}");
        write(base, "input/config/hyperparameters.json", r#"{"epoch": "3"}"#);
        let error = folders(base).job().unwrap_err().to_string();
        assert!(error.contains("\"epoch\"") && error.contains("epochs"), "{error}");
        folders(base).write_failure("too bad").unwrap();
        assert_eq!(std::fs::read_to_string(base.join("output/failure")).unwrap(), "too bad");
    }
}
