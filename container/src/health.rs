//! Whether an invocation would be served: what `GET /ping` says.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why no invocation is served now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unhealthy {
    /// The model is still being loaded, or has not run once.
    #[error("the model is being loaded: try again in a second")]
    Loading,
    /// The server is stopping.
    #[error("the server is stopping: another one would work")]
    Draining,
    /// One step of the model has taken longer than it may.
    #[error("one step of the model has taken {} s so far: the server has to be started again", .0.as_secs())]
    Wedged(Duration),
    /// The model's thread has ended.
    #[error("the model's thread has ended: the server has to be started again")]
    Dead,
}

#[derive(Debug, Default)]
struct State {
    loaded: bool,
    draining: bool,
    dead: bool,
    /// When the step began that is running.
    working: Option<Instant>,
}

/// Whether an invocation would be served.
#[derive(Debug)]
pub(crate) struct Health {
    state: Mutex<State>,
    /// How long a step may take.
    limit: Duration,
}

impl Health {
    /// The health of a server that has begun to load its model.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { state: Mutex::default(), limit }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model is loaded, and has run once.
    pub(crate) fn loaded(&self) {
        self.state().loaded = true;
    }

    /// The model is being loaded again.
    pub(crate) fn loading(&self) {
        self.state().loaded = false;
    }

    /// The server stops when its work is done.
    pub(crate) fn draining(&self) {
        self.state().draining = true;
    }

    /// The worker has ended for good.
    pub(crate) fn dead(&self) {
        self.state().dead = true;
    }

    /// A step begins (`Some`), or ends (`None`).
    pub(crate) fn working(&self, since: Option<Instant>) {
        self.state().working = since;
    }

    /// Whether an invocation would be served.
    ///
    /// # Errors
    /// [`Unhealthy`]: why not.
    pub(crate) fn check(&self) -> Result<(), Unhealthy> {
        let state = self.state();
        let working = state.working.map_or(Duration::ZERO, |since| since.elapsed());
        if state.dead {
            Err(Unhealthy::Dead)
        } else if state.draining {
            Err(Unhealthy::Draining)
        } else if !state.loaded {
            Err(Unhealthy::Loading)
        } else if working > self.limit {
            Err(Unhealthy::Wedged(working))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_loading_to_draining() {
        let health = Health::new(Duration::from_secs(60));
        assert_eq!(health.check(), Err(Unhealthy::Loading));
        health.loaded();
        assert_eq!(health.check(), Ok(()));
        health.working(Some(Instant::now()));
        assert_eq!(health.check(), Ok(()));
        health.loading();
        assert_eq!(health.check(), Err(Unhealthy::Loading));
        health.loaded();
        health.draining();
        assert_eq!(health.check(), Err(Unhealthy::Draining));
        health.dead();
        assert_eq!(health.check(), Err(Unhealthy::Dead));
    }

    #[test]
    fn a_step_that_takes_too_long_is_wedged_until_it_ends() {
        let health = Health::new(Duration::ZERO);
        health.loaded();
        health.working(Some(Instant::now() - Duration::from_secs(5)));
        assert!(matches!(health.check(), Err(Unhealthy::Wedged(time)) if time.as_secs() == 5));
        health.working(None);
        assert_eq!(health.check(), Ok(()));
    }
}
