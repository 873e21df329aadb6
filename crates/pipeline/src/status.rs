use serde::{Deserialize, Serialize};

/// The state of a job: `PENDING` (recorded) → `PROCESSING` (invoked) → `SUCCESS`, `FAILED` or `CANCELLED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Recorded; the endpoint has not been invoked, as far as the record knows.
    Pending,
    /// The endpoint has accepted the invocation.
    Processing,
    /// The images are stored.
    Success,
    /// There will be no images; `error` says why.
    Failed,
    /// The client has cancelled the job.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Processing, Self::Success, Self::Failed, Self::Cancelled];

    /// Whether the job has ended: `SUCCESS`, `FAILED` or `CANCELLED`.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }

    /// The status as it is written in JSON: `PENDING`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Processing => "PROCESSING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }
}
