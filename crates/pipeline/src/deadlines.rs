use crate::Timestamp;

/// How long a job may stay in each state.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Seconds that a claim on a `PENDING` job lasts: the holder has to invoke the endpoint within them.
    pub claim_seconds: i64,
    /// Seconds after which a job that could not be invoked is given up.
    pub pending_seconds: i64,
    /// Seconds after the invocation in which SageMaker must have answered: time in its queue and time in the model.
    pub processing_seconds: i64,
    /// Seconds after the invocation at which the sweep first looks for the answer, in case its notice was lost. The intervals
    /// between later looks grow.
    pub first_look_seconds: i64,
    /// Seconds after which a deletion of a portrait's objects is over, complete or not.
    pub deletion_seconds: i64,
}

impl Deadlines {
    /// Whether a recorded moment has passed. One that is further ahead than any deadline was written before the clock was set back,
    /// and counts as passed: else its job would wait for as long as the clock was set back.
    pub fn has_passed(&self, moment: Timestamp, now: Timestamp) -> bool {
        moment <= now || moment > self.horizon(now)
    }

    /// The moment after which none is recorded.
    pub fn horizon(&self, now: Timestamp) -> Timestamp {
        let longest = [self.claim_seconds, self.processing_seconds, self.first_look_seconds, self.deletion_seconds];
        now.plus_seconds(longest.into_iter().max().unwrap_or_default())
    }
}
