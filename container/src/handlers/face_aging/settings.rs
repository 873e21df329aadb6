//! The settings of face ageing.

use std::path::PathBuf;

use nn::Compute;
use pipeline::Ages;

use crate::environment::{Environment, SettingsError, default_model_dir};

/// Where an image of the container has face models of its own.
const FACE_MODEL_DIR: &str = "/opt/face-models";

/// The settings of face ageing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `SM_MODEL_DIR`: the folder of the model's files; `/opt/ml/model` by default, if it exists.
    pub model_dir: Option<PathBuf>,
    /// `FACE_MODEL_DIR`: the folder of face models that are used where the model folder has none; `/opt/face-models` by default,
    /// if it exists.
    pub face_model_dir: Option<PathBuf>,
    /// `DEFAULT_AGES`: the ages of an invocation that names none.
    pub ages: Ages,
    /// `DEVICE`: `auto`, `cpu` or `cuda`; and `PRECISION`: `float32` or `bfloat16`. `auto` and `float32` by default.
    pub compute: Compute,
    /// `BATCH_SIZE`: how many ages share a step of the model, 1 to 64, from any number of invocations; 4 by default. More ages
    /// take more memory.
    pub batch_size: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model_dir: default_model_dir(),
            face_model_dir: Some(PathBuf::from(FACE_MODEL_DIR)).filter(|folder| folder.is_dir()),
            ages: Ages::default(),
            compute: Compute::default(),
            batch_size: aging::strip::AT_ONCE,
        }
    }
}

impl Settings {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// [`SettingsError`]: the first variable that cannot be used, with its value.
    pub fn read(environment: &Environment) -> Result<Self, SettingsError> {
        let default = Self::default();
        Ok(Self {
            model_dir: environment.model_dir()?,
            face_model_dir: environment.folder("FACE_MODEL_DIR")?.or(default.face_model_dir),
            ages: environment
                .parsed("DEFAULT_AGES", "1 to 16 whole numbers from 0 to 100, such as 20,40,60,80", |_| true)?
                .unwrap_or(default.ages),
            compute: environment.compute()?,
            batch_size: environment
                .parsed("BATCH_SIZE", "a whole number from 1 to 64", |ages| (1..=64).contains(ages))?
                .unwrap_or(default.batch_size),
        })
    }
}

#[cfg(test)]
mod tests {
    use nn::DeviceChoice;
    use nn::Precision;

    use super::*;
    use crate::environment::only;

    fn read(name: &str, value: &str) -> Result<Settings, SettingsError> {
        Settings::read(&only(name, value))
    }

    #[test]
    fn reads_the_variables_that_are_set() {
        assert_eq!(Settings::read(&Environment::default()), Ok(Settings::default()));
        assert_eq!(read("DEFAULT_AGES", "5, 70").unwrap().ages.as_slice(), [5, 70]);
        assert_eq!(read("DEVICE", "cpu").unwrap().compute.device, DeviceChoice::Cpu);
        assert_eq!(read("PRECISION", "bfloat16").unwrap().compute.precision, Precision::BFloat16);
        assert_eq!(read("BATCH_SIZE", "8").unwrap().batch_size, 8);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert_eq!(read("SM_MODEL_DIR", path).unwrap().model_dir.as_deref(), Some(folder.path()));
        assert_eq!(read("FACE_MODEL_DIR", path).unwrap().face_model_dir.as_deref(), Some(folder.path()));
    }

    #[test]
    fn refuses_by_name_and_value() {
        for (name, value) in [
            ("SM_MODEL_DIR", "/absent/model"),
            ("DEFAULT_AGES", "20,old"),
            ("DEVICE", "gpu"),
            ("PRECISION", "16"),
            ("FACE_MODEL_DIR", "/absent/model"),
            ("BATCH_SIZE", "65"),
        ] {
            let error = read(name, value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}={value:?} cannot be used: ")), "{error}");
        }
    }
}
