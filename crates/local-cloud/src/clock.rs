//! Time: the machine's, and the clock of a cloud, which never goes back, and which a test can set.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// The clock of queues, schedules and objects. Clones are the same clock.
///
/// It follows the machine's clock, but runs on from the latest time when that one is set back: what waits, waits no longer for it.
///
/// Child processes and clients read the machine's clock, and timeouts of functions and model servers run by it.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Milliseconds ahead of the machine's clock.
    ahead: watch::Sender<i64>,
    /// The latest time, and when it was.
    latest: Arc<Mutex<(Instant, i64)>>,
}

impl Default for Clock {
    /// The machine's time.
    fn default() -> Self {
        Self { ahead: watch::Sender::new(0), latest: Arc::new(Mutex::new((Instant::now(), now_millis()))) }
    }
}

impl Clock {
    /// Milliseconds since 1970. Never less than before.
    pub fn now_millis(&self) -> i64 {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, millis) = *latest;
        let passed = millis_of(at.elapsed());
        let now = self.machine_millis().max(millis + passed);
        // Fractions of a millisecond would be lost.
        if now > millis + passed {
            *latest = (Instant::now(), now);
        }
        now
    }

    /// The machine's clock in milliseconds since 1970, as set by a test. It can go back.
    pub fn machine_millis(&self) -> i64 {
        now_millis() + *self.ahead.borrow()
    }

    /// Sets the machine's clock by milliseconds, as this clock sees it: forward, or back if negative.
    pub fn set(&self, by: i64) {
        self.ahead.send_modify(|ahead| *ahead += by);
    }

    /// Lets time pass for this clock and the machine's, wherever that one was set, and wakes the tasks whose moment has come.
    pub fn advance(&self, by: Duration) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).1 += millis_of(by);
        self.set(millis_of(by));
    }

    /// Waits for a moment in milliseconds since 1970.
    pub(crate) async fn sleep_until(&self, moment: i64) {
        let mut ahead = self.ahead.subscribe();
        loop {
            ahead.borrow_and_update();
            let left = u64::try_from(moment - self.now_millis()).unwrap_or(0);
            if left == 0 {
                return;
            }
            tokio::select! {
                // The sender lives as long as the clock.
                _ = ahead.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(left)) => {}
            }
        }
    }
}

fn millis_of(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

/// The machine's time, in milliseconds since 1970.
pub(crate) fn now_millis() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// The machine's time as AWS writes it in its messages: RFC 3339 with milliseconds.
pub(crate) fn now_rfc3339() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiting_task_wakes_when_the_clock_is_set_forward() {
        let clock = Clock::default();
        let moment = clock.now_millis() + 3_600_000;
        let waiting = clock.sleep_until(moment);
        tokio::join!(waiting, async {
            clock.advance(Duration::from_secs(1800));
            tokio::task::yield_now().await;
            assert!(clock.now_millis() < moment);
            clock.clone().advance(Duration::from_secs(1800));
        });
        assert!(clock.now_millis() >= moment);
        // A moment in the past is not waited for.
        clock.sleep_until(0).await;
    }

    #[tokio::test]
    async fn the_clock_runs_on_when_the_machines_is_set_back() {
        let clock = Clock::default();
        let before = clock.now_millis();
        clock.set(-86_400_000);
        assert!(clock.machine_millis() < before - 80_000_000);
        let moment = clock.now_millis() + 20;
        assert!((before..before + 10_000).contains(&clock.now_millis()));
        clock.sleep_until(moment).await;
        assert!(clock.now_millis() >= moment);
        clock.set(2 * 86_400_000);
        assert!(clock.now_millis() > before + 80_000_000, "a step forward is followed");
    }

    #[test]
    fn time_passes_while_the_machines_clock_is_behind() {
        let clock = Clock::default();
        let before = clock.now_millis();
        clock.set(-86_400_000);
        clock.advance(Duration::from_secs(3600));
        assert!((before + 3_600_000..before + 3_610_000).contains(&clock.now_millis()));
        assert!(clock.machine_millis() < before - 82_000_000);
    }
}
