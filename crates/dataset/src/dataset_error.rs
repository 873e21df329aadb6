use std::io;
use std::path::PathBuf;

/// Why a data set cannot be read or written at all. Single records that cannot be read are [`Fault`](crate::Fault)s.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file cannot be opened, read or written.
    #[error("{} cannot be {action}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `opened`, `read`, `written`.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not what it should be, so that nothing of it can be used.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would work.
        reason: String,
    },
    /// A picture cannot be fetched.
    #[error("the picture {place} cannot be read: {reason}")]
    Picture {
        /// Its place.
        place: String,
        /// Why.
        reason: String,
    },
    /// An argument that makes no sense.
    #[error("{0}")]
    Usage(String),
}

impl DatasetError {
    /// For `map_err`: the error of an action on a file.
    pub(crate) fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, action, source }
    }

    pub(crate) fn refused(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Refused { path: path.into(), reason: reason.into() }
    }
}
