use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::handler::Work;
use crate::metrics::{Counted, Metrics};
use crate::refusal::Refusal;

/// Work that waits for the device.
pub(crate) struct Queued<W> {
    pub(crate) work: W,
    pub(crate) since: Instant,
    pub(crate) answer: oneshot::Sender<Result<Served<W>, Refusal>>,
    pub(crate) depth: Counted,
}

/// Work that the device is done with.
#[derive(Debug)]
pub(crate) struct Served<W> {
    pub(crate) work: W,
    /// How long it waited for the device.
    pub(crate) waited: Duration,
    /// How long it was on the device.
    pub(crate) served: Duration,
}

/// The work on the device, in the order in which it came, and the queue in front.
pub(crate) struct Roster<W> {
    queue: mpsc::Receiver<Queued<W>>,
    active: Vec<Active<W>>,
    /// How many of the first take part in the pass that runs.
    passing: usize,
    metrics: Arc<Metrics>,
}

struct Active<W> {
    work: W,
    answer: oneshot::Sender<Result<Served<W>, Refusal>>,
    waited: Duration,
    begun: Instant,
    /// A pass with others failed: it has to be known whose fault that was.
    alone: bool,
}

impl<W: Work> Roster<W> {
    pub(crate) fn new(queue: mpsc::Receiver<Queued<W>>, metrics: Arc<Metrics>) -> Self {
        Self { queue, active: Vec::new(), passing: 0, metrics }
    }

    /// Takes work from the queue, up to `limit` together; waits if there is none at all. False: nor will there be any.
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

    /// What takes part in the next pass: the first, and those that may go along. Who is waited for by nobody is left out.
    pub(crate) fn pass(&mut self) -> Vec<&mut W> {
        self.active.retain(|active| !active.answer.is_closed());
        let company = self.active.iter().take_while(|active| !active.alone).count();
        self.passing = company.max(1).min(self.active.len());
        self.active[..self.passing].iter_mut().map(|active| &mut active.work).collect()
    }

    /// The pass is over: what is done is answered.
    pub(crate) fn passed(&mut self) {
        if self.passing > 0 {
            self.metrics.shared(self.passing);
        }
        self.passing = 0;
        for Active { work, answer, waited, begun, .. } in self.active.extract_if(.., |active| active.work.is_done()) {
            // Who left meanwhile is counted where its connection ends.
            drop(answer.send(Ok(Served { work, waited, served: begun.elapsed() })));
        }
    }

    /// The pass failed: who was alone is answered so, several are tried one by one.
    pub(crate) fn failed(&mut self, refusal: Refusal) {
        match std::mem::take(&mut self.passing) {
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

    #[derive(Debug)]
    struct Passes(usize);

    impl Work for Passes {
        fn is_done(&self) -> bool {
            self.0 == 0
        }

        fn restart(&mut self) {
            self.0 = 9;
        }
    }

    type Answer = oneshot::Receiver<Result<Served<Passes>, Refusal>>;

    fn queue(metrics: &Metrics, sender: &mpsc::Sender<Queued<Passes>>, passes: usize) -> Answer {
        let (answer, answered) = oneshot::channel();
        let depth = Counted::new(&metrics.queue_depth);
        let queued = Queued { work: Passes(passes), since: Instant::now(), answer, depth };
        assert!(sender.try_send(queued).is_ok());
        answered
    }

    /// Does a pass and says how many passes were missing to each that took part.
    fn pass(roster: &mut Roster<Passes>) -> Vec<usize> {
        let missing = roster.pass().into_iter().map(|Passes(passes)| (*passes, *passes -= 1).0).collect();
        roster.passed();
        missing
    }

    #[test]
    fn the_first_come_go_first_and_who_is_done_makes_room() {
        let metrics = Arc::new(Metrics::new());
        let (sender, queued) = mpsc::channel(8);
        let mut roster = Roster::new(queued, metrics.clone());
        let mut answers: Vec<Answer> = [2, 1, 3, 1].map(|passes| queue(&metrics, &sender, passes)).into();
        assert!(roster.admit(3));
        assert_eq!(metrics.queue_depth.get(), 1);
        assert_eq!(pass(&mut roster), [2, 1, 3]);
        assert!(answers[1].try_recv().unwrap().is_ok());
        assert!(roster.admit(3));
        // Who leaves takes part no more.
        drop(answers.remove(2));
        assert_eq!(pass(&mut roster), [1, 1]);
        assert!(answers[0].try_recv().unwrap().is_ok() && answers[2].try_recv().unwrap().is_ok());
        drop(sender);
        assert!(!roster.admit(3));
    }

    #[test]
    fn after_a_failure_in_company_each_is_tried_alone() {
        let metrics = Arc::new(Metrics::new());
        let (sender, queued) = mpsc::channel(8);
        let mut roster = Roster::new(queued, metrics.clone());
        let mut answers = [2, 2].map(|passes| queue(&metrics, &sender, passes));
        assert!(roster.admit(4));
        assert_eq!(roster.pass().len(), 2);
        roster.failed(Refusal::broken());
        assert!(answers[0].try_recv().is_err() && answers[1].try_recv().is_err());
        let _third = queue(&metrics, &sender, 1);
        assert!(roster.admit(4));
        assert_eq!(roster.pass().len(), 1);
        roster.failed(Refusal::broken());
        assert_eq!(answers[0].try_recv().unwrap().unwrap_err().status.as_u16(), 500);
        // The second begins anew, and alone.
        for missing in (1..=9).rev() {
            assert!(roster.admit(4));
            assert_eq!(pass(&mut roster), [missing]);
        }
        assert!(answers[1].try_recv().unwrap().is_ok());
        assert_eq!(pass(&mut roster), [1], "the third, which had nothing to do with it");
    }
}
