//! The least pace of request bodies: one that stands still ends, and gives its place to another.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// How long a body may stand still while places are scarce.
const BRIEFLY: Duration = Duration::from_secs(5);
/// How long a body may stand still.
const STILL: Duration = Duration::from_secs(30);
/// The least pace of a body, in bytes a second, from then on.
const PACE: u64 = 1000;

/// A body that breaks off when it is too slow.
struct Paced<S> {
    body: Body,
    begun: Instant,
    received: u64,
    /// When it last moved.
    moved: Instant,
    look: Pin<Box<Sleep>>,
    scarce: S,
    arrived: Arc<AtomicBool>,
}

/// Holds a request's body to the least pace. `scarce`: whether others may soon find no place. The flag tells whether all of it has
/// arrived and was read.
pub(super) fn paced(body: Body, scarce: impl Fn() -> bool + Send + Unpin + 'static) -> (Body, Arc<AtomicBool>) {
    let arrived = Arc::new(AtomicBool::new(body.is_end_stream()));
    if body.is_end_stream() {
        return (body, arrived);
    }
    let (begun, look) = (Instant::now(), Box::pin(tokio::time::sleep(BRIEFLY)));
    let paced = Paced { body, begun, received: 0, moved: begun, look, scarce, arrived: Arc::clone(&arrived) };
    (Body::new(paced), arrived)
}

impl<S: Fn() -> bool + Unpin> HttpBody for Paced<S> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let paced = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut paced.body).poll_frame(context) else {
            loop {
                ready!(paced.look.as_mut().poll(context));
                let still = paced.moved.elapsed();
                if still >= STILL || still >= BRIEFLY && (paced.scarce)() {
                    let message = format!("the body stood still for {} seconds", still.as_secs());
                    return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, message).into())));
                }
                paced.look.as_mut().reset(Instant::now() + BRIEFLY);
            }
        };
        if frame.is_none() || paced.body.is_end_stream() {
            paced.arrived.store(true, Ordering::Release);
        }
        paced.moved = Instant::now();
        paced.look.as_mut().reset(paced.moved + BRIEFLY);
        if let Some(Ok(frame)) = &frame {
            paced.received += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        let taken = paced.begun.elapsed();
        if taken > STILL && paced.received < PACE * taken.as_secs() && frame.is_some() {
            let message = format!("the body has come at less than {PACE} bytes a second");
            return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, message).into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    /// How a body ends that sends `size` bytes every `pause`.
    async fn end(size: usize, pause: Duration, count: usize, scarce: bool) -> Result<usize, String> {
        let chunks = stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, io::Error>(Bytes::from(vec![0; size]))
        });
        let (body, arrived) = paced(Body::from_stream(chunks), move || scarce);
        let mut body = body.into_data_stream();
        let mut total = 0;
        while let Some(chunk) = body.next().await {
            total += chunk.map_err(|error| crate::error::chain(&error))?.len();
        }
        assert!(arrived.load(Ordering::Acquire));
        Ok(total)
    }

    #[tokio::test(start_paused = true)]
    async fn slow_bodies_arrive_and_bodies_that_stand_still_end() {
        assert_eq!(end(20_000, Duration::from_secs(10), 100, false).await, Ok(2_000_000));
        let still = end(1000, STILL + Duration::from_secs(1), 2, false).await.unwrap_err();
        assert!(still.contains("stood still for 30 seconds"), "{still}");
        let slow = end(100, Duration::from_secs(1), 100, false).await.unwrap_err();
        assert!(slow.contains("less than 1000 bytes a second"), "{slow}");
        // A small body may take its time.
        assert_eq!(end(100, Duration::from_secs(9), 3, false).await, Ok(300));
        let scarce = end(100, Duration::from_secs(9), 3, true).await.unwrap_err();
        assert!(scarce.contains("stood still for 5 seconds"), "{scarce}");
        assert_eq!(end(100, Duration::from_secs(4), 3, true).await, Ok(300));
    }
}
