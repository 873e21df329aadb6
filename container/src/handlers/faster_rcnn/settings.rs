//! The settings of object detection by Faster R-CNN.

use std::path::PathBuf;

use nn::DeviceChoice;

use crate::environment::{Environment, SettingsError, default_model_dir};

/// The score that detections are above, unless the environment says otherwise: that of the original service.
pub const SCORE: f32 = 0.2;

/// The settings of object detection by Faster R-CNN.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `SM_MODEL_DIR`: the folder of the model; `/opt/ml/model` by default, if it exists.
    pub model_dir: Option<PathBuf>,
    /// `CONFIDENCE_THRESHOLD`: scores are above it, 0 to 1; 0.2 by default.
    pub score: f32,
    /// `NMS_IOU_THRESHOLD`: the largest overlap of two objects of a class, 0 to 1; that of the configuration by default.
    pub overlap: Option<f64>,
    /// `DEVICE`: `auto`, `cpu` or `cuda`; `auto` by default.
    pub device: DeviceChoice,
}

impl Default for Settings {
    fn default() -> Self {
        Self { model_dir: default_model_dir(), score: SCORE, overlap: None, device: DeviceChoice::default() }
    }
}

impl Settings {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// [`SettingsError`]: the first variable that cannot be used, with its value.
    pub fn read(environment: &Environment) -> Result<Self, SettingsError> {
        let share = "a number from 0 to 1";
        let score = environment.parsed("CONFIDENCE_THRESHOLD", share, |value| (0.0..=1.0).contains(value))?;
        Ok(Self {
            model_dir: environment.model_dir()?,
            score: score.unwrap_or(SCORE),
            overlap: environment.parsed("NMS_IOU_THRESHOLD", share, |value| (0.0..=1.0).contains(value))?,
            device: environment.compute()?.device,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::only;

    #[test]
    fn reads_the_variables_that_are_set() {
        let read = |name, value| Settings::read(&only(name, value));
        assert_eq!(Settings::read(&Environment::default()), Ok(Settings::default()));
        assert_eq!(read("CONFIDENCE_THRESHOLD", "0.9").unwrap().score, 0.9);
        assert_eq!(read("NMS_IOU_THRESHOLD", "0.4").unwrap().overlap, Some(0.4));
        for (name, value) in [("CONFIDENCE_THRESHOLD", "20"), ("NMS_IOU_THRESHOLD", "nan")] {
            let error = read(name, value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}={value:?} cannot be used: ")), "{error}");
        }
    }
}
