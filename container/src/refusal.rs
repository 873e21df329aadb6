use std::time::Duration;

use crate::aligner::face_error_code;
use crate::health::Unhealthy;
use aging::strip::StripError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use face::FaceError;
use picture::PictureError;
use pipeline::{AgesError, ErrorCode, JobError};

/// Why an invocation gets no strip: a status and `{"code","message"}`.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// 4xx where another request would work, 5xx where another time would.
    pub status: StatusCode,
    /// What the body says.
    pub error: JobError,
}

impl Refusal {
    /// One with a message that says what was wrong, and what would work.
    pub fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { status, error: JobError::new(code, message) }
    }

    /// Too many wait already.
    pub(crate) fn overloaded(queue_length: usize) -> Self {
        let message = format!("{queue_length} invocations wait already: try again in a second");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::ModelError, message)
    }

    /// Nobody would be served longer than that.
    pub(crate) fn late(limit: Duration) -> Self {
        let message =
            format!("the strip was not done within {} s: fewer ages, or another time, would work", limit.as_secs());
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::ModelError, message)
    }

    /// The answer is larger than the server may send.
    pub(crate) fn large_answer(bytes: usize, limit: usize) -> Self {
        let message = format!("the strip has {bytes} bytes, and at most {limit} are sent: fewer ages would work");
        Self::new(StatusCode::NOT_ACCEPTABLE, ErrorCode::InvalidAges, message)
    }

    /// The work itself broke.
    pub(crate) fn broken() -> Self {
        let message = "the model failed on this picture: the server's log says why; another picture would work";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::ModelError, message)
    }
}

impl From<PictureError> for Refusal {
    fn from(error: PictureError) -> Self {
        let (status, code) = match error {
            PictureError::Unsupported | PictureError::UnsupportedVariety { .. } => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::UnsupportedImage)
            }
            PictureError::Corrupt { .. } | PictureError::Truncated { .. } => {
                (StatusCode::BAD_REQUEST, ErrorCode::CorruptImage)
            }
            PictureError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::ImageTooLarge),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<FaceError> for Refusal {
    fn from(error: FaceError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, face_error_code(&error), error.to_string())
    }
}

impl From<Unhealthy> for Refusal {
    fn from(unhealthy: Unhealthy) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::ModelError, unhealthy.to_string())
    }
}

impl From<StripError> for Refusal {
    fn from(error: StripError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::ModelError, error.to_string())
    }
}

impl From<AgesError> for Refusal {
    fn from(error: AgesError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidAges, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.error)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
