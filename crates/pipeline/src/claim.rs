use crate::{Deadlines, Job, Status, Timestamp};

/// A Lambda request's claim on invoking the endpoint for a job, so that one request at a time does.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The Lambda request id.
    pub by: String,
    /// Now.
    pub now: Timestamp,
}

impl Job {
    /// `PENDING`, and no other request holds a claim: claimed. The caller has to invoke the endpoint.
    pub fn reclaim(&self, claim: &Claim, deadlines: &Deadlines) -> Option<Self> {
        (self.status == Status::Pending && self.may_claim(claim, deadlines)).then(|| self.claimed(claim, deadlines))
    }

    pub(crate) fn may_claim(&self, claim: &Claim, deadlines: &Deadlines) -> bool {
        deadlines.has_passed(self.due_at, claim.now) || self.claimed_by.as_deref() == Some(&claim.by)
    }

    pub(crate) fn claimed(&self, claim: &Claim, deadlines: &Deadlines) -> Self {
        Self {
            claimed_by: Some(claim.by.clone()),
            due_at: claim.now.plus_seconds(deadlines.claim_seconds),
            deleting_until: None,
            ..self.clone()
        }
    }
}
