use std::io;
use std::path::PathBuf;

/// Why a `pipeline.config` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{} cannot be read", file.display())]
    Unreadable {
        /// Its path.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is too large.
    #[error("{} has more than {limit} bytes: a pipeline.config has less", file.display())]
    Large {
        /// Its path.
        file: PathBuf,
        /// The most bytes.
        limit: u64,
    },
    /// It is not protocol buffers' text format.
    #[error("line {line}: {reason}")]
    Syntax {
        /// The line, from 1.
        line: u32,
        /// What is wrong.
        reason: String,
    },
    /// A field is missing.
    #[error("{path} is missing: {needed} would work")]
    Missing {
        /// The field, with the messages that it is in.
        path: String,
        /// What would work.
        needed: &'static str,
    },
    /// A field has a value that cannot be used.
    #[error("line {line}: {path} is {found}, and {needed} would work")]
    Value {
        /// The line, from 1.
        line: u32,
        /// The field, with the messages that it is in.
        path: String,
        /// The value, shortened.
        found: String,
        /// What would work.
        needed: String,
    },
    /// A field that nothing here reads.
    #[error("line {line}: {path} is not supported: the file without it would work")]
    Unsupported {
        /// The line, from 1.
        line: u32,
        /// The field, with the messages that it is in.
        path: String,
    },
}
