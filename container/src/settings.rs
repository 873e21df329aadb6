//! The settings of the server, for any model. The settings of a handler stand beside the handler.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::environment::{Environment, SettingsError};

/// The settings of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `BIND_HOST`: the address to listen on; every address by default.
    pub host: IpAddr,
    /// `SAGEMAKER_BIND_TO_PORT`: 8080 by default; 0 is any free port.
    pub port: u16,
    /// `TS_MAX_REQUEST_SIZE`: the largest request body in bytes; `None`, the default, is the handler's limit.
    pub max_request_bytes: Option<usize>,
    /// `TS_MAX_RESPONSE_SIZE`: the largest answer in bytes; 100 MB by default.
    pub max_response_bytes: usize,
    /// `BODY_TIMEOUT`: how long a request's body may take to arrive, in seconds; 60 by default.
    pub body_timeout: Duration,
    /// `TS_DEFAULT_RESPONSE_TIMEOUT`: how long an invocation may take, waiting included, in seconds; 15 minutes by default.
    pub response_timeout: Duration,
    /// `MODEL_SERVER_TIMEOUT`: how long one step of the model may take before the server counts as wedged, in seconds; 15
    /// minutes by default.
    pub wedged_after: Duration,
    /// `QUEUE_LENGTH`: how many invocations wait while one is served, 1 to 1024; 16 by default.
    pub queue_length: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::UNSPECIFIED.into(),
            port: 8080,
            max_request_bytes: None,
            max_response_bytes: 100 << 20,
            body_timeout: Duration::from_secs(60),
            response_timeout: Duration::from_secs(900),
            wedged_after: Duration::from_secs(900),
            queue_length: 16,
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
        // One thread owns the device and uses all of it. More workers would not be honoured.
        environment.parsed("MODEL_SERVER_WORKERS", "1", |workers: &u16| *workers == 1)?;
        Ok(Self {
            host: environment.parsed("BIND_HOST", "an IP address such as 127.0.0.1", |_| true)?.unwrap_or(default.host),
            port: environment
                .parsed("SAGEMAKER_BIND_TO_PORT", "a whole number from 0 to 65535", |_| true)?
                .unwrap_or(default.port),
            max_request_bytes: environment.bytes("TS_MAX_REQUEST_SIZE")?,
            max_response_bytes: environment.bytes("TS_MAX_RESPONSE_SIZE")?.unwrap_or(default.max_response_bytes),
            body_timeout: environment.seconds("BODY_TIMEOUT")?.unwrap_or(default.body_timeout),
            response_timeout: environment.seconds("TS_DEFAULT_RESPONSE_TIMEOUT")?.unwrap_or(default.response_timeout),
            wedged_after: environment.seconds("MODEL_SERVER_TIMEOUT")?.unwrap_or(default.wedged_after),
            queue_length: environment
                .parsed("QUEUE_LENGTH", "a whole number from 1 to 1024", |length| (1..=1024).contains(length))?
                .unwrap_or(default.queue_length),
        })
    }

    /// How many invocations are admitted at the same time: those that wait, and one.
    pub(crate) fn capacity(&self) -> usize {
        self.queue_length + 1
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
        assert_eq!(read("BIND_HOST", "127.0.0.1").unwrap().host, Ipv4Addr::LOCALHOST);
        assert_eq!(read("SAGEMAKER_BIND_TO_PORT", "9000").unwrap().port, 9000);
        assert_eq!(read("TS_MAX_REQUEST_SIZE", "1000").unwrap().max_request_bytes, Some(1000));
        assert_eq!(read("TS_MAX_RESPONSE_SIZE", "2000").unwrap().max_response_bytes, 2000);
        assert_eq!(read("BODY_TIMEOUT", "5").unwrap().body_timeout, Duration::from_secs(5));
        assert_eq!(read("TS_DEFAULT_RESPONSE_TIMEOUT", "60").unwrap().response_timeout, Duration::from_secs(60));
        assert_eq!(read("MODEL_SERVER_TIMEOUT", "90").unwrap().wedged_after, Duration::from_secs(90));
        assert_eq!(read("MODEL_SERVER_WORKERS", "1"), Ok(Settings::default()));
        assert_eq!(read("QUEUE_LENGTH", "2").unwrap().queue_length, 2);
    }

    #[test]
    fn refuses_by_name_and_value() {
        for (name, value) in [
            ("BIND_HOST", "localhost"),
            ("SAGEMAKER_BIND_TO_PORT", "80800"),
            ("TS_MAX_REQUEST_SIZE", "0"),
            ("TS_MAX_RESPONSE_SIZE", "50MB"),
            ("BODY_TIMEOUT", "0"),
            ("TS_DEFAULT_RESPONSE_TIMEOUT", "0"),
            ("MODEL_SERVER_TIMEOUT", "1m"),
            ("MODEL_SERVER_WORKERS", "4"),
            ("QUEUE_LENGTH", "0"),
            ("QUEUE_LENGTH", ""),
        ] {
            let error = read(name, value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}={value:?} cannot be used: ")), "{error}");
        }
    }
}
