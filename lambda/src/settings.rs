use std::fmt::Display;
use std::str::FromStr;

use pipeline::{Ages, Deadlines};

/// The file format of the panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    /// Quality 92, chroma halved both ways.
    Jpeg,
    /// Lossless.
    Png,
}

impl ImageFormat {
    /// The file extension: `jpg` or `png`.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
        }
    }

    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

impl FromStr for ImageFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "jpeg" | "jpg" => Ok(Self::Jpeg),
            "png" => Ok(Self::Png),
            _ => Err("jpeg and png would work".to_owned()),
        }
    }
}

/// What the functions read from their environment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `INPUT_BUCKET`
    pub input_bucket: String,
    /// `OUTPUT_BUCKET`
    pub output_bucket: String,
    /// `JOBS_TABLE`
    pub jobs_table: String,
    /// `JOBS_INDEX`: the index of the list and the sweep; `newest-first`
    pub jobs_index: String,
    /// `ENDPOINT_NAME`: the SageMaker endpoint
    pub endpoint_name: String,
    /// `DEFAULT_AGES`: where an upload names none; `20,40,60,80`
    pub default_ages: Ages,
    /// `IMAGE_FORMAT`: `jpeg` (default) or `png`
    pub image_format: ImageFormat,
    /// `REQUEST_TTL_SECONDS`: how long an invocation may wait in SageMaker's queue; 3600
    pub request_ttl_seconds: i32,
    /// `INVOCATION_TIMEOUT_SECONDS`: how long it may take in the container; 900
    pub invocation_timeout_seconds: i32,
    /// `NOTICE_SECONDS`: how long SageMaker's notice of an answer may take beyond that; 60
    pub notice_seconds: i32,
    /// `FIRST_LOOK_SECONDS`: how long after an invocation the sweep first looks for an answer that no notice told of; 60
    pub first_look_seconds: i32,
    /// `DELETION_SECONDS`: after which time whoever deletes a portrait's objects has surely ended: more than the functions'
    /// timeouts; 75
    pub deletion_seconds: i32,
    /// `RETENTION_DAYS`: when the table forgets a job; 30
    pub retention_days: i64,
}

/// A variable of the environment that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It has to be set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// Its value makes no sense.
    #[error("the environment variable {name} is {value:?}: {reason}")]
    Invalid {
        /// Which one.
        name: &'static str,
        /// What it is.
        value: String,
        /// What is wrong, or would work.
        reason: String,
    },
}

impl Settings {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// [`SettingsError`] names the first variable that is missing or makes no sense.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads an environment, given as the value of each variable by its name.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let required =
            |name: &'static str| variable(name).filter(|value| !value.is_empty()).ok_or(SettingsError::Missing(name));
        Ok(Self {
            input_bucket: required("INPUT_BUCKET")?,
            output_bucket: required("OUTPUT_BUCKET")?,
            jobs_table: required("JOBS_TABLE")?,
            jobs_index: variable("JOBS_INDEX").unwrap_or_else(|| "newest-first".to_owned()),
            endpoint_name: required("ENDPOINT_NAME")?,
            default_ages: optional(&variable, "DEFAULT_AGES", Ages::default())?,
            image_format: optional(&variable, "IMAGE_FORMAT", ImageFormat::Jpeg)?,
            // SageMaker's own limits.
            request_ttl_seconds: seconds(&variable, "REQUEST_TTL_SECONDS", 3600, 21_600)?,
            invocation_timeout_seconds: seconds(&variable, "INVOCATION_TIMEOUT_SECONDS", 900, 3600)?,
            notice_seconds: seconds(&variable, "NOTICE_SECONDS", 60, 3600)?,
            first_look_seconds: seconds(&variable, "FIRST_LOOK_SECONDS", 60, 3600)?,
            deletion_seconds: seconds(&variable, "DELETION_SECONDS", 75, 3600)?,
            retention_days: optional(&variable, "RETENTION_DAYS", 30)?,
        })
    }

    /// How long a job may stay in each state.
    pub fn deadlines(&self) -> Deadlines {
        Deadlines {
            claim_seconds: 10,
            pending_seconds: 3600,
            // SageMaker's own limits, and time for its notice.
            processing_seconds: i64::from(self.request_ttl_seconds)
                + i64::from(self.invocation_timeout_seconds)
                + i64::from(self.notice_seconds),
            first_look_seconds: i64::from(self.first_look_seconds),
            deletion_seconds: i64::from(self.deletion_seconds),
        }
    }
}

fn optional<T>(variable: impl Fn(&str) -> Option<String>, name: &'static str, default: T) -> Result<T, SettingsError>
where
    T: FromStr,
    T::Err: Display,
{
    match variable(name) {
        None => Ok(default),
        Some(value) => match value.parse() {
            Ok(parsed) => Ok(parsed),
            Err(error) => Err(SettingsError::Invalid { name, reason: error.to_string(), value }),
        },
    }
}

fn seconds(
    variable: impl Fn(&str) -> Option<String>,
    name: &'static str,
    default: i32,
    most: i32,
) -> Result<i32, SettingsError> {
    let value = optional(variable, name, default)?;
    if (1..=most).contains(&value) {
        return Ok(value);
    }
    Err(SettingsError::Invalid { name, value: value.to_string(), reason: format!("1 to {most} seconds would work") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(changes: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::read(|name| {
            let changed = changes.iter().find(|(changed, _)| *changed == name).map(|(_, value)| (*value).to_owned());
            let required = ["INPUT_BUCKET", "OUTPUT_BUCKET", "JOBS_TABLE", "ENDPOINT_NAME"];
            changed.or_else(|| required.contains(&name).then(|| "x".to_owned()))
        })
    }

    #[test]
    fn defaults_and_refusals() {
        let settings = read(&[("IMAGE_FORMAT", "png")]).unwrap();
        assert_eq!(settings.image_format.extension(), "png");
        assert_eq!(settings.default_ages.to_string(), "20,40,60,80");
        assert_eq!(settings.deadlines().processing_seconds, 4560);
        for (name, value) in [
            ("INPUT_BUCKET", ""),
            ("DEFAULT_AGES", "old"),
            ("IMAGE_FORMAT", "bmp"),
            ("REQUEST_TTL_SECONDS", "0"),
            ("INVOCATION_TIMEOUT_SECONDS", "3601"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
    }
}
