//! Why an operation on objects failed, and the S3 error that it becomes.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use http::StatusCode;
use s3s::{S3Error, S3ErrorCode};

use crate::error::chain;

/// Why an operation on objects failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("there is no bucket {0}")]
    NoSuchBucket(String),
    #[error("there is no object {0}")]
    NoSuchKey(String),
    #[error("there is no multipart upload {0}")]
    NoSuchUpload(String),
    #[error("{0}")]
    InvalidPart(String),
    #[error("the bucket {0} is not empty")]
    BucketNotEmpty(String),
    #[error("the object is not the expected one")]
    PreconditionFailed,
    #[error("the body breaks off or is malformed")]
    BadBody(#[source] Box<dyn Error + Send + Sync>),
    #[error("the disk of {} is full: delete something, or make room on it", .0.display())]
    DiskFull(PathBuf),
    #[error("the journal failed")]
    Journal(#[from] rusqlite::Error),
    #[error("the object store failed")]
    Io(#[from] io::Error),
}

impl StoreError {
    /// Whether more room on the disk would help.
    fn is_for_want_of_space(&self) -> bool {
        match self {
            Self::DiskFull(_) => true,
            Self::Journal(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::Io(error) => matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded),
            _ => false,
        }
    }
}

impl From<StoreError> for S3Error {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NoSuchBucket(_) => S3ErrorCode::NoSuchBucket,
            StoreError::NoSuchKey(_) => S3ErrorCode::NoSuchKey,
            StoreError::NoSuchUpload(_) => S3ErrorCode::NoSuchUpload,
            StoreError::InvalidPart(_) => S3ErrorCode::InvalidPart,
            StoreError::BucketNotEmpty(_) => S3ErrorCode::BucketNotEmpty,
            StoreError::PreconditionFailed => S3ErrorCode::PreconditionFailed,
            StoreError::BadBody(_) => S3ErrorCode::IncompleteBody,
            _ if error.is_for_want_of_space() => {
                let mut full = S3Error::with_message(
                    S3ErrorCode::Custom("InsufficientStorage".into()),
                    "the disk is full: delete something, or make room on it",
                );
                full.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
                return full;
            }
            StoreError::DiskFull(_) | StoreError::Journal(_) | StoreError::Io(_) => {
                tracing::error!(error = chain(&error), "the object store failed");
                S3ErrorCode::InternalError
            }
        };
        let message = match &error {
            // The cause is the machine's, and goes to the log only.
            StoreError::Journal(_) | StoreError::Io(_) => error.to_string(),
            other => chain(other),
        };
        S3Error::with_message(code, message)
    }
}
