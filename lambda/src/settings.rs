use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use pipeline::{Ages, Deadlines, PortraitKey};

use crate::PanelFormat;

/// The settings of the functions, from their environment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `INPUT_BUCKET`
    pub input_bucket: String,
    /// `OUTPUT_BUCKET`
    pub output_bucket: String,
    /// `JOBS_TABLE`
    pub jobs_table: String,
    /// `JOBS_INDEX`: the index that the list and the sweep read; `newest-first`
    pub jobs_index: String,
    /// `ENDPOINT_NAME`: the SageMaker endpoint
    pub endpoint_name: String,
    /// `DEFAULT_AGES`: the ages of an upload that names none; `20,40,60,80`
    pub default_ages: Ages,
    /// `IMAGE_FORMAT`: `jpeg` (default) or `png`
    pub image_format: PanelFormat,
    /// `REQUEST_TTL_SECONDS`: how many seconds an invocation may wait in SageMaker's queue; 3600
    pub request_ttl_seconds: i32,
    /// `INVOCATION_TIMEOUT_SECONDS`: how many seconds it may take in the container; 900
    pub invocation_timeout_seconds: i32,
    /// `NOTICE_SECONDS`: how many seconds SageMaker's notice of an answer may take in addition; 60
    pub notice_seconds: i32,
    /// `FIRST_LOOK_SECONDS`: how many seconds after an invocation the sweep first looks for an answer whose notice was lost; 60
    pub first_look_seconds: i32,
    /// `DELETION_SECONDS`: after how many seconds a deletion of a portrait's objects is over, complete or not. It has to exceed the
    /// functions' timeouts; 75
    pub deletion_seconds: i32,
    /// `RETENTION_DAYS`: after how many days the table drops a job, 1 to 3650; 30
    pub retention_days: i64,
    /// `UPLOAD_LENGTH`: whether a presigned upload is made only for a length that its sender names: `required`, or `optional` (default)
    pub upload_length: UploadLength,
    /// `TENANCY`: whose portraits are: `shared` (default) or `owner`
    pub tenancy: Tenancy,
    /// `ADMIN_GROUP`: the group, in the claim `cognito:groups` of a token, whose members may name another owner; `admins`
    pub admin_group: String,
    /// `DAILY_QUOTA`: how many portraits an owner may have made in a day, or all clients together without owners; 0: any number
    pub daily_quota: u16,
}

/// Whose portraits are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tenancy {
    /// Everybody's who may use the APIs.
    #[default]
    Shared,
    /// Each is its uploader's, who is known by the subject of a token.
    Owner,
}

impl Tenancy {
    /// What `FromStr` reads.
    pub const WORDS: [&'static str; 2] = ["shared", "owner"];

    /// Whether a portrait of such a key can exist.
    pub fn has(self, portrait: &PortraitKey) -> bool {
        portrait.owner().is_some() == (self == Self::Owner)
    }
}

/// A word is no tenancy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no tenancy: shared or owner would work")]
pub struct TenancyError;

impl FromStr for Tenancy {
    type Err = TenancyError;

    fn from_str(text: &str) -> Result<Self, TenancyError> {
        match text {
            "shared" => Ok(Self::Shared),
            "owner" => Ok(Self::Owner),
            _ => Err(TenancyError),
        }
    }
}

impl fmt::Display for Tenancy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Shared => "shared",
            Self::Owner => "owner",
        })
    }
}

/// Whether `POST /uploads/{id}` needs the length of the photograph. S3 takes up to 5 GB by a URL that names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UploadLength {
    /// A request without a length is refused.
    Required,
    /// A URL without a length is made. An upload that is too large is refused, and deleted, once it is there.
    #[default]
    Optional,
}

impl FromStr for UploadLength {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "required" => Ok(Self::Required),
            "optional" => Ok(Self::Optional),
            _ => Err(()),
        }
    }
}

/// A variable of the environment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It is not set, or is empty.
    #[error("{name} is not set: {needed} would work")]
    Missing {
        /// The variable's name.
        name: &'static str,
        /// What would work.
        needed: &'static str,
    },
    /// Its value is not allowed.
    #[error("{name}={value:?} cannot be used: {needed} would work")]
    Invalid {
        /// The variable's name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would work.
        needed: String,
    },
}

impl Settings {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// [`SettingsError`]: the first variable that is missing or cannot be used.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads an environment: `variable` returns the value of the variable with a name.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let required = |name, needed| required(&variable, name, needed);
        Ok(Self {
            input_bucket: required("INPUT_BUCKET", "the name of a bucket")?,
            output_bucket: required("OUTPUT_BUCKET", "the name of a bucket")?,
            jobs_table: required("JOBS_TABLE", "the name of a table")?,
            jobs_index: variable("JOBS_INDEX").unwrap_or_else(|| "newest-first".to_owned()),
            endpoint_name: required("ENDPOINT_NAME", "the name of an endpoint")?,
            default_ages: optional(&variable, "DEFAULT_AGES", Ages::default(), AGES, |_| true)?,
            image_format: optional(&variable, "IMAGE_FORMAT", PanelFormat::Jpeg, "jpeg or png", |_| true)?,
            // The limits of these two are SageMaker's.
            request_ttl_seconds: seconds(&variable, "REQUEST_TTL_SECONDS", 3600, 60..=21_600)?,
            invocation_timeout_seconds: seconds(&variable, "INVOCATION_TIMEOUT_SECONDS", 900, 1..=3600)?,
            notice_seconds: seconds(&variable, "NOTICE_SECONDS", 60, 1..=3600)?,
            first_look_seconds: seconds(&variable, "FIRST_LOOK_SECONDS", 60, 1..=3600)?,
            deletion_seconds: seconds(&variable, "DELETION_SECONDS", 75, 1..=3600)?,
            // The range of `up --retention`. With -1, an upload whose event is on its way would be an orphan.
            retention_days: optional(
                &variable,
                "RETENTION_DAYS",
                30,
                "a whole number of days from 1 to 3650",
                |days| (1..=3650).contains(days),
            )?,
            upload_length: optional(
                &variable,
                "UPLOAD_LENGTH",
                UploadLength::default(),
                "required or optional",
                |_| true,
            )?,
            tenancy: optional(&variable, "TENANCY", Tenancy::default(), "shared or owner", |_| true)?,
            admin_group: variable("ADMIN_GROUP").unwrap_or_else(|| "admins".to_owned()),
            // The count of a day is one item of the table, which has 400 KB at most.
            daily_quota: optional(&variable, "DAILY_QUOTA", 0, "a whole number from 0 to 1000", |quota| {
                *quota <= 1000
            })?,
        })
    }

    /// How long a job may stay in each state.
    pub fn deadlines(&self) -> Deadlines {
        Deadlines {
            claim_seconds: 10,
            pending_seconds: 3600,
            // In the queue, in the container, and until the notice arrives.
            processing_seconds: i64::from(self.request_ttl_seconds)
                + i64::from(self.invocation_timeout_seconds)
                + i64::from(self.notice_seconds),
            first_look_seconds: i64::from(self.first_look_seconds),
            deletion_seconds: i64::from(self.deletion_seconds),
        }
    }
}

/// What `DEFAULT_AGES` may be.
const AGES: &str = "1 to 16 whole numbers from 0 to 100, such as 20,40,60,80";

/// The value of a variable, which is not empty. `needed` says what would work.
pub(crate) fn required(
    variable: impl Fn(&str) -> Option<String>,
    name: &'static str,
    needed: &'static str,
) -> Result<String, SettingsError> {
    variable(name).filter(|value| !value.is_empty()).ok_or(SettingsError::Missing { name, needed })
}

/// The value of a variable; `default` where it is not set. `needed` says what would work.
fn optional<T: FromStr>(
    variable: impl Fn(&str) -> Option<String>,
    name: &'static str,
    default: T,
    needed: impl Into<String>,
    allowed: impl Fn(&T) -> bool,
) -> Result<T, SettingsError> {
    let Some(value) = variable(name) else { return Ok(default) };
    match value.parse() {
        Ok(parsed) if allowed(&parsed) => Ok(parsed),
        _ => Err(SettingsError::Invalid { name, value, needed: needed.into() }),
    }
}

fn seconds(
    variable: impl Fn(&str) -> Option<String>,
    name: &'static str,
    default: i32,
    allowed: RangeInclusive<i32>,
) -> Result<i32, SettingsError> {
    let needed = format!("a whole number of seconds from {} to {}", allowed.start(), allowed.end());
    optional(variable, name, default, needed, |seconds| allowed.contains(seconds))
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
    fn has_defaults_and_refuses_by_name_and_value() {
        let settings = read(&[("IMAGE_FORMAT", "png")]).unwrap();
        assert_eq!(settings.image_format.extension(), "png");
        assert_eq!(settings.default_ages.to_string(), "20,40,60,80");
        assert_eq!(settings.deadlines().processing_seconds, 4560);
        for (text, days) in [("1", 1), ("3650", 3650)] {
            assert_eq!(read(&[("RETENTION_DAYS", text)]).unwrap().retention_days, days);
        }
        for (name, value) in [
            ("DEFAULT_AGES", "old"),
            ("IMAGE_FORMAT", "bmp"),
            ("REQUEST_TTL_SECONDS", "59"),
            ("INVOCATION_TIMEOUT_SECONDS", "3601"),
            ("RETENTION_DAYS", "x"),
            ("RETENTION_DAYS", "-1"),
            ("RETENTION_DAYS", "0"),
            ("RETENTION_DAYS", "3651"),
            ("UPLOAD_LENGTH", "yes"),
            ("TENANCY", "mine"),
            ("DAILY_QUOTA", "1001"),
            ("DAILY_QUOTA", "-1"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}={value:?} cannot be used: ")), "{error}");
        }
        let error = read(&[("INPUT_BUCKET", "")]).unwrap_err().to_string();
        assert_eq!(error, "INPUT_BUCKET is not set: the name of a bucket would work");
    }
}
