use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nn::Stages;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::handler::{Failure, InferenceHandler, Work};
use crate::health::{Health, Unhealthy};
use crate::metrics::{Counted, Metrics};
use crate::refusal::Refusal;
use crate::roster::{Queued, Roster, Served};

/// The thread that owns the model, and the bounded queue in front of it. It ends when the last `Device` is dropped.
pub(crate) struct Device<W> {
    queue: mpsc::Sender<Queued<W>>,
    metrics: Arc<Metrics>,
}

impl<W> Clone for Device<W> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), metrics: self.metrics.clone() }
    }
}

/// What came of loading the model for the first time.
pub(crate) type Loaded = oneshot::Receiver<anyhow::Result<()>>;

/// What the device's thread needs to be built, and built again.
struct Builder<H: InferenceHandler> {
    handler: Arc<H>,
    /// How many requests may share a pass.
    company: usize,
    roster: Roster<H::Work>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// How a thread ended that had its model.
enum Ended {
    /// Nobody will ask any more.
    Unneeded,
    /// For this reason.
    Failed(String),
}

impl<W: Work> Device<W> {
    /// Starts the thread, which first loads the model.
    pub(crate) fn start<H: InferenceHandler<Work = W>>(
        handler: Arc<H>,
        places: usize,
        company: usize,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> io::Result<(Self, Loaded)> {
        let (queue, queued) = mpsc::channel(places);
        let (tell, loaded) = oneshot::channel();
        let device = Self { queue, metrics: metrics.clone() };
        let roster = Roster::new(queued, metrics.clone());
        let builder = Builder { handler, company, roster, metrics, health };
        // This one only waits for the other, so that nothing that breaks there can break it.
        thread::Builder::new().name("device owner".to_owned()).spawn(move || builder.keep(tell))?;
        Ok((device, loaded))
    }

    /// Has work done. To drop the future is to give it up.
    ///
    /// # Errors
    /// [`Refusal`]: 503 at once where the queue is full or the thread has ended; else what the work says.
    pub(crate) async fn done(&self, work: W) -> Result<Served<W>, Refusal> {
        let (answer, outcome) = oneshot::channel();
        let depth = Counted::new(&self.metrics.queue_depth);
        self.queue.try_send(Queued { work, since: Instant::now(), answer, depth }).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::overloaded(self.queue.max_capacity()),
            TrySendError::Closed(_) => Unhealthy::Dead.into(),
        })?;
        outcome.await.unwrap_or_else(|_| Err(Unhealthy::Dead.into()))
    }
}

impl<H: InferenceHandler> Builder<H> {
    /// Builds the thread, and builds it again after each failure, as long as the model can be loaded.
    fn keep(mut self, tell: oneshot::Sender<anyhow::Result<()>>) {
        let mut tell = Some(tell);
        loop {
            let (handler, health) = (self.handler.clone(), self.health.clone());
            let (roster, metrics, company) = (&mut self.roster, &self.metrics, self.company);
            let mut loaded = false;
            let joined = thread::scope(|scope| {
                let device = thread::Builder::new().name("device".to_owned());
                let thread = device.spawn_scoped(scope, || -> anyhow::Result<Ended> {
                    let mut model = handler.model()?;
                    loaded = true;
                    health.loaded();
                    if let Some(tell) = tell.take() {
                        drop(tell.send(Ok(())));
                    }
                    Ok(serve(&*handler, &mut model, roster, company, metrics, &health))
                });
                thread.map(thread::ScopedJoinHandle::join)
            });
            self.health.working(None);
            let reason = match joined {
                Ok(Ok(Ok(Ended::Unneeded))) => return,
                Ok(Ok(Ok(Ended::Failed(reason)))) => reason,
                Ok(Err(_panic)) if loaded => "panic".to_owned(),
                hopeless => {
                    self.health.dead();
                    let error = match hopeless {
                        Ok(Ok(Err(error))) => error,
                        Err(error) => anyhow::Error::new(error).context("cannot start the model's thread"),
                        _ => anyhow::anyhow!("the model panicked while it was loaded: the log says why"),
                    };
                    match tell.take() {
                        Some(tell) => drop(tell.send(Err(error))),
                        None => tracing::error!("the model cannot be loaded again: {error:#}"),
                    }
                    return;
                }
            };
            tracing::error!(reason, "the device failed: the model is loaded again");
            self.health.loading();
            self.metrics.rebuilds.inc();
            self.roster.failed(Refusal::broken());
        }
    }
}

/// Does what is asked for until nobody asks any more, or the device fails.
fn serve<H: InferenceHandler>(
    handler: &H,
    model: &mut H::Model,
    roster: &mut Roster<H::Work>,
    company: usize,
    metrics: &Metrics,
    health: &Health,
) -> Ended {
    while roster.admit(company) {
        let mut work = roster.pass();
        if work.is_empty() {
            continue;
        }
        let mut stages = Stages::default();
        health.working(Some(Instant::now()));
        let result = handler.predict(model, &mut work, &mut stages);
        health.working(None);
        metrics.stages(&stages);
        if let Some(bytes) = handler.device_memory(model) {
            metrics.device_memory(bytes);
        }
        match result {
            Ok(()) => roster.passed(),
            Err(Failure::Request(refusal)) => roster.failed(refusal),
            Err(Failure::Device(reason)) => return Ended::Failed(reason),
        }
    }
    Ended::Unneeded
}

impl<W> Served<W> {
    /// How long the device took, waiting included.
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
    use pipeline::ErrorCode;

    use super::*;
    use crate::answer_type::AnswerType;
    use crate::handler::Request;

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

    /// Says what it begins, and goes on when told to.
    struct Gated {
        begun: std_mpsc::Sender<Vec<&'static str>>,
        gate: Mutex<std_mpsc::Receiver<()>>,
        loads: AtomicUsize,
        /// How often the model can be loaded.
        loadable: usize,
    }

    impl InferenceHandler for Gated {
        type Model = usize;
        type Work = Named;

        fn name(&self) -> &'static str {
            "gated"
        }

        fn model(&self) -> anyhow::Result<usize> {
            let load = self.loads.fetch_add(1, Ordering::SeqCst);
            assert!(load < self.loadable, "as the test asks");
            Ok(load)
        }

        fn input(&self, _: &Request, _: &mut Stages) -> Result<Named, Refusal> {
            Err(Refusal::broken())
        }

        fn predict(&self, _: &mut usize, work: &mut [&mut Named], _: &mut Stages) -> Result<(), Failure> {
            self.begun.send(work.iter().map(|named| named.0).collect()).unwrap();
            self.gate.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv().unwrap();
            for Named(name, done) in work {
                assert_ne!(*name, "panic", "as the test asks");
                match *name {
                    "broken" => return Err(Failure::Device("as the test asks".to_owned())),
                    "refused" => return Err(Failure::Request(Refusal::late(Duration::ZERO))),
                    _ => *done = true,
                }
            }
            Ok(())
        }

        fn output(&self, _: Named, _: AnswerType, _: &mut Stages) -> Result<Vec<u8>, Refusal> {
            Err(Refusal::broken())
        }

        fn device_memory(&self, _: &usize) -> Option<u64> {
            None
        }
    }

    struct Gates {
        device: Device<Named>,
        begins: std_mpsc::Receiver<Vec<&'static str>>,
        go: std_mpsc::Sender<()>,
        health: Arc<Health>,
        handler: Arc<Gated>,
    }

    fn gated(places: usize, company: usize, loadable: usize) -> (Gates, Loaded) {
        let (begun, begins) = std_mpsc::channel();
        let (go, gate) = std_mpsc::channel();
        let handler = Arc::new(Gated { begun, gate: Mutex::new(gate), loads: AtomicUsize::new(0), loadable });
        let (metrics, health) = (Arc::new(Metrics::new()), Arc::new(Health::new(Duration::from_secs(60))));
        let (device, loaded) = Device::start(handler.clone(), places, company, metrics, health.clone()).unwrap();
        (Gates { device, begins, go, health, handler }, loaded)
    }

    impl Gates {
        /// Asks for work, and sees that it is in the queue.
        async fn ask(&self, name: &'static str) -> tokio::task::JoinHandle<Result<Served<Named>, Refusal>> {
            let device = self.device.clone();
            let asked = tokio::spawn(async move { device.done(Named(name, false)).await });
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
        assert_eq!(gates.device.metrics.queue_depth.get(), 1);
        let refusal = gates.device.done(Named("third", false)).await.unwrap_err();
        assert_eq!((refusal.status, gates.device.metrics.queue_depth.get()), (StatusCode::SERVICE_UNAVAILABLE, 1));
        gates.go.send(()).unwrap();
        gates.go.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap().work, Named("first", true));
        assert_eq!(second.await.unwrap().unwrap().work, Named("second", true));
        assert_eq!(gates.device.metrics.queue_depth.get(), 0);
    }

    #[tokio::test]
    async fn those_that_wait_together_share_a_pass_and_who_left_is_not_among_them() {
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
    async fn a_failure_is_an_answer_to_whose_it_is_and_the_model_is_loaded_again() {
        for (bad, loads) in [("panic", 3), ("broken", 3), ("refused", 1)] {
            let (gates, _loaded) = gated(8, 4, 3);
            let first = gates.ask("first").await;
            assert_eq!(gates.begins.recv().unwrap(), ["first"]);
            let (good, failing, late) = (gates.ask("good").await, gates.ask(bad).await, gates.ask("late").await);
            (0..5).for_each(|_| gates.go.send(()).unwrap());
            assert!(first.await.unwrap().is_ok());
            let refusal = failing.await.unwrap().unwrap_err();
            assert_eq!((refusal.status.as_u16(), refusal.error.code), (500, ErrorCode::ModelError));
            assert_eq!(good.await.unwrap().unwrap().work, Named("good", true));
            assert_eq!(late.await.unwrap().unwrap().work, Named("late", true));
            // Together, then each alone.
            let passes: Vec<_> = gates.begins.try_iter().map(|pass| pass.join(" ")).collect();
            assert_eq!(passes, [format!("good {bad} late"), "good".to_owned(), bad.to_owned(), "late".to_owned()]);
            assert_eq!(gates.handler.loads.load(Ordering::SeqCst), loads);
            assert_eq!(gates.device.metrics.rebuilds.get(), loads as u64 - 1);
            assert_eq!(gates.health.check(), Ok(()));
        }
    }

    #[tokio::test]
    async fn a_model_that_cannot_be_loaded_is_the_end() {
        let (gates, loaded) = gated(1, 1, 0);
        assert!(loaded.await.unwrap().unwrap_err().to_string().contains("while it was loaded"));
        let refusal = gates.device.done(Named("first", false)).await.unwrap_err();
        assert_eq!((refusal.status.as_u16(), gates.health.check()), (503, Err(Unhealthy::Dead)));

        // Nor if it could before.
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
