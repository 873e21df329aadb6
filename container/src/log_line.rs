//! The line that the log has for each invocation.

use std::time::Duration;

/// What the log says of an invocation, whatever the model is.
#[derive(Clone, Debug, Default)]
pub struct LogLine {
    /// `InferenceId` of `InvokeEndpoint`.
    pub inference_id: Option<String>,
    /// The W3C trace context.
    pub traceparent: Option<String>,
    /// `X-Amzn-Trace-Id`.
    pub trace_id: Option<String>,
    /// Bytes of the request's body.
    pub bytes_in: usize,
    /// Bytes of the answer's body; 0 for a refusal.
    pub bytes_out: usize,
    /// The status of the answer. `None`: the client closed the connection first.
    pub status: Option<u16>,
    /// `CODE: message` of a refusal.
    pub error: Option<String>,
    /// How long the invocation waited for a thread and for the worker.
    pub waited: Duration,
    /// How long the invocation took.
    pub elapsed: Duration,
}

/// Writes a [`LogLine`], with the fields that a handler adds to it.
macro_rules! log_invocation {
    ($line:expr $(, $field:ident = $value:expr)* $(,)?) => {
        tracing::info!(
            // One name in the log and for filters, whichever handler writes the line.
            target: "container::invocation",
            inference_id = $line.inference_id.as_deref(),
            traceparent = $line.traceparent.as_deref(),
            trace_id = $line.trace_id.as_deref(),
            $($field = $value,)*
            bytes_in = $line.bytes_in,
            bytes_out = $line.bytes_out,
            status = $line.status,
            error = $line.error.as_deref(),
            waited_ms = $crate::log_line::milliseconds($line.waited),
            ms = $crate::log_line::milliseconds($line.elapsed),
            "{}",
            $line.message()
        )
    };
}
pub(crate) use log_invocation;

impl LogLine {
    /// Writes the line as it is.
    pub fn write(&self) {
        log_invocation!(self);
    }

    pub(crate) fn message(&self) -> &'static str {
        if self.status.is_some() { "invocation" } else { "invocation: the client left" }
    }
}

/// To the microsecond.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}
