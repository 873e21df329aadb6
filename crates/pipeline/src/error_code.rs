use serde::{Deserialize, Serialize};

use crate::Search;

/// Why a job failed, as a machine-readable code. The container answers with the same codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// No face was found in the picture.
    NoFace,
    /// The picture, or its face, has too few pixels.
    FaceTooSmall,
    /// The upload is not a JPEG, PNG or WebP picture.
    UnsupportedImage,
    /// The picture is truncated, or cannot be decoded.
    CorruptImage,
    /// The picture has more bytes or more pixels than the pipeline accepts.
    ImageTooLarge,
    /// The ages are not 1 to 16 whole numbers from 0 to 100.
    InvalidAges,
    /// The model or its server failed.
    ModelError,
    /// The job did not end before its deadline.
    Timeout,
    /// The owner has had as many portraits made today as one may.
    QuotaExceeded,
}

impl ErrorCode {
    /// The code as it is written in JSON: `NO_FACE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoFace => "NO_FACE",
            Self::FaceTooSmall => "FACE_TOO_SMALL",
            Self::UnsupportedImage => "UNSUPPORTED_IMAGE",
            Self::CorruptImage => "CORRUPT_IMAGE",
            Self::ImageTooLarge => "IMAGE_TOO_LARGE",
            Self::InvalidAges => "INVALID_AGES",
            Self::ModelError => "MODEL_ERROR",
            Self::Timeout => "TIMEOUT",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// `{"code","message"}`, and `search` where a face was looked for: in a job's `error` and in the body of a refused invocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct JobError {
    /// The machine-readable code.
    pub code: ErrorCode,
    /// What was wrong, and what would work, in English.
    pub message: String,
    /// Where a face was looked for, if that is why. Servers of earlier versions send none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
}

impl JobError {
    /// An error with this code and this message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), search: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_display_agree() {
        for code in [
            ErrorCode::NoFace,
            ErrorCode::FaceTooSmall,
            ErrorCode::UnsupportedImage,
            ErrorCode::CorruptImage,
            ErrorCode::ImageTooLarge,
            ErrorCode::InvalidAges,
            ErrorCode::ModelError,
            ErrorCode::Timeout,
            ErrorCode::QuotaExceeded,
        ] {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("{:?}", code.to_string()));
        }
    }
}
