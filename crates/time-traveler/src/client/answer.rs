//! Answers of others: how long they may be, and what failed ones say.

use anyhow::{Context, bail, ensure};
use pipeline::JobError;
use reqwest::Response;

use crate::escape;

/// Bytes that are read of the answer that reports a failure.
const FAILURE: usize = 64 << 10;
/// Characters of a failure's message that are shown.
const SHOWN: usize = 2000;

/// The body of an answer.
///
/// # Errors
/// Where it has more than `limit` bytes, or breaks off.
pub(super) async fn limited(mut answer: Response, limit: usize, what: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.with_context(|| format!("{what} breaks off"))? {
        ensure!(bytes.len() + chunk.len() <= limit, "{what} has more than {limit} bytes, the most it can have");
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The answer if it is a success, else its message as an error.
pub(super) async fn good(mut answer: Response) -> anyhow::Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let url = answer.url().path().to_owned();
    ensure!(!status.is_redirection(), "{url} answered {status}, and redirects are not followed: name the new address");
    let mut bytes = Vec::new();
    // What arrived may do as a message.
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes.extend_from_slice(&chunk[..chunk.len().min(FAILURE - bytes.len())]);
        if bytes.len() == FAILURE {
            break;
        }
    }
    if let Ok(JobError { code, message, .. }) = serde_json::from_slice(&bytes) {
        bail!("{code}: {}", shown(&message));
    }
    let message = serde_json::from_slice::<serde_json::Value>(&bytes)
        .ok()
        .and_then(|body| body["message"].as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned());
    bail!("{url} answered {status}: {}", shown(&message))
}

/// The beginning of a message, on one line.
pub(super) fn shown(message: &str) -> String {
    let beginning: String = message.chars().take(SHOWN).collect();
    let more = if beginning.len() < message.len() { "..." } else { "" };
    format!("{}{more}", escape::line(&beginning))
}
