//! Why an invocation gets no result.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::handler::Answer;
use crate::health::Unhealthy;

/// An answer without a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// 4xx: another request would work. 5xx: another time would work.
    pub status: StatusCode,
    /// The reason for programs, such as `NO_FACE`.
    pub code: Cow<'static, str>,
    /// The reason for people: what was wrong, and what would work.
    pub message: String,
    /// Further fields of the answer, for programs. None: an empty map.
    pub details: Map<String, Value>,
}

impl Refusal {
    /// A refusal with a message that says what was wrong, and what would work.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), details: Map::new() }
    }

    /// `{"code","message"}`, and the further fields.
    pub fn json(&self) -> Answer {
        let mut fields = self.details.clone();
        fields.insert("code".to_owned(), self.code.as_ref().into());
        fields.insert("message".to_owned(), self.message.as_str().into());
        let body = Value::Object(fields).to_string().into_bytes();
        Answer { media_type: "application/json".to_owned(), custom_attributes: None, body }
    }
}

/// Why the server refuses an invocation, whatever the model is.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The request has no body.
    #[error("the request has no body")]
    EmptyBody,
    /// The client stopped sending, or its connection broke.
    #[error("the request breaks off after {bytes} bytes")]
    IncompleteBody {
        /// The bytes that arrived.
        bytes: usize,
        /// The connection's error.
        source: axum::Error,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {} s: a faster client would work, or a longer BODY_TIMEOUT", limit.as_secs())]
    SlowBody {
        /// The time that a body may take.
        limit: Duration,
    },
    /// The body is too large.
    #[error("the body has more than {limit} bytes: at most {limit} work")]
    LargeBody {
        /// The most bytes that are read.
        limit: usize,
    },
    /// The answer is too large.
    #[error("the answer has {bytes} bytes: at most {limit} are sent")]
    LargeAnswer {
        /// The answer's bytes.
        bytes: usize,
        /// The most bytes that are sent.
        limit: usize,
    },
    /// The queue is full.
    #[error("{waiting} invocations wait already: try again in a second")]
    Overloaded {
        /// The length of the queue.
        waiting: usize,
    },
    /// The invocation took too long.
    #[error("the invocation was not done within {} s: another time would work", limit.as_secs())]
    Late {
        /// The time that an invocation may take.
        limit: Duration,
    },
    /// The server is not ready.
    #[error(transparent)]
    Unhealthy(#[from] Unhealthy),
    /// The model or a step of the handler panicked, or the device failed.
    #[error("the model failed on this request: the server's log says why; another request would work")]
    Failed,
}

impl Reason {
    /// The status of such an answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::EmptyBody | Self::IncompleteBody { .. } => StatusCode::BAD_REQUEST,
            Self::SlowBody { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::LargeBody { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::LargeAnswer { .. } => StatusCode::NOT_ACCEPTABLE,
            Self::Overloaded { .. } | Self::Unhealthy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Late { .. } | Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<&Reason> for Refusal {
    /// With a code of no particular model.
    fn from(reason: &Reason) -> Self {
        let code = match reason {
            Reason::EmptyBody => "EMPTY_BODY",
            Reason::IncompleteBody { .. } => "INCOMPLETE_BODY",
            Reason::SlowBody { .. } => "BODY_TIMEOUT",
            Reason::LargeBody { .. } => "BODY_TOO_LARGE",
            Reason::LargeAnswer { .. } => "ANSWER_TOO_LARGE",
            Reason::Overloaded { .. } | Reason::Late { .. } | Reason::Unhealthy(_) | Reason::Failed => "MODEL_ERROR",
        };
        Self::new(reason.status(), code, reason.to_string())
    }
}
