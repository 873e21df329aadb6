//! Why a request to CloudWatch Logs is refused.

use axum::response::Response;
use http::StatusCode;

use crate::aws_error::json_error;
use crate::body::BodyError;
use crate::error::chain;

#[derive(Debug, thiserror::Error)]
pub(super) enum LogsError {
    #[error("{0}")]
    InvalidParameter(String),
    #[error("{0}")]
    NotFound(&'static str),
    #[error("the request cannot be read")]
    Input(#[source] serde_json::Error),
    #[error("the request cannot be received")]
    Body(#[source] BodyError),
    #[error("the journal failed")]
    Journal(#[from] rusqlite::Error),
}

impl LogsError {
    pub(super) fn response(&self) -> Response {
        let (status, code) = match self {
            Self::InvalidParameter(_) | Self::Input(_) | Self::Body(_) => {
                (StatusCode::BAD_REQUEST, "InvalidParameterException")
            }
            Self::NotFound(_) => (StatusCode::BAD_REQUEST, "ResourceNotFoundException"),
            Self::Journal(_) => {
                tracing::error!(error = chain(self), "CloudWatch Logs cannot answer");
                (StatusCode::INTERNAL_SERVER_ERROR, "ServiceUnavailableException")
            }
        };
        json_error(status, code, &chain(self))
    }
}
