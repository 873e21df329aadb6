use std::path::PathBuf;

use nn::DeviceChoice;

use crate::environment::{Environment, SettingsError};

/// The settings of a handler that needs its network and nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkSettings {
    /// `SM_MODEL_DIR`: the folder of the model; `/opt/ml/model` by default, if it exists.
    pub model_dir: Option<PathBuf>,
    /// `DEVICE`: `auto`, `cpu` or `cuda`; `auto` by default.
    pub device: DeviceChoice,
}

impl NetworkSettings {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// [`SettingsError`]: the first variable that cannot be used, with its value.
    pub fn read(environment: &Environment) -> Result<Self, SettingsError> {
        Ok(Self { model_dir: environment.model_dir()?, device: environment.compute()?.device })
    }
}
