//! Variables of the environment, as settings of a known type.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use nn::Compute;

/// Where SageMaker unpacks a model.
const MODEL_DIR: &str = "/opt/ml/model";

/// A variable of the environment that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value:?} cannot be used: {needed} would work")]
pub struct SettingsError {
    name: &'static str,
    value: String,
    needed: &'static str,
}

/// The variables that settings are read from.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_this_process() -> Self {
        // Values that are not UTF-8 are kept as far as they are readable, so that an error can name them.
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect()
    }

    /// These variables and one more, which replaces one of the same name.
    #[must_use]
    pub fn with(mut self, name: &str, value: String) -> Self {
        self.variables.insert(name.to_owned(), value);
        self
    }

    /// Whether a variable is set.
    pub fn has(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// The value of a variable. `None`: it is not set. `needed` completes the sentence "... would work".
    ///
    /// # Errors
    /// [`SettingsError`]: the value cannot be parsed, or is not `allowed`.
    pub fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        needed: &'static str,
        allowed: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.variables.get(name) else { return Ok(None) };
        match value.trim().parse() {
            Ok(parsed) if allowed(&parsed) => Ok(Some(parsed)),
            _ => Err(SettingsError { name, value: value.clone(), needed }),
        }
    }

    /// A folder.
    ///
    /// # Errors
    /// [`SettingsError`]: it does not exist.
    pub fn folder(&self, name: &'static str) -> Result<Option<PathBuf>, SettingsError> {
        self.parsed(name, "a folder that exists", |folder: &PathBuf| folder.is_dir())
    }

    /// A number of seconds.
    ///
    /// # Errors
    /// [`SettingsError`]: not a whole number from 1 to 86400.
    pub fn seconds(&self, name: &'static str) -> Result<Option<Duration>, SettingsError> {
        let seconds =
            self.parsed(name, "a whole number of seconds from 1 to 86400", |s: &u64| (1..=86_400).contains(s))?;
        Ok(seconds.map(Duration::from_secs))
    }

    /// A number of bytes.
    ///
    /// # Errors
    /// [`SettingsError`]: not a whole number above 0.
    pub fn bytes(&self, name: &'static str) -> Result<Option<usize>, SettingsError> {
        self.parsed(name, "a whole number of bytes above 0", |bytes| *bytes > 0)
    }

    /// `SM_MODEL_DIR`: the folder of the model's files. By default [`default_model_dir`].
    ///
    /// # Errors
    /// [`SettingsError`]: it does not exist.
    pub fn model_dir(&self) -> Result<Option<PathBuf>, SettingsError> {
        Ok(self.folder("SM_MODEL_DIR")?.or_else(default_model_dir))
    }

    /// `DEVICE`: `auto`, `cpu` or `cuda`; and `PRECISION`: `float32` or `bfloat16`. By default `auto` and `float32`.
    ///
    /// # Errors
    /// [`SettingsError`]: another word.
    pub fn compute(&self) -> Result<Compute, SettingsError> {
        let default = Compute::default();
        Ok(Compute {
            device: self.parsed("DEVICE", "auto, cpu or cuda", |_| true)?.unwrap_or(default.device),
            precision: self.parsed("PRECISION", "float32 or bfloat16", |_| true)?.unwrap_or(default.precision),
        })
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().collect() }
    }
}

/// `/opt/ml/model`, if it exists.
pub(crate) fn default_model_dir() -> Option<PathBuf> {
    Some(PathBuf::from(MODEL_DIR)).filter(|folder| folder.is_dir())
}

/// One variable and nothing else.
#[cfg(test)]
pub(crate) fn only(name: &str, value: &str) -> Environment {
    [(name.to_owned(), value.to_owned())].into_iter().collect()
}
