//! The least pace of request bodies: one that stands still ends, and gives its place to another. What no handler reads of a body, the
//! server reads: a client that is still sending would see a broken connection instead of the answer.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use futures::StreamExt;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// How long a body may stand still while places are scarce.
const BRIEFLY: Duration = Duration::from_secs(5);
/// How long a body may stand still.
const STILL: Duration = Duration::from_secs(30);
/// The least pace of a body, in bytes a second, from then on.
const PACE: u64 = 1000;
/// The most bytes that are read of what no handler reads of a body.
const MOST_UNREAD: usize = 128 << 20;
/// The longest time that this takes.
const UNREAD: Duration = Duration::from_secs(10);

/// What is left of a request's body.
enum Rest {
    /// The body is still being read, has broken off, or was dropped while the client waited for `100 Continue`.
    Unknown,
    Arrived,
    /// The part that the handler did not read.
    Dropped(Body),
}

/// How far a body has come.
#[derive(Clone, Copy)]
enum Progress {
    /// The client sends nothing before `100 Continue`, which the first read causes.
    Unasked,
    Sending,
    Ended,
    Broken,
}

/// The end of a request's body, as the server sees it.
pub(super) struct End(Arc<Mutex<Rest>>);

impl End {
    /// Reads what a handler left of the body, up to [`MOST_UNREAD`] and [`UNREAD`]. Returns whether the whole body has arrived: then the
    /// connection can be used again.
    pub(super) async fn reached(self) -> bool {
        let rest = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), Rest::Unknown);
        match rest {
            Rest::Arrived => true,
            Rest::Unknown => false,
            Rest::Dropped(body) => tokio::time::timeout(UNREAD, read_to_end(body)).await.unwrap_or(false),
        }
    }
}

async fn read_to_end(body: Body) -> bool {
    let mut stream = body.into_data_stream();
    let mut size = 0;
    while let Some(chunk) = stream.next().await {
        let Ok(chunk) = chunk else { return false };
        size += chunk.len();
        if size > MOST_UNREAD {
            return false;
        }
    }
    true
}

/// A body that breaks off when it is too slow.
struct Paced<S> {
    body: Body,
    begun: Instant,
    received: u64,
    /// When it last moved.
    moved: Instant,
    look: Pin<Box<Sleep>>,
    scarce: S,
    progress: Progress,
    rest: Arc<Mutex<Rest>>,
}

/// Holds a request's body to the least pace. `waits`: whether the client waits for `100 Continue` before it sends. `scarce`: whether other
/// requests may soon find no place.
pub(super) fn paced(body: Body, waits: bool, scarce: impl Fn() -> bool + Send + Unpin + 'static) -> (Body, End) {
    if body.is_end_stream() {
        return (body, End(Arc::new(Mutex::new(Rest::Arrived))));
    }
    let rest = Arc::new(Mutex::new(Rest::Unknown));
    let (begun, look) = (Instant::now(), Box::pin(tokio::time::sleep(BRIEFLY)));
    let progress = if waits { Progress::Unasked } else { Progress::Sending };
    let paced = Paced { body, begun, received: 0, moved: begun, look, scarce, progress, rest: Arc::clone(&rest) };
    (Body::new(paced), End(rest))
}

impl<S> Paced<S> {
    fn too_slow(&mut self, message: &str) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.progress = Progress::Broken;
        Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, message).into())))
    }
}

impl<S> Drop for Paced<S> {
    fn drop(&mut self) {
        let rest = match self.progress {
            Progress::Unasked | Progress::Broken => return,
            Progress::Sending => Rest::Dropped(std::mem::take(&mut self.body)),
            Progress::Ended => Rest::Arrived,
        };
        *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = rest;
    }
}

impl<S: Fn() -> bool + Unpin> HttpBody for Paced<S> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let paced = self.get_mut();
        paced.progress = Progress::Sending;
        let Poll::Ready(frame) = Pin::new(&mut paced.body).poll_frame(context) else {
            loop {
                ready!(paced.look.as_mut().poll(context));
                let still = paced.moved.elapsed();
                if still >= STILL || still >= BRIEFLY && (paced.scarce)() {
                    return paced.too_slow(&format!("the body stood still for {} seconds", still.as_secs()));
                }
                paced.look.as_mut().reset(Instant::now() + BRIEFLY);
            }
        };
        match &frame {
            Some(Err(_)) => paced.progress = Progress::Broken,
            Some(Ok(_)) if !paced.body.is_end_stream() => {}
            _ => paced.progress = Progress::Ended,
        }
        paced.moved = Instant::now();
        paced.look.as_mut().reset(paced.moved + BRIEFLY);
        if let Some(Ok(frame)) = &frame {
            paced.received += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        let taken = paced.begun.elapsed();
        if taken > STILL && paced.received < PACE * taken.as_secs() && frame.is_some() {
            return paced.too_slow(&format!("the body has come at less than {PACE} bytes a second"));
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
    use futures::stream;

    use super::*;

    /// How a body ends that sends `size` bytes every `pause`.
    async fn end(size: usize, pause: Duration, count: usize, scarce: bool) -> Result<usize, String> {
        let chunks = stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, io::Error>(Bytes::from(vec![0; size]))
        });
        let (body, end) = paced(Body::from_stream(chunks), false, move || scarce);
        let mut body = body.into_data_stream();
        let mut total = 0;
        while let Some(chunk) = body.next().await {
            total += chunk.map_err(|error| crate::error::chain(&error))?.len();
        }
        drop(body);
        assert!(end.reached().await);
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

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_body_is_read_to_an_extent() {
        let body = |chunks: usize, pause: u64| {
            Body::from_stream(stream::iter(0..chunks).then(move |_| async move {
                tokio::time::sleep(Duration::from_secs(pause)).await;
                Ok::<_, io::Error>(Bytes::from_static(&[0; 1 << 20]))
            }))
        };
        let reached = async |body, waits| {
            let (body, end) = paced(body, waits, || false);
            drop(body);
            end.reached().await
        };
        assert!(reached(body(100, 0), false).await);
        assert!(!reached(body(200, 0), false).await, "200 MB");
        assert!(!reached(body(5, 3), false).await, "15 seconds");
        assert!(!reached(body(1, 0), true).await, "nobody has asked for it");
        assert!(reached(Body::empty(), true).await);
        let (begun, end) = paced(body(3, 0), true, || false);
        let first = begun.into_data_stream().next().await;
        assert!(first.is_some_and(|chunk| chunk.is_ok()) && end.reached().await, "the first chunk was asked for");
    }
}
