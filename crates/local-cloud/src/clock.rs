//! Time: the machine's, and the clock of a cloud, which a test can advance.

use std::time::Duration;

use tokio::sync::watch;

/// The clock of queues, schedules and objects. Clones are the same clock.
///
/// Child processes and clients read the machine's clock, and timeouts of functions and model servers run by it.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Milliseconds ahead of the machine's clock.
    ahead: watch::Sender<i64>,
}

impl Default for Clock {
    /// The machine's time.
    fn default() -> Self {
        Self { ahead: watch::Sender::new(0) }
    }
}

impl Clock {
    /// Milliseconds since 1970.
    pub fn now_millis(&self) -> i64 {
        now_millis() + *self.ahead.borrow()
    }

    /// Sets the clock forward, and wakes the tasks whose moment has come.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 2);
        self.ahead.send_modify(|ahead| *ahead += by);
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
}
