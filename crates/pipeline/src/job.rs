//! A job's record, and the transitions that a result, the sweep or the client makes. They are pure functions: each returns the
//! record as it is to be written, or `None` if the transition does not apply.

use serde::{Deserialize, Serialize};

use crate::{Ages, Deadlines, JobError, PortraitKey, Revision, Sequencer, Status, Timestamp};

/// The record of a portrait's newest upload. One per portrait id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// The portrait: the table's key.
    pub id: PortraitKey,
    /// Identifies the photograph and the ages.
    pub revision: Revision,
    /// The job's state.
    pub status: Status,
    /// The ages that the client asked for; none only where the job failed because of them.
    pub ages: Option<Ages>,
    /// The engine that made the images: `sam` or `preview`.
    #[serde(default)]
    pub model: Option<String>,
    /// Why the job failed.
    #[serde(default)]
    pub error: Option<JobError>,
    /// File extension of the panels: `jpg` or `png`.
    #[serde(default)]
    pub extension: Option<String>,
    /// When this revision was first recorded.
    pub created_at: Timestamp,
    /// When the status last changed.
    pub updated_at: Timestamp,
    /// The newest upload event that the record reflects.
    pub sequencer: Sequencer,
    /// Key of this attempt's input copy. It distinguishes the attempt's results from those of an earlier attempt at the revision.
    pub input: String,
    /// ETag of the photograph.
    pub etag: String,
    /// Media type of the photograph.
    pub content_type: String,
    /// While `PENDING`: when the claim on the invocation expires. While `PROCESSING`: when the job is given up without an answer.
    pub due_at: Timestamp,
    /// While `PROCESSING`: when the sweep next looks for an answer whose notice was lost.
    #[serde(default)]
    pub look_at: Option<Timestamp>,
    /// When the deletion of the portrait's objects is over, complete or not. A new upload waits until then, so that the deletion
    /// cannot remove its objects. While `PENDING`: the job waits so.
    #[serde(default)]
    pub deleting_until: Option<Timestamp>,
    /// Lambda request id of the claim's holder. A retry of the same request may continue its work.
    #[serde(default)]
    pub claimed_by: Option<String>,
    /// `s3://` location of SageMaker's answer.
    #[serde(default)]
    pub output_location: Option<String>,
    /// `s3://` location of SageMaker's failure object.
    #[serde(default)]
    pub failure_location: Option<String>,
    /// The id of the request that brought the upload, by which the lines of all logs about it are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl Job {
    /// A record with these values, every other one empty, and all its times `now`.
    pub(crate) fn new(
        id: PortraitKey,
        revision: Revision,
        sequencer: Sequencer,
        status: Status,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            revision,
            status,
            ages: None,
            model: None,
            error: None,
            extension: None,
            created_at: now,
            updated_at: now,
            sequencer,
            input: String::new(),
            etag: String::new(),
            content_type: String::new(),
            due_at: now,
            look_at: None,
            deleting_until: None,
            claimed_by: None,
            output_location: None,
            failure_location: None,
            request: None,
        }
    }

    /// `PENDING` → `PROCESSING`: the endpoint accepted the invocation, and named the locations of its output.
    pub fn processing(
        &self,
        output: Option<&str>,
        failure: Option<&str>,
        now: Timestamp,
        deadlines: &Deadlines,
    ) -> Option<Self> {
        (self.status == Status::Pending).then(|| Self {
            status: Status::Processing,
            updated_at: now,
            due_at: now.plus_seconds(deadlines.processing_seconds),
            look_at: Some(now.plus_seconds(deadlines.first_look_seconds)),
            claimed_by: None,
            output_location: output.map(str::to_owned),
            failure_location: failure.map(str::to_owned),
            ..self.clone()
        })
    }

    /// Not yet final → `SUCCESS`. A result may overtake the record of its invocation, so the job may still be `PENDING`.
    pub fn success(&self, model: Option<&str>, extension: &str, now: Timestamp) -> Option<Self> {
        let job = self.ended(Status::Success, now)?;
        Some(Self { model: model.map(str::to_owned), extension: Some(extension.to_owned()), ..job })
    }

    /// Not yet final → `FAILED`.
    pub fn failed(&self, error: JobError, now: Timestamp) -> Option<Self> {
        Some(Self { error: Some(error), ..self.ended(Status::Failed, now)? })
    }

    /// Not yet final → `CANCELLED`.
    pub fn cancelled(&self, now: Timestamp) -> Option<Self> {
        self.ended(Status::Cancelled, now)
    }

    /// `PROCESSING`, and the sweep has found no answer: the interval to the next look is the time since the invocation, so the
    /// intervals double. After the deadline, which passes at once when the clock is set forward, the job is looked at once more.
    pub fn looked(&self, now: Timestamp, deadlines: &Deadlines) -> Option<Self> {
        let seconds = match self.due_at <= now {
            true => 0,
            false => (now.as_millis() - self.updated_at.as_millis()) / 1000,
        };
        let next = now.plus_seconds(seconds.max(deadlines.first_look_seconds));
        (self.status == Status::Processing).then(|| Self { look_at: Some(next), ..self.clone() })
    }

    /// Final → `CANCELLED`: the caller is about to delete the job's objects, and no other caller may until `deleting_until`. If the
    /// caller is interrupted, the sweep continues the deletion.
    pub fn withdrawn(&self, now: Timestamp, deadlines: &Deadlines) -> Option<Self> {
        let now = now.other_than(self.due_at);
        (self.status.is_final() && !self.is_being_deleted(now, deadlines)).then(|| Self {
            status: Status::Cancelled,
            updated_at: now,
            due_at: now,
            deleting_until: Some(now.plus_seconds(deadlines.deletion_seconds)),
            ..self.clone()
        })
    }

    /// `PENDING`, and waiting for a deletion that is over at `until`: the deletion is complete, and the job may start now.
    pub fn released(&self, until: Timestamp, now: Timestamp) -> Option<Self> {
        (self.status == Status::Pending && self.deleting_until == Some(until)).then(|| Self {
            due_at: now,
            deleting_until: None,
            ..self.clone()
        })
    }

    /// Whether the portrait's objects may still be in deletion.
    pub fn is_being_deleted(&self, now: Timestamp, deadlines: &Deadlines) -> bool {
        self.deleting_until.is_some_and(|until| !deadlines.has_passed(until, now))
    }

    /// Whether the job is final, and not withdrawn: neither a result nor the sweep will change it.
    pub fn is_settled(&self) -> bool {
        self.status.is_final() && self.deleting_until.is_none()
    }

    /// Whether the sweep has to look at the job.
    pub fn is_due(&self, now: Timestamp, deadlines: &Deadlines) -> bool {
        let has_passed = |moment| deadlines.has_passed(moment, now);
        match self.status {
            Status::Pending => has_passed(self.due_at),
            Status::Processing => has_passed(self.look_at.unwrap_or(self.due_at)) || self.is_overdue(now),
            // The deletion was interrupted.
            Status::Success | Status::Failed | Status::Cancelled => self.deleting_until.is_some_and(has_passed),
        }
    }

    /// Whether a `PROCESSING` job has reached its deadline, and was looked at as often as planned.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.due_at <= now && self.look_at.is_none_or(|look| look > self.due_at)
    }

    /// Whether a `PENDING` job has reached its deadline, and the endpoint was tried not long ago: the clock may have been set forward.
    pub fn is_given_up(&self, now: Timestamp, deadlines: &Deadlines) -> bool {
        let has_passed = |moment: Timestamp| moment.plus_seconds(deadlines.pending_seconds) <= now;
        has_passed(self.created_at) && !has_passed(self.due_at)
    }

    fn ended(&self, status: Status, now: Timestamp) -> Option<Self> {
        (!self.status.is_final()).then(|| Self {
            status,
            updated_at: now,
            due_at: now,
            look_at: None,
            deleting_until: None,
            claimed_by: None,
            ..self.clone()
        })
    }
}
