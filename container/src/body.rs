//! Bodies of invocations, read within limits of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::refusal::Reason;

/// How many bytes of an oversized body are still read. A client that is cut off while it sends sees a broken connection instead
/// of the answer.
const MAX_DISCARDED: usize = 256 * 1024 * 1024;
/// The bytes that one permit of [`Bodies`] stands for.
const UNIT: usize = 4096;

/// The limits of bodies, and the memory that is left for them.
#[derive(Debug)]
pub(crate) struct Bodies {
    /// The largest body in bytes.
    limit: usize,
    /// How long a body may take to arrive.
    time: Duration,
    /// A permit for each [`UNIT`] of bodies in memory. Bodies take them as they arrive, since a client may announce a large body
    /// and send nothing.
    room: Semaphore,
}

/// A body in memory.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    pub(crate) bytes: Vec<u8>,
    /// Held until the bytes are released.
    pub(crate) room: Option<SemaphorePermit<'a>>,
}

impl Bodies {
    /// Room for `count` bodies of `limit` bytes, each of which may take `time` to arrive.
    pub(crate) fn new(count: usize, limit: usize, time: Duration) -> Self {
        let units = limit.div_ceil(UNIT).saturating_mul(count).min(Semaphore::MAX_PERMITS);
        Self { limit, time, room: Semaphore::new(units) }
    }

    /// Reads a body without keeping it, so that the client gets its refusal.
    pub(crate) async fn discard(&self, body: Body) {
        // A client that is still sending then sees the refusal, or a broken connection.
        drop(timeout(self.time, skip(body, 0)).await);
    }

    /// Reads the body of an invocation.
    ///
    /// # Errors
    /// [`Reason`]: the body is too large, is empty, breaks off or takes too long, or the bodies of others take all memory.
    pub(crate) async fn read(&self, body: Body, waiting: usize) -> Result<Received<'_>, Reason> {
        let late = |_| Err(Reason::SlowBody { limit: self.time });
        timeout(self.time, self.receive(body, waiting)).await.unwrap_or_else(late)
    }

    async fn receive(&self, mut body: Body, waiting: usize) -> Result<Received<'_>, Reason> {
        let mut bytes = Vec::new();
        let mut room: Option<SemaphorePermit<'_>> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|source| Reason::IncompleteBody { bytes: bytes.len(), source })?;
            let Ok(data) = frame.into_data() else { continue };
            let length = bytes.len() + data.len();
            if length > self.limit {
                drop((bytes, room));
                skip(body, data.len()).await;
                return Err(Reason::LargeBody { limit: self.limit });
            }
            let held = room.as_ref().map_or(0, SemaphorePermit::num_permits);
            let more = u32::try_from(length.div_ceil(UNIT) - held).unwrap_or(u32::MAX);
            match self.room.try_acquire_many(more) {
                Ok(permit) => match &mut room {
                    Some(room) => room.merge(permit),
                    None => room = Some(permit),
                },
                Err(_) => {
                    drop((bytes, room));
                    skip(body, data.len()).await;
                    return Err(Reason::Overloaded { waiting });
                }
            }
            bytes.extend_from_slice(&data);
        }
        if bytes.is_empty() { Err(Reason::EmptyBody) } else { Ok(Received { bytes, room }) }
    }
}

/// Reads the rest of a body, of which some bytes are discarded already.
async fn skip(mut body: Body, mut discarded: usize) {
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > MAX_DISCARDED {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{StreamExt, stream};

    use super::*;

    const TIME: Duration = Duration::from_millis(100);

    /// A body that has sent this much, and sends no more.
    fn stalled(bytes: usize) -> Body {
        let sent = stream::iter([Ok::<_, Infallible>(Bytes::from(vec![7; bytes]))]);
        Body::from_stream(sent.chain(stream::pending()))
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_in_time_is_given_up() {
        let bodies = Bodies::new(1, 10_000, TIME);
        assert!(matches!(bodies.read(stalled(1), 16).await, Err(Reason::SlowBody { limit: TIME })));
        // Ends too.
        bodies.discard(stalled(1)).await;
        // One that is too large is refused for that, unless its sender stalls.
        assert!(matches!(bodies.read(Body::from(vec![7; 10_001]), 16).await, Err(Reason::LargeBody { .. })));
        assert!(matches!(bodies.read(stalled(10_001), 16).await, Err(Reason::SlowBody { .. })));
    }

    #[tokio::test]
    async fn bodies_take_room_as_they_arrive() {
        let bodies = Bodies::new(2, 10 * UNIT, TIME);
        let whole = || Body::from(vec![7; 10 * UNIT]);
        let slow = futures::future::join_all((0..5).map(|_| bodies.read(stalled(1), 16)));
        tokio::pin!(slow);
        assert!(futures::poll!(slow.as_mut()).is_pending());
        let first = bodies.read(whole(), 16).await.unwrap();
        assert_eq!(first.bytes.len(), 10 * UNIT);
        assert!(matches!(bodies.read(whole(), 16).await, Err(Reason::Overloaded { waiting: 16 })));
        assert!(slow.await.iter().all(|read| matches!(read, Err(Reason::SlowBody { .. }))));
        let second = bodies.read(whole(), 16).await.unwrap();
        assert!(matches!(bodies.read(whole(), 16).await, Err(Reason::Overloaded { .. })));
        drop((first, second));
        assert!(bodies.read(whole(), 16).await.is_ok());
    }
}
