//! The settings of face detection.

use std::path::PathBuf;
use std::str::FromStr;

use nn::DeviceChoice;
use vision::boxes::Thresholds;
use vision::{ColorOrder, FaceNetwork};

use super::wire;
use crate::environment::{Environment, SettingsError, default_model_dir};

/// The settings of face detection.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `SM_MODEL_DIR`: the folder of the checkpoint; `/opt/ml/model` by default, if it exists.
    pub model_dir: Option<PathBuf>,
    /// `MODEL_NAME`: `RetinaNetResNet50`, `RetinaNetMobileNetV1` or `DSFDDetector`. Unset, it is the network whose checkpoint the
    /// folder has.
    pub network: Option<FaceNetwork>,
    /// `WITH_LANDMARKS`: whether answers have landmarks. Only the word `TRUE` turns them on.
    pub landmarks: bool,
    /// `CONFIDENCE_THRESHOLD`, 0.5 by default, and `NMS_IOU_THRESHOLD`, 0.3 by default.
    pub thresholds: Thresholds,
    /// `COLOR_ORDER`: `rgb` by default. `bgr` gives the answers of services that hand over pictures as OpenCV reads them.
    pub order: ColorOrder,
    /// `DEVICE`: `auto`, `cpu` or `cuda`; `auto` by default.
    pub device: DeviceChoice,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model_dir: default_model_dir(),
            network: None,
            landmarks: false,
            thresholds: Thresholds::default(),
            order: ColorOrder::default(),
            device: DeviceChoice::default(),
        }
    }
}

/// `MODEL_NAME`.
struct Network(FaceNetwork);

impl FromStr for Network {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        FaceNetwork::ALL.into_iter().find(|network| wire::model_name(*network) == word).map(Self).ok_or(())
    }
}

/// `COLOR_ORDER`.
struct Order(ColorOrder);

impl FromStr for Order {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word.to_ascii_lowercase().as_str() {
            "rgb" => Ok(Self(ColorOrder::Rgb)),
            "bgr" => Ok(Self(ColorOrder::Bgr)),
            _ => Err(()),
        }
    }
}

impl Settings {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// [`SettingsError`]: the first variable that cannot be used, with its value.
    pub fn read(environment: &Environment) -> Result<Self, SettingsError> {
        let default = Thresholds::default();
        let share = "a number from 0 to 1";
        let names = "RetinaNetResNet50, RetinaNetMobileNetV1 or DSFDDetector";
        let confidence = environment.parsed("CONFIDENCE_THRESHOLD", share, |value| (0.0..=1.0).contains(value))?;
        let overlap = environment.parsed("NMS_IOU_THRESHOLD", share, |value| (0.0..=1.0).contains(value))?;
        Ok(Self {
            model_dir: environment.model_dir()?,
            network: environment.parsed("MODEL_NAME", names, |_| true)?.map(|Network(network)| network),
            landmarks: environment.parsed("WITH_LANDMARKS", "TRUE", |_: &String| true)?.as_deref() == Some("TRUE"),
            thresholds: Thresholds {
                confidence: confidence.unwrap_or(default.confidence),
                overlap: overlap.unwrap_or(default.overlap),
            },
            order: environment
                .parsed("COLOR_ORDER", "rgb or bgr", |_| true)?
                .map_or_else(ColorOrder::default, |Order(order)| order),
            device: environment.compute()?.device,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::only;

    fn read(name: &str, value: &str) -> Result<Settings, SettingsError> {
        Settings::read(&only(name, value))
    }

    #[test]
    fn reads_the_variables_that_are_set() {
        assert_eq!(Settings::read(&Environment::default()), Ok(Settings::default()));
        assert_eq!(read("MODEL_NAME", "DSFDDetector").unwrap().network, Some(FaceNetwork::Dsfd));
        for (word, on) in [("TRUE", true), ("true", false), ("1", false), ("", false)] {
            assert_eq!(read("WITH_LANDMARKS", word).unwrap().landmarks, on, "{word}");
        }
        assert_eq!(read("CONFIDENCE_THRESHOLD", "0.9").unwrap().thresholds.confidence, 0.9);
        assert_eq!(read("NMS_IOU_THRESHOLD", "0.45").unwrap().thresholds.overlap, 0.45);
        assert_eq!(read("COLOR_ORDER", "BGR").unwrap().order, ColorOrder::Bgr);
        assert_eq!(read("DEVICE", "cpu").unwrap().device, DeviceChoice::Cpu);
    }

    #[test]
    fn refuses_by_name_and_value() {
        for (name, value) in [
            ("MODEL_NAME", "RetinaNet"),
            ("CONFIDENCE_THRESHOLD", "50"),
            ("CONFIDENCE_THRESHOLD", "nan"),
            ("NMS_IOU_THRESHOLD", "-0.1"),
            ("COLOR_ORDER", "grey"),
        ] {
            let error = read(name, value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}={value:?} cannot be used: ")), "{error}");
        }
    }
}
