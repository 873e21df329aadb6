//! The time of a cloud: this machine's, or one that a test sets forward.

use std::time::Duration;

use tokio::sync::watch;

/// The clock that queues, schedules and objects go by. Clones are the same clock.
///
/// What child processes and clients take for the time is their own business, as are timeouts of functions and model servers.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Milliseconds ahead of this machine's clock.
    ahead: watch::Sender<i64>,
}

impl Default for Clock {
    /// This machine's time.
    fn default() -> Self {
        Self { ahead: watch::Sender::new(0) }
    }
}

impl Clock {
    /// Milliseconds since 1970.
    pub fn now_millis(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond() + *self.ahead.borrow()
    }

    /// Sets the clock forward, and wakes whoever waits for a moment that has come by that.
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
                // The sender lives as long as the clock that is borrowed here.
                _ = ahead.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(left)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_woken_when_the_clock_is_set_forward() {
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
        // What is over is not waited for.
        clock.sleep_until(0).await;
    }
}
