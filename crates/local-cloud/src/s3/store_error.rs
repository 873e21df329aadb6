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
    #[error("the bucket {0} is not empty")]
    BucketNotEmpty(String),
    #[error("At least one of the pre-conditions you specified did not hold")]
    PreconditionFailed,
    /// An error that has its code already.
    #[error("{}", .0.message().unwrap_or("the request is refused"))]
    Refused(Box<S3Error>),
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
    /// Why a body cannot be read: what its own stream says, or else that it breaks off.
    pub(super) fn of_body(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        error.into().downcast::<Self>().map_or_else(Self::BadBody, |own| *own)
    }

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

impl From<S3Error> for StoreError {
    fn from(error: S3Error) -> Self {
        Self::Refused(Box::new(error))
    }
}

impl From<StoreError> for S3Error {
    fn from(error: StoreError) -> Self {
        let error = match error {
            StoreError::Refused(refused) => return *refused,
            other => other,
        };
        let code = match &error {
            StoreError::NoSuchBucket(_) => S3ErrorCode::NoSuchBucket,
            StoreError::NoSuchKey(_) => S3ErrorCode::NoSuchKey,
            StoreError::NoSuchUpload(_) => S3ErrorCode::NoSuchUpload,
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
            StoreError::DiskFull(_) | StoreError::Journal(_) | StoreError::Io(_) | StoreError::Refused(_) => {
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
