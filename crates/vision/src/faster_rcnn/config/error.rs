use std::io;
use std::path::PathBuf;

use super::value::YamlError;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("the configuration {} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is too large.
    #[error("the configuration {} has more than {limit} bytes: Detectron2's have 6000", file.display())]
    Large {
        /// The file.
        file: PathBuf,
        /// The most bytes.
        limit: u64,
    },
    /// A file is no YAML that can be read.
    #[error("the configuration {} cannot be read", file.display())]
    Yaml {
        /// The file.
        file: PathBuf,
        /// Why.
        source: YamlError,
    },
    /// Files are based on each other without an end.
    #[error("the configuration {} has more than {limit} files below it by _BASE_: it may be based on itself", file.display())]
    Bases {
        /// The last file.
        file: PathBuf,
        /// The most files.
        limit: usize,
    },
    /// A key does not exist.
    #[error("{path} is no key of Detectron2's configuration")]
    Unknown {
        /// The key and its sections, with points between.
        path: String,
    },
    /// A value cannot be used.
    #[error("{path} is {found}: {needed} would work")]
    Value {
        /// The key and its sections, with points between.
        path: String,
        /// The value.
        found: String,
        /// What would work.
        needed: String,
    },
    /// Options are not pairs of a key and a value.
    #[error("the options end with the key {key} without a value: KEY VALUE KEY VALUE would work")]
    Pairs {
        /// The key.
        key: String,
    },
}
