//! Request bodies, collected up to a limit.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

/// Why a body cannot be collected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body breaks off")]
    Broken(#[from] axum::Error),
}

/// The whole body, of `limit` bytes at most.
pub(crate) async fn collect(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut stream = body.into_data_stream();
    let mut collected = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        if collected.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        collected.extend_from_slice(&chunk);
    }
    Ok(collected.freeze())
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
