//! The worker: the thread that owns the device and the model on it.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nn::Stages;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::batcher::{Batcher, Queued, Served};
use crate::handler::{Failure, InferenceHandler};
use crate::health::{Health, Unhealthy};
use crate::metrics::{Counted, Metrics};
use crate::refusal::{Reason, Refusal};

/// The entrance to the worker thread: the bounded queue in front of it. The thread ends when this is dropped.
pub(crate) struct Worker<H: InferenceHandler> {
    queue: mpsc::Sender<Queued<H::Work>>,
    handler: Arc<H>,
    metrics: Arc<Metrics>,
}

/// The outcome of loading the model for the first time.
pub(crate) type Loaded = oneshot::Receiver<anyhow::Result<()>>;

/// Starts the worker thread, and starts it again after a failure.
struct Supervisor<H: InferenceHandler> {
    handler: Arc<H>,
    batcher: Batcher<H::Work>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// How a worker thread ended that had loaded its model.
enum Ended {
    /// The queue is closed, and all work is done.
    Finished,
    /// The device failed.
    Failed(anyhow::Error),
}

impl<H: InferenceHandler> Worker<H> {
    /// Starts the thread, which first loads the model. `places` is the length of the queue.
    pub(crate) fn start(
        handler: Arc<H>,
        places: usize,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> io::Result<(Self, Loaded)> {
        let (queue, queued) = mpsc::channel(places);
        let (report, loaded) = oneshot::channel();
        let batcher = Batcher::new(queued, metrics.clone());
        let worker = Self { queue, handler: handler.clone(), metrics: metrics.clone() };
        let supervisor = Supervisor { handler, batcher, metrics, health };
        // The supervisor only waits for the worker thread, so that no panic there can reach it.
        thread::Builder::new().name("supervisor".to_owned()).spawn(move || supervisor.run(report))?;
        Ok((worker, loaded))
    }

    /// Queues work and waits until it is done. Dropping the future cancels the work.
    ///
    /// # Errors
    /// [`Refusal`]: the queue is full, the thread has ended, or the model failed.
    pub(crate) async fn serve(&self, work: H::Work) -> Result<Served<H::Work>, Refusal> {
        let (answer, outcome) = oneshot::channel();
        let depth = Counted::new(&self.metrics.queue_depth);
        self.queue.try_send(Queued { work, since: Instant::now(), answer, depth }).map_err(|error| {
            self.handler.refusal(&match error {
                TrySendError::Full(_) => Reason::Overloaded { waiting: self.queue.max_capacity() },
                TrySendError::Closed(_) => Unhealthy::Dead.into(),
            })
        })?;
        outcome.await.unwrap_or_else(|_| Err(self.handler.refusal(&Unhealthy::Dead.into())))
    }
}

impl<H: InferenceHandler> Supervisor<H> {
    /// Runs the worker thread until its queue is closed, or the model cannot be loaded.
    fn run(mut self, report: oneshot::Sender<anyhow::Result<()>>) {
        let mut report = Some(report);
        loop {
            let (handler, health) = (self.handler.clone(), self.health.clone());
            let (batcher, metrics) = (&mut self.batcher, &self.metrics);
            let mut loaded = false;
            let joined = thread::scope(|scope| {
                let worker = thread::Builder::new().name("worker".to_owned());
                let thread = worker.spawn_scoped(scope, || -> anyhow::Result<Ended> {
                    let mut model = handler.model()?;
                    loaded = true;
                    health.loaded();
                    if let Some(report) = report.take() {
                        drop(report.send(Ok(())));
                    }
                    Ok(work(&*handler, &mut model, batcher, metrics, &health))
                });
                thread.map(thread::ScopedJoinHandle::join)
            });
            self.health.working(None);
            let reason = match joined {
                Ok(Ok(Ok(Ended::Finished))) => return,
                Ok(Ok(Ok(Ended::Failed(error)))) => format!("{error:#}"),
                Ok(Err(_panic)) if loaded => "panic".to_owned(),
                hopeless => {
                    self.health.dead();
                    let error = match hopeless {
                        Ok(Ok(Err(error))) => error,
                        Err(error) => anyhow::Error::new(error).context("cannot start the model's thread"),
                        _ => anyhow::anyhow!("the model panicked while it was loaded: the log says why"),
                    };
                    match report.take() {
                        Some(report) => drop(report.send(Err(error))),
                        None => tracing::error!("the model cannot be loaded again: {error:#}"),
                    }
                    return;
                }
            };
            tracing::error!(reason, "the device failed: the model is loaded again");
            self.health.loading();
            self.metrics.rebuilds.inc();
            self.batcher.failed(self.handler.refusal(&Reason::Failed));
        }
    }
}

/// Runs batch after batch, until the queue is closed or the device fails.
fn work<H: InferenceHandler>(
    handler: &H,
    model: &mut H::Model,
    batcher: &mut Batcher<H::Work>,
    metrics: &Metrics,
    health: &Health,
) -> Ended {
    while batcher.admit(handler.batch_size()) {
        let mut batch = batcher.batch();
        if batch.is_empty() {
            continue;
        }
        let mut stages = Stages::default();
        health.working(Some(Instant::now()));
        let result = handler.predict(model, &mut batch, &mut stages);
        health.working(None);
        metrics.stages(&stages);
        if let Some(bytes) = handler.device_memory(model) {
            metrics.device_memory(bytes);
        }
        match result {
            Ok(()) => batcher.stepped(),
            Err(Failure::Request(refusal)) => batcher.failed(refusal),
            Err(Failure::Device(error)) => return Ended::Failed(error),
        }
    }
    Ended::Finished
}

impl<W> Served<W> {
    /// How long the work took, waiting included.
    pub(crate) fn elapsed(&self) -> Duration {
        self.waited + self.served
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc as std_mpsc;

    use axum::http::StatusCode;

    use super::*;
    use crate::handler::{Answer, Work};
    use crate::head::Head;

    #[derive(Debug, PartialEq)]
    struct Named(&'static str, bool);

    impl Work for Named {
        fn is_done(&self) -> bool {
            self.1
        }

        fn restart(&mut self) {
            self.1 = false;
        }
    }

    /// Reports each batch that it begins, and goes on when the test opens the gate.
    struct Gated {
        begun: std_mpsc::Sender<Vec<&'static str>>,
        gate: Mutex<std_mpsc::Receiver<()>>,
        loads: AtomicUsize,
        batch_size: usize,
        /// How often the model can be loaded.
        loadable: usize,
    }

    impl InferenceHandler for Gated {
        const METRICS_PREFIX: &'static str = "gated";
        const MAX_REQUEST_BYTES: usize = 0;

        type Model = usize;
        type Request = ();
        type Payload = Vec<u8>;
        type Work = Named;

        fn name(&self) -> &'static str {
            "gated"
        }

        fn batch_size(&self) -> usize {
            self.batch_size
        }

        fn model(&self) -> anyhow::Result<usize> {
            let load = self.loads.fetch_add(1, Ordering::SeqCst);
            assert!(load < self.loadable, "as the test asks");
            Ok(load)
        }

        fn accept(&self, _: &Head) -> Result<(), Refusal> {
            Ok(())
        }

        async fn fetch(&self, (): &(), body: Vec<u8>, _: usize, _: &mut Stages) -> Result<Vec<u8>, Refusal> {
            Ok(body)
        }

        fn input(&self, (): &(), _: Vec<u8>, _: &mut Stages) -> Result<Named, Refusal> {
            Err(self.refusal(&Reason::Failed))
        }

        fn predict(&self, _: &mut usize, work: &mut [&mut Named], _: &mut Stages) -> Result<(), Failure> {
            self.begun.send(work.iter().map(|named| named.0).collect()).unwrap();
            self.gate.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv().unwrap();
            for Named(name, done) in work {
                assert_ne!(*name, "panic", "as the test asks");
                match *name {
                    "broken" => return Err(Failure::Device(anyhow::anyhow!("as the test asks"))),
                    "refused" => return Err(Failure::Request(self.refusal(&Reason::Late { limit: Duration::ZERO }))),
                    _ => *done = true,
                }
            }
            Ok(())
        }

        fn output(&self, (): &(), _: Named, _: &mut Stages) -> Result<Answer, Refusal> {
            Err(self.refusal(&Reason::Failed))
        }
    }

    struct Gates {
        worker: Arc<Worker<Gated>>,
        begins: std_mpsc::Receiver<Vec<&'static str>>,
        go: std_mpsc::Sender<()>,
        health: Arc<Health>,
        handler: Arc<Gated>,
    }

    fn gated(places: usize, batch_size: usize, loadable: usize) -> (Gates, Loaded) {
        let (begun, begins) = std_mpsc::channel();
        let (go, gate) = std_mpsc::channel();
        let (gate, loads) = (Mutex::new(gate), AtomicUsize::new(0));
        let handler = Arc::new(Gated { begun, gate, loads, batch_size, loadable });
        let (metrics, health) = (Arc::new(Metrics::new("test")), Arc::new(Health::new(Duration::from_secs(60))));
        let (worker, loaded) = Worker::start(handler.clone(), places, metrics, health.clone()).unwrap();
        (Gates { worker: Arc::new(worker), begins, go, health, handler }, loaded)
    }

    impl Gates {
        /// Queues work.
        async fn ask(&self, name: &'static str) -> tokio::task::JoinHandle<Result<Served<Named>, Refusal>> {
            let worker = self.worker.clone();
            let asked = tokio::spawn(async move { worker.serve(Named(name, false)).await });
            tokio::task::yield_now().await;
            asked
        }
    }

    #[tokio::test]
    async fn one_runs_one_waits_and_the_third_is_refused() {
        let (gates, _loaded) = gated(1, 1, 1);
        let first = gates.ask("first").await;
        assert_eq!(gates.begins.recv().unwrap(), ["first"]);
        let second = gates.ask("second").await;
        assert_eq!(gates.worker.metrics.queue_depth.get(), 1);
        let refusal = gates.worker.serve(Named("third", false)).await.unwrap_err();
        assert_eq!((refusal.status, gates.worker.metrics.queue_depth.get()), (StatusCode::SERVICE_UNAVAILABLE, 1));
        gates.go.send(()).unwrap();
        gates.go.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap().work, Named("first", true));
        assert_eq!(second.await.unwrap().unwrap().work, Named("second", true));
        assert_eq!(gates.worker.metrics.queue_depth.get(), 0);
    }

    #[tokio::test]
    async fn waiting_work_makes_a_batch_without_the_work_of_clients_that_left() {
        let (gates, _loaded) = gated(8, 3, 1);
        let first = gates.ask("first").await;
        assert_eq!(gates.begins.recv().unwrap(), ["first"]);
        let mut waiting = Vec::new();
        for name in ["second", "left", "third", "fourth", "fifth"] {
            waiting.push(gates.ask(name).await);
        }
        waiting.remove(1).abort();
        tokio::task::yield_now().await;
        (0..3).for_each(|_| gates.go.send(()).unwrap());
        assert_eq!(first.await.unwrap().unwrap().work.0, "first");
        for (asked, name) in waiting.into_iter().zip(["second", "third", "fourth", "fifth"]) {
            assert_eq!(asked.await.unwrap().unwrap().work.0, name);
        }
        assert_eq!(gates.begins.recv().unwrap(), ["second", "third", "fourth"]);
        assert_eq!(gates.begins.recv().unwrap(), ["fifth"]);
    }

    #[tokio::test]
    async fn a_failure_answers_its_own_request_and_the_model_is_loaded_again() {
        for (bad, loads) in [("panic", 3), ("broken", 3), ("refused", 1)] {
            let (gates, _loaded) = gated(8, 4, 3);
            let first = gates.ask("first").await;
            assert_eq!(gates.begins.recv().unwrap(), ["first"]);
            let (good, failing, late) = (gates.ask("good").await, gates.ask(bad).await, gates.ask("late").await);
            (0..5).for_each(|_| gates.go.send(()).unwrap());
            assert!(first.await.unwrap().is_ok());
            let refusal = failing.await.unwrap().unwrap_err();
            assert_eq!((refusal.status.as_u16(), &*refusal.code), (500, "MODEL_ERROR"));
            assert_eq!(good.await.unwrap().unwrap().work, Named("good", true));
            assert_eq!(late.await.unwrap().unwrap().work, Named("late", true));
            // As one batch, then each alone.
            let batches: Vec<_> = gates.begins.try_iter().map(|batch| batch.join(" ")).collect();
            assert_eq!(batches, [format!("good {bad} late"), "good".to_owned(), bad.to_owned(), "late".to_owned()]);
            assert_eq!(gates.handler.loads.load(Ordering::SeqCst), loads);
            assert_eq!(gates.worker.metrics.rebuilds.get(), loads as u64 - 1);
            assert_eq!(gates.health.check(), Ok(()));
        }
    }

    #[tokio::test]
    async fn a_model_that_cannot_be_loaded_ends_the_worker() {
        let (gates, loaded) = gated(1, 1, 0);
        assert!(loaded.await.unwrap().unwrap_err().to_string().contains("while it was loaded"));
        let refusal = gates.worker.serve(Named("first", false)).await.unwrap_err();
        assert_eq!((refusal.status.as_u16(), gates.health.check()), (503, Err(Unhealthy::Dead)));

        // The same if it could be loaded once.
        let (gates, loaded) = gated(4, 1, 1);
        loaded.await.unwrap().unwrap();
        let failing = gates.ask("panic").await;
        assert_eq!(gates.begins.recv().unwrap(), ["panic"]);
        let waiting = gates.ask("waiting").await;
        gates.go.send(()).unwrap();
        assert_eq!(failing.await.unwrap().unwrap_err().status.as_u16(), 500);
        assert_eq!(waiting.await.unwrap().unwrap_err().status.as_u16(), 503);
        assert_eq!(gates.health.check(), Err(Unhealthy::Dead));
    }
}
