//! Dynamic batching: the invocations on the device, and the queue in front of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::handler::Work;
use crate::metrics::{Counted, Metrics};
use crate::refusal::Refusal;

/// Work that waits for the worker.
pub(crate) struct Queued<W> {
    pub(crate) work: W,
    pub(crate) since: Instant,
    pub(crate) answer: oneshot::Sender<Result<Served<W>, Refusal>>,
    pub(crate) depth: Counted,
}

/// Work whose steps are all done.
#[derive(Debug)]
pub(crate) struct Served<W> {
    pub(crate) work: W,
    /// How long it waited in the queue.
    pub(crate) waited: Duration,
    /// How long it was on the device.
    pub(crate) served: Duration,
}

/// Makes batches of the oldest work. New work joins between two steps.
pub(crate) struct Batcher<W> {
    queue: mpsc::Receiver<Queued<W>>,
    /// The work on the device, in the order of its arrival.
    active: Vec<Active<W>>,
    /// The size of the batch whose step runs: the first of `active`.
    batch: usize,
    metrics: Arc<Metrics>,
}

struct Active<W> {
    work: W,
    answer: oneshot::Sender<Result<Served<W>, Refusal>>,
    waited: Duration,
    begun: Instant,
    /// Whether it makes a batch alone: a batch of several failed, and each of them could be the cause.
    alone: bool,
}

impl<W: Work> Batcher<W> {
    pub(crate) fn new(queue: mpsc::Receiver<Queued<W>>, metrics: Arc<Metrics>) -> Self {
        Self { queue, active: Vec::new(), batch: 0, metrics }
    }

    /// Takes work from the queue, until `limit` invocations are on the device. Waits while there is no work at all. False: the
    /// queue is closed, and all work is done.
    pub(crate) fn admit(&mut self, limit: usize) -> bool {
        while self.active.len() < limit {
            let next = if self.active.is_empty() { self.queue.blocking_recv() } else { self.queue.try_recv().ok() };
            let Some(Queued { work, since, answer, depth }) = next else { break };
            drop(depth);
            if answer.is_closed() {
                continue;
            }
            self.active.push(Active { work, answer, waited: since.elapsed(), begun: Instant::now(), alone: false });
        }
        !self.active.is_empty()
    }

    /// The batch of the next step, oldest work first. Work whose client has gone is dropped.
    pub(crate) fn batch(&mut self) -> Vec<&mut W> {
        self.active.retain(|active| !active.answer.is_closed());
        let together = self.active.iter().take_while(|active| !active.alone).count();
        self.batch = together.max(1).min(self.active.len());
        self.active[..self.batch].iter_mut().map(|active| &mut active.work).collect()
    }

    /// The step is over: finished work is answered.
    pub(crate) fn stepped(&mut self) {
        if self.batch > 0 {
            self.metrics.batch(self.batch);
        }
        self.batch = 0;
        for Active { work, answer, waited, begun, .. } in self.active.extract_if(.., |active| active.work.is_done()) {
            // A client that left meanwhile is counted where its connection ends.
            drop(answer.send(Ok(Served { work, waited, served: begun.elapsed() })));
        }
    }

    /// The step failed: work that was alone gets the refusal, work of a larger batch is tried again, each alone.
    pub(crate) fn failed(&mut self, refusal: Refusal) {
        match std::mem::take(&mut self.batch) {
            0 => {}
            1 => drop(self.active.remove(0).answer.send(Err(refusal))),
            several => {
                for active in &mut self.active[..several] {
                    active.work.restart();
                    active.alone = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Reason;

    #[derive(Debug)]
    struct Steps(usize);

    impl Work for Steps {
        fn is_done(&self) -> bool {
            self.0 == 0
        }

        fn restart(&mut self) {
            self.0 = 9;
        }
    }

    type Answer = oneshot::Receiver<Result<Served<Steps>, Refusal>>;

    fn queue(metrics: &Metrics, sender: &mpsc::Sender<Queued<Steps>>, steps: usize) -> Answer {
        let (answer, answered) = oneshot::channel();
        let depth = Counted::new(&metrics.queue_depth);
        let queued = Queued { work: Steps(steps), since: Instant::now(), answer, depth };
        assert!(sender.try_send(queued).is_ok());
        answered
    }

    /// Does a step and returns how many steps were missing to each of the batch.
    fn step(batcher: &mut Batcher<Steps>) -> Vec<usize> {
        let missing = batcher.batch().into_iter().map(|Steps(steps)| (*steps, *steps -= 1).0).collect();
        batcher.stepped();
        missing
    }

    #[test]
    fn the_oldest_go_first_and_finished_work_makes_room() {
        let metrics = Arc::new(Metrics::new("test"));
        let (sender, queued) = mpsc::channel(8);
        let mut batcher = Batcher::new(queued, metrics.clone());
        let mut answers: Vec<Answer> = [2, 1, 3, 1].map(|steps| queue(&metrics, &sender, steps)).into();
        assert!(batcher.admit(3));
        assert_eq!(metrics.queue_depth.get(), 1);
        assert_eq!(step(&mut batcher), [2, 1, 3]);
        assert!(answers[1].try_recv().unwrap().is_ok());
        assert!(batcher.admit(3));
        // Work whose client leaves is in no further batch.
        drop(answers.remove(2));
        assert_eq!(step(&mut batcher), [1, 1]);
        assert!(answers[0].try_recv().unwrap().is_ok() && answers[2].try_recv().unwrap().is_ok());
        drop(sender);
        assert!(!batcher.admit(3));
    }

    #[test]
    fn after_a_failure_of_a_batch_each_is_tried_alone() {
        let metrics = Arc::new(Metrics::new("test"));
        let (sender, queued) = mpsc::channel(8);
        let mut batcher = Batcher::new(queued, metrics.clone());
        let failed = || Refusal::from(&Reason::Failed);
        let mut answers = [2, 2].map(|steps| queue(&metrics, &sender, steps));
        assert!(batcher.admit(4));
        assert_eq!(batcher.batch().len(), 2);
        batcher.failed(failed());
        assert!(answers[0].try_recv().is_err() && answers[1].try_recv().is_err());
        let _third = queue(&metrics, &sender, 1);
        assert!(batcher.admit(4));
        assert_eq!(batcher.batch().len(), 1);
        batcher.failed(failed());
        assert_eq!(answers[0].try_recv().unwrap().unwrap_err().status.as_u16(), 500);
        // The second begins anew, and alone.
        for missing in (1..=9).rev() {
            assert!(batcher.admit(4));
            assert_eq!(step(&mut batcher), [missing]);
        }
        assert!(answers[1].try_recv().unwrap().is_ok());
        assert_eq!(step(&mut batcher), [1], "the third, which took no part in the failure");
    }
}
