//! Why a record or an object has no answer.

use http::StatusCode;

use super::filters::FilterError;
use super::inputs::InputError;
use super::split::SplitError;
use crate::error::chain;
use crate::sagemaker::hosting::InvokeError;
use crate::sagemaker::records::ObjectStatus;

/// The most characters of a container's words in the status of a record.
const MOST_WORDS: usize = 256;

#[derive(Clone, Debug)]
pub(super) struct Bad {
    /// Whether it is the caller's fault; else it is the container's.
    client: bool,
    summary: String,
    /// The body of the container's answer.
    body: Option<String>,
}

impl Bad {
    fn client(summary: String) -> Self {
        Self { client: true, summary: format!("ClientError: {summary}"), body: None }
    }

    /// The object changed, or it cannot be read or written.
    pub(super) fn object(error: &dyn std::error::Error) -> Self {
        Self::client(chain(error))
    }

    /// The container refused a request.
    pub(super) fn answer(status: StatusCode, body: &[u8]) -> Self {
        let code = status.as_u16();
        let client = status.is_client_error();
        let summary = match client {
            true => format!("ClientError: {code}"),
            false => format!("Bad HTTP status received from algorithm: {code}"),
        };
        Self { client, summary, body: Some(String::from_utf8_lossy(body).into_owned()) }
    }

    pub(super) fn status(&self) -> ObjectStatus {
        if self.client { ObjectStatus::ClientError } else { ObjectStatus::AlgorithmError }
    }

    /// Its lines in the data log, in SageMaker's form.
    pub(super) fn lines(&self, object: &str) -> Vec<String> {
        let mut lines = vec![format!("{object}: {}", self.summary)];
        if let Some(body) = &self.body {
            lines.extend([format!("{object}: "), format!("{object}: Message:")]);
            lines.extend(body.lines().map(|line| format!("{object}: {line}")));
        }
        lines
    }

    /// It in one line.
    pub(super) fn text(&self) -> String {
        match &self.body {
            Some(body) => format!("{}: {}", self.summary, body.chars().take(MOST_WORDS).collect::<String>()),
            None => self.summary.clone(),
        }
    }
}

impl From<SplitError> for Bad {
    fn from(error: SplitError) -> Self {
        Self::client(chain(&error))
    }
}

impl From<FilterError> for Bad {
    /// A model that answers too few lines is the container's fault.
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::Count { .. } => Self { client: false, summary: error.to_string(), body: None },
            error => Self::client(chain(&error)),
        }
    }
}

impl From<InputError> for Bad {
    fn from(error: InputError) -> Self {
        Self::client(chain(&error))
    }
}

impl From<InvokeError> for Bad {
    fn from(error: InvokeError) -> Self {
        let summary = format!("Unable to get response from algorithm: {}", chain(&error));
        Self { client: false, summary, body: None }
    }
}
