//! The thread that waits for the disk on behalf of all who wait for their commits: one wait serves a group.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// What is done when the disk has the commits, or has failed.
type Then = Box<dyn FnOnce(&Result<(), Arc<io::Error>>) + Send>;

/// Waits for the disk. Dropping it waits for what was asked before.
#[derive(Debug)]
pub(super) struct Syncer {
    requests: Option<Sender<Then>>,
    synced: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// `committed` returns the number of commits, and `sync` gives the disk all of them.
    pub(super) fn new(
        committed: impl Fn() -> u64 + Send + 'static,
        sync: impl FnMut() -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let synced = Arc::<AtomicU64>::default();
        let shared = Arc::clone(&synced);
        let thread = std::thread::Builder::new()
            .name("journal-syncer".to_owned())
            .spawn(move || run(&receiver, &shared, committed, sync))?;
        Ok(Self { requests: Some(sender), synced, thread: Some(thread) })
    }

    /// The number of commits that the disk has.
    pub(super) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Calls `then` when the disk has every commit so far.
    pub(super) fn request(&self, then: impl FnOnce(&Result<(), Arc<io::Error>>) + Send + 'static) {
        // The thread ends only with the sender.
        let _ = self.requests.as_ref().map(|requests| requests.send(Box::new(then)));
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        drop(self.requests.take());
        // A panic of the thread was printed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn run(
    requests: &Receiver<Then>,
    synced: &AtomicU64,
    committed: impl Fn() -> u64,
    mut sync: impl FnMut() -> io::Result<()>,
) {
    // A kernel reports a failed write once, and forgets the data: a later success means nothing.
    let mut broken = None;
    while let Ok(first) = requests.recv() {
        let group: Vec<Then> = std::iter::once(first).chain(requests.try_iter()).collect();
        let count = committed();
        let result = match &broken {
            Some(error) => Err(Arc::clone(error)),
            None => sync().map_err(Arc::new),
        };
        match &result {
            Ok(()) => synced.store(count, Ordering::Release),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            Err(error) => broken = Some(Arc::clone(error)),
        }
        for then in group {
            then(&result);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn one_wait_serves_all_that_asked_before_it() {
        let (enter, entered) = mpsc::channel();
        let (leave, left) = mpsc::channel::<()>();
        let count = Arc::new(AtomicU64::new(1));
        let committed = Arc::clone(&count);
        let sync = move || {
            enter.send(()).unwrap();
            left.recv().unwrap();
            Ok(())
        };
        let syncer = Syncer::new(move || committed.load(Ordering::SeqCst), sync).unwrap();
        let (done, ended) = mpsc::channel();
        let ask = |number: u32| {
            let done = done.clone();
            syncer.request(move |result| done.send((number, result.is_ok())).unwrap());
        };
        ask(1);
        entered.recv().unwrap();
        count.store(3, Ordering::SeqCst);
        (2..5).for_each(ask);
        leave.send(()).unwrap();
        assert_eq!(ended.recv().unwrap(), (1, true));
        entered.recv().unwrap();
        assert_eq!(syncer.synced(), 1, "commits that came during a wait are not part of it");
        leave.send(()).unwrap();
        assert_eq!((2..5).map(|_| ended.recv().unwrap().0).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(syncer.synced(), 3);
        assert!(entered.try_recv().is_err(), "three requests took one wait");
    }

    #[test]
    fn nothing_is_durable_after_a_failure() {
        let mut results = vec![Ok(()), Err(io::Error::other("the disk is gone")), Ok(())].into_iter();
        let syncer = Syncer::new(|| 1, move || results.next().unwrap()).unwrap();
        let ask = || {
            let (done, ended) = mpsc::channel();
            syncer.request(move |result| done.send(result.is_ok()).unwrap());
            ended.recv().unwrap()
        };
        assert_eq!([ask(), ask(), ask()], [true, false, false]);
    }
}
