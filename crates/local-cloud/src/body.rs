//! Request bodies, collected up to a limit.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

/// How many bytes of a refused body are still read. A client that is still sending would see a broken connection instead of the
/// answer.
const DRAIN: usize = 128 << 20;

/// Why a body cannot be collected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body breaks off")]
    Broken(#[from] axum::Error),
}

/// The whole body, of `limit` bytes at most. A longer one is read to its end, up to [`DRAIN`], and refused.
pub(crate) async fn collect(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut stream = body.into_data_stream();
    let mut collected = BytesMut::new();
    let mut size = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        size += chunk.len();
        if size <= limit {
            collected.extend_from_slice(&chunk);
        } else if size > limit.saturating_add(DRAIN) {
            break;
        } else {
            collected.clear();
        }
    }
    if size <= limit { Ok(collected.freeze()) } else { Err(BodyError::TooLarge(limit)) }
}

/// Reads a refused body to its end.
pub(crate) async fn drain(body: Body) {
    // Both errors mean that the body has ended.
    let _ = collect(body, 0).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn up_to_the_limit() {
        assert_eq!(collect(Body::from("hello"), 5).await.unwrap(), "hello");
        assert!(matches!(collect(Body::from("hello!"), 5).await, Err(BodyError::TooLarge(5))));
        let broken = futures::stream::iter([Ok("he"), Err(std::io::Error::other("gone"))]);
        assert!(matches!(collect(Body::from_stream(broken), 5).await, Err(BodyError::Broken(_))));
    }
}
