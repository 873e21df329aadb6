use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use http_body_util::BodyExt;
use pipeline::ErrorCode;

use crate::refusal::Refusal;

/// How much of a body that is too large is still read, in bytes: who is cut off while sending sees a broken
/// connection in place of the answer.
const MAX_DISCARDED: usize = 256 * 1024 * 1024;

/// Reads a body that nobody wants, for the same reason.
pub(crate) async fn discard(mut body: Body) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > MAX_DISCARDED {
            break;
        }
    }
}

/// Reads a request's body.
///
/// # Errors
/// 413 beyond `limit` bytes; 400 where it is empty or breaks off.
pub(crate) async fn read(mut body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut discarded = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let message = format!("the request breaks off after {} bytes: {error}", bytes.len());
            Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::CorruptImage, message)
        })?;
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
        let message = format!("the picture has more than {limit} bytes: at most {limit} work");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::ImageTooLarge, message));
    }
    if bytes.is_empty() {
        let message = "the request has no body: a JPEG, PNG or WebP picture would work";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::CorruptImage, message));
    }
    Ok(bytes)
}
