use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use pipeline::Ages;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::answer_type::AnswerType;
use crate::health::{Health, Unhealthy};
use crate::metrics::{Counted, Metrics};
use crate::refusal::Refusal;

/// One piece of work.
#[derive(Debug)]
pub(crate) struct Order {
    /// The encoded picture.
    pub(crate) picture: Vec<u8>,
    pub(crate) ages: Ages,
    pub(crate) answer_type: AnswerType,
}

/// What comes of it: the encoded strip.
pub(crate) type Outcome = Result<Vec<u8>, Refusal>;

struct Queued {
    order: Order,
    since: Instant,
    answer: oneshot::Sender<Outcome>,
    depth: Counted,
}

/// The thread that owns the engine, and the bounded queue in front of it. It ends when the last `Device` is dropped.
#[derive(Clone)]
pub(crate) struct Device {
    queue: mpsc::Sender<Queued>,
    metrics: Arc<Metrics>,
}

/// Tells that the thread has ended, whatever ended it.
struct End(Arc<Health>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.dead();
    }
}

impl Device {
    /// Starts the thread, which loads what does the work and tells of it when that is done. `work` does one order; the function
    /// it is given tells whether anyone still waits.
    pub(crate) fn start<W, L, E>(
        queue_length: usize,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        load: impl FnOnce() -> Result<(W, L), E> + Send + 'static,
    ) -> io::Result<(Self, oneshot::Receiver<Result<L, E>>)>
    where
        W: FnMut(&Order, &dyn Fn() -> bool) -> Outcome,
        L: Send + 'static,
        E: Send + 'static,
    {
        let (queue, mut orders) = mpsc::channel::<Queued>(queue_length);
        let (tell, loaded) = oneshot::channel();
        let device = Self { queue, metrics: metrics.clone() };
        thread::Builder::new().name("device".to_owned()).spawn(move || {
            let end = End(health.clone());
            let mut work = match load() {
                Ok((work, told)) => {
                    health.loaded();
                    drop(tell.send(Ok(told)));
                    work
                }
                Err(error) => {
                    drop(tell.send(Err(error)));
                    return;
                }
            };
            while let Some(Queued { order, since, answer, depth }) = orders.blocking_recv() {
                drop(depth);
                metrics.waited(since.elapsed());
                if answer.is_closed() {
                    metrics.abandoned.inc();
                    continue;
                }
                let start = Instant::now();
                health.working(Some(start));
                let wanted = || !answer.is_closed();
                // The work keeps nothing between orders that a panic could leave half done.
                let outcome = panic::catch_unwind(AssertUnwindSafe(|| work(&order, &wanted)));
                health.working(None);
                metrics.served(start.elapsed());
                if answer.send(outcome.unwrap_or_else(|_| Err(Refusal::broken()))).is_err() {
                    metrics.abandoned.inc();
                }
            }
            drop(end);
        })?;
        Ok((device, loaded))
    }

    /// Has an order done. To drop the future is to give the order up.
    ///
    /// # Errors
    /// [`Refusal`]: 503 at once where the queue is full or the thread has ended; else what the work says.
    pub(crate) async fn done(&self, order: Order) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        let depth = Counted::new(&self.metrics.queue_depth);
        self.queue.try_send(Queued { order, since: Instant::now(), answer, depth }).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::overloaded(self.queue.max_capacity()),
            TrySendError::Closed(_) => Unhealthy::Dead.into(),
        })?;
        outcome.await.unwrap_or_else(|_| Err(Unhealthy::Dead.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as std_mpsc;
    use std::time::Duration;

    use axum::http::StatusCode;
    use pipeline::ErrorCode;

    use super::*;

    fn order(name: &str) -> Order {
        Order { picture: name.as_bytes().to_vec(), ages: Ages::default(), answer_type: AnswerType::Npy }
    }

    /// A device that says what it begins and goes on when told to.
    fn gated(queue_length: usize) -> (Device, std_mpsc::Receiver<Vec<u8>>, std_mpsc::Sender<()>) {
        let (begun, begins) = std_mpsc::channel();
        let (go, gate) = std_mpsc::channel::<()>();
        let work = move |order: &Order, _: &dyn Fn() -> bool| {
            begun.send(order.picture.clone()).unwrap();
            gate.recv().unwrap();
            assert_ne!(order.picture, b"panic", "as the test asks");
            Ok(order.picture.clone())
        };
        let health = Arc::new(Health::new(Duration::from_secs(60)));
        let load = || Ok::<_, ()>((work, ()));
        let (device, _) = Device::start(queue_length, Arc::new(Metrics::new()), health, load).unwrap();
        (device, begins, go)
    }

    fn spawned(device: &Device, name: &str) -> tokio::task::JoinHandle<Outcome> {
        let (device, order) = (device.clone(), order(name));
        tokio::spawn(async move { device.done(order).await })
    }

    #[tokio::test]
    async fn one_runs_one_waits_and_the_third_is_refused() {
        let (device, begins, go) = gated(1);
        let first = spawned(&device, "first");
        tokio::task::yield_now().await;
        assert_eq!(begins.recv().unwrap(), b"first");
        let second = spawned(&device, "second");
        tokio::task::yield_now().await;
        assert_eq!(device.metrics.queue_depth.get(), 1);
        let refusal = device.done(order("third")).await.unwrap_err();
        assert_eq!((refusal.status, device.metrics.queue_depth.get()), (StatusCode::SERVICE_UNAVAILABLE, 1));
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap(), b"first");
        assert_eq!(second.await.unwrap().unwrap(), b"second");
        assert_eq!(device.metrics.queue_depth.get(), 0);
    }

    #[tokio::test]
    async fn who_left_is_skipped() {
        let (device, begins, go) = gated(3);
        let first = spawned(&device, "first");
        let left = spawned(&device, "left");
        let last = spawned(&device, "last");
        tokio::task::yield_now().await;
        assert_eq!(begins.recv().unwrap(), b"first");
        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert!(first.await.unwrap().is_ok() && last.await.unwrap().is_ok());
        assert_eq!((begins.recv().unwrap(), device.metrics.abandoned.get()), (b"last".to_vec(), 1));
    }

    #[tokio::test]
    async fn a_panic_while_loading_is_the_end() {
        let health = Arc::new(Health::new(Duration::from_secs(60)));
        type Work = fn(&Order, &dyn Fn() -> bool) -> Outcome;
        let load = || -> Result<(Work, ()), ()> { panic!("as the test asks") };
        let (device, loaded) = Device::start(1, Arc::new(Metrics::new()), health.clone(), load).unwrap();
        assert!(loaded.await.is_err());
        let refusal = device.done(order("first")).await.unwrap_err();
        assert_eq!((refusal.status.as_u16(), health.check()), (503, Err(Unhealthy::Dead)));
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_and_the_thread_goes_on() {
        let (device, _begins, go) = gated(1);
        go.send(()).unwrap();
        let refusal = device.done(order("panic")).await.unwrap_err();
        assert_eq!((refusal.status.as_u16(), refusal.error.code), (500, ErrorCode::ModelError));
        go.send(()).unwrap();
        assert!(device.done(order("next")).await.is_ok());
    }
}
