use std::env::VarError;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use nn::Compute;
use pipeline::{Ages, MAX_UPLOAD_BYTES};

/// Where SageMaker unpacks a model.
const MODEL_DIR: &str = "/opt/ml/model";
/// Where an image has face models of its own.
const FACE_MODEL_DIR: &str = "/opt/face-models";

/// What the environment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `BIND_HOST`: the address to listen on; every one by default.
    pub host: IpAddr,
    /// `SAGEMAKER_BIND_TO_PORT`: 8080 by default; 0 is any free one.
    pub port: u16,
    /// `SM_MODEL_DIR`: the folder of the model's files; `/opt/ml/model` by default, if there is one.
    pub model_dir: Option<PathBuf>,
    /// `FACE_MODEL_DIR`: the folder of face models that count where the model folder has none; `/opt/face-models` by default, if
    /// there is one.
    pub face_model_dir: Option<PathBuf>,
    /// `DEFAULT_AGES`: those of an invocation that names none.
    pub ages: Ages,
    /// `TS_MAX_REQUEST_SIZE`: the largest picture taken, in bytes; 50 MB by default.
    pub max_request_bytes: usize,
    /// `TS_MAX_RESPONSE_SIZE`: the largest strip sent, in bytes; 100 MB by default.
    pub max_response_bytes: usize,
    /// `TS_DEFAULT_RESPONSE_TIMEOUT`: how long an invocation may take, waiting included, in seconds; 15 minutes by default.
    pub response_timeout: Duration,
    /// `MODEL_SERVER_TIMEOUT`: how long one pass of the model may take before the server counts as wedged, in seconds; 15 minutes
    /// by default.
    pub wedged_after: Duration,
    /// `DEVICE`: `auto`, `cpu` or `cuda`; and `PRECISION`: `float32` or `bfloat16`. `auto` and `float32` by default.
    pub compute: Compute,
    /// `BATCH_SIZE`: how many ages may share a pass, 1 to 64, whichever invocations they are of; 4 by default. More take more
    /// memory.
    pub batch_size: usize,
    /// `QUEUE_LENGTH`: how many invocations wait while one is served, 1 to 1024; 16 by default.
    pub queue_length: usize,
}

/// A variable of the environment that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value:?} cannot be used: {needed} would work")]
pub struct SettingsError {
    name: &'static str,
    value: String,
    needed: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::UNSPECIFIED.into(),
            port: 8080,
            model_dir: Some(PathBuf::from(MODEL_DIR)).filter(|folder| folder.is_dir()),
            face_model_dir: Some(PathBuf::from(FACE_MODEL_DIR)).filter(|folder| folder.is_dir()),
            ages: Ages::default(),
            max_request_bytes: usize::try_from(MAX_UPLOAD_BYTES).unwrap_or(usize::MAX),
            max_response_bytes: 100 << 20,
            response_timeout: Duration::from_secs(900),
            wedged_after: Duration::from_secs(900),
            compute: Compute::default(),
            batch_size: aging::strip::AT_ONCE,
            queue_length: 16,
        }
    }
}

impl Settings {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// [`SettingsError`]: the first variable that cannot be used, with its value.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::read(|name| match std::env::var(name) {
            Ok(value) => Some(value),
            Err(VarError::NotPresent) => None,
            // No variable but a path may be other than UTF-8, and the readable part of it tells what is wrong.
            Err(VarError::NotUnicode(value)) => Some(value.to_string_lossy().into_owned()),
        })
    }

    fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, SettingsError> {
        let environment = Environment { variable };
        let default = Self::default();
        // One thread owns the device, and uses all of it; whoever asks for more workers would get no more.
        environment.parsed("MODEL_SERVER_WORKERS", "1", |workers: &u16| *workers == 1)?;
        Ok(Self {
            host: environment.parsed("BIND_HOST", "an IP address such as 127.0.0.1", |_| true)?.unwrap_or(default.host),
            port: environment
                .parsed("SAGEMAKER_BIND_TO_PORT", "a whole number from 0 to 65535", |_| true)?
                .unwrap_or(default.port),
            model_dir: environment.folder("SM_MODEL_DIR")?.or(default.model_dir),
            face_model_dir: environment.folder("FACE_MODEL_DIR")?.or(default.face_model_dir),
            ages: environment
                .parsed("DEFAULT_AGES", "1 to 16 whole numbers from 0 to 100, such as 20,40,60,80", |_| true)?
                .unwrap_or(default.ages),
            max_request_bytes: environment
                .parsed("TS_MAX_REQUEST_SIZE", BYTES, |bytes| *bytes > 0)?
                .unwrap_or(default.max_request_bytes),
            max_response_bytes: environment
                .parsed("TS_MAX_RESPONSE_SIZE", BYTES, |bytes| *bytes > 0)?
                .unwrap_or(default.max_response_bytes),
            response_timeout: environment.seconds("TS_DEFAULT_RESPONSE_TIMEOUT")?.unwrap_or(default.response_timeout),
            wedged_after: environment.seconds("MODEL_SERVER_TIMEOUT")?.unwrap_or(default.wedged_after),
            compute: Compute {
                device: environment.parsed("DEVICE", "auto, cpu or cuda", |_| true)?.unwrap_or(default.compute.device),
                precision: environment
                    .parsed("PRECISION", "float32 or bfloat16", |_| true)?
                    .unwrap_or(default.compute.precision),
            },
            batch_size: environment
                .parsed("BATCH_SIZE", "a whole number from 1 to 64", |ages| (1..=64).contains(ages))?
                .unwrap_or(default.batch_size),
            queue_length: environment
                .parsed("QUEUE_LENGTH", "a whole number from 1 to 1024", |length| (1..=1024).contains(length))?
                .unwrap_or(default.queue_length),
        })
    }
}

/// What a size may be.
const BYTES: &str = "a whole number of bytes above 0";

struct Environment<F> {
    variable: F,
}

impl<F: Fn(&'static str) -> Option<String>> Environment<F> {
    fn folder(&self, name: &'static str) -> Result<Option<PathBuf>, SettingsError> {
        self.parsed(name, "a folder that exists", |folder: &PathBuf| folder.is_dir())
    }

    fn seconds(&self, name: &'static str) -> Result<Option<Duration>, SettingsError> {
        let seconds =
            self.parsed(name, "a whole number of seconds from 1 to 86400", |s: &u64| (1..=86_400).contains(s))?;
        Ok(seconds.map(Duration::from_secs))
    }

    fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        needed: &'static str,
        allowed: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, SettingsError> {
        let Some(value) = (self.variable)(name) else { return Ok(None) };
        match value.trim().parse() {
            Ok(parsed) if allowed(&parsed) => Ok(Some(parsed)),
            _ => Err(SettingsError { name, value, needed }),
        }
    }
}

#[cfg(test)]
mod tests {
    use nn::DeviceChoice;
    use nn::Precision;

    use super::*;

    fn read(name: &'static str, value: &str) -> Result<Settings, SettingsError> {
        Settings::read(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn reads_what_is_set() {
        assert_eq!(Settings::read(|_| None), Ok(Settings::default()));
        assert_eq!(read("BIND_HOST", "127.0.0.1").unwrap().host, Ipv4Addr::LOCALHOST);
        assert_eq!(read("SAGEMAKER_BIND_TO_PORT", "9000").unwrap().port, 9000);
        assert_eq!(read("DEFAULT_AGES", "5, 70").unwrap().ages.as_slice(), [5, 70]);
        assert_eq!(read("TS_MAX_REQUEST_SIZE", "1000").unwrap().max_request_bytes, 1000);
        assert_eq!(read("TS_MAX_RESPONSE_SIZE", "2000").unwrap().max_response_bytes, 2000);
        assert_eq!(read("TS_DEFAULT_RESPONSE_TIMEOUT", "60").unwrap().response_timeout, Duration::from_secs(60));
        assert_eq!(read("MODEL_SERVER_TIMEOUT", "90").unwrap().wedged_after, Duration::from_secs(90));
        assert_eq!(read("MODEL_SERVER_WORKERS", "1"), Ok(Settings::default()));
        assert_eq!(read("DEVICE", "cpu").unwrap().compute.device, DeviceChoice::Cpu);
        assert_eq!(read("PRECISION", "bfloat16").unwrap().compute.precision, Precision::BFloat16);
        assert_eq!(read("QUEUE_LENGTH", "2").unwrap().queue_length, 2);
        assert_eq!(read("BATCH_SIZE", "8").unwrap().batch_size, 8);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert_eq!(read("SM_MODEL_DIR", path).unwrap().model_dir.as_deref(), Some(folder.path()));
        assert_eq!(read("FACE_MODEL_DIR", path).unwrap().face_model_dir.as_deref(), Some(folder.path()));
    }

    #[test]
    fn refuses_by_name_and_value() {
        for (name, value) in [
            ("BIND_HOST", "localhost"),
            ("SAGEMAKER_BIND_TO_PORT", "80800"),
            ("SM_MODEL_DIR", "/absent/model"),
            ("DEFAULT_AGES", "20,old"),
            ("TS_MAX_REQUEST_SIZE", "0"),
            ("TS_MAX_RESPONSE_SIZE", "50MB"),
            ("TS_DEFAULT_RESPONSE_TIMEOUT", "0"),
            ("MODEL_SERVER_TIMEOUT", "1m"),
            ("MODEL_SERVER_WORKERS", "4"),
            ("DEVICE", "gpu"),
            ("PRECISION", "16"),
            ("FACE_MODEL_DIR", "/absent/model"),
            ("BATCH_SIZE", "65"),
            ("QUEUE_LENGTH", "0"),
            ("QUEUE_LENGTH", ""),
        ] {
            let error = read(name, value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}={value:?} cannot be used: ")), "{error}");
        }
    }
}
