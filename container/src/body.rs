//! Bodies of invocations, read under a size limit.

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;

use crate::refusal::Reason;

/// How many bytes of an oversized body are still read. A client that is cut off while it sends sees a broken connection instead
/// of the answer.
const MAX_DISCARDED: usize = 256 * 1024 * 1024;

/// Reads a body without keeping it, so that the client gets its refusal.
pub(crate) async fn discard(mut body: Body) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > MAX_DISCARDED {
            break;
        }
    }
}

/// Reads the body of an invocation.
///
/// # Errors
/// [`Reason`]: the body has more than `limit` bytes, is empty or breaks off.
pub(crate) async fn read(mut body: Body, limit: usize) -> Result<Vec<u8>, Reason> {
    let mut bytes = Vec::new();
    let mut discarded = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| Reason::IncompleteBody { bytes: bytes.len(), source })?;
        let Ok(data) = frame.into_data() else { continue };
        if discarded == 0 && bytes.len() + data.len() <= limit {
            bytes.extend_from_slice(&data);
            continue;
        }
        discarded += data.len();
        bytes = Vec::new();
        if discarded > MAX_DISCARDED {
            break;
        }
    }
    if discarded > 0 {
        return Err(Reason::LargeBody { limit });
    }
    if bytes.is_empty() { Err(Reason::EmptyBody) } else { Ok(bytes) }
}
