use serde::{Deserialize, Serialize};

use crate::{Deadlines, Job, JobView, PortraitId, Revision, Sequencer, Status, Timestamp};

/// A record of the jobs table.
///
/// It is stored as a [`Job`]. A tombstone is stored as a `CANCELLED` job whose ETag is empty, which no upload's is: every version
/// of the functions reads and writes it so, and the index and the conditions of the table need the attributes of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Job", into = "Job")]
pub enum Record {
    /// The job of the portrait's newest upload.
    Job(Box<Job>),
    /// The portrait has no job, and its objects are being deleted.
    Tombstone(Tombstone),
}

/// Stands in for the missing record of a portrait while its objects are deleted, so that a new upload waits for the deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The client's name for the portrait.
    pub id: PortraitId,
    /// When the deletion first began.
    pub created_at: Timestamp,
    /// When the deletion last began.
    pub updated_at: Timestamp,
    /// When the deletion is over, complete or not.
    pub deleting_until: Timestamp,
}

impl Tombstone {
    /// The tombstone of a deletion that begins now.
    pub fn new(id: &PortraitId, now: Timestamp, deadlines: &Deadlines) -> Self {
        let deleting_until = now.plus_seconds(deadlines.deletion_seconds);
        Self { id: id.clone(), created_at: now, updated_at: now, deleting_until }
    }

    /// The tombstone as the caller continues an interrupted deletion; `None` while the deletion may still be in progress.
    pub fn renewed(&self, now: Timestamp, deadlines: &Deadlines) -> Option<Self> {
        (self.deleting_until <= now)
            .then(|| Self { created_at: self.created_at, ..Self::new(&self.id, now, deadlines) })
    }
}

impl Record {
    /// The portrait's id: the table's key.
    pub fn id(&self) -> &PortraitId {
        match self {
            Self::Job(job) => &job.id,
            Self::Tombstone(tombstone) => &tombstone.id,
        }
    }

    /// When this revision, or the deletion, was first recorded.
    pub fn created_at(&self) -> Timestamp {
        match self {
            Self::Job(job) => job.created_at,
            Self::Tombstone(tombstone) => tombstone.created_at,
        }
    }

    /// When the status last changed.
    pub fn updated_at(&self) -> Timestamp {
        match self {
            Self::Job(job) => job.updated_at,
            Self::Tombstone(tombstone) => tombstone.updated_at,
        }
    }

    /// The status; `CANCELLED` for a tombstone.
    pub fn status(&self) -> Status {
        match self {
            Self::Job(job) => job.status,
            Self::Tombstone(_) => Status::Cancelled,
        }
    }

    /// The job; `None` for a tombstone.
    pub fn job(&self) -> Option<&Job> {
        match self {
            Self::Job(job) => Some(job),
            Self::Tombstone(_) => None,
        }
    }

    /// The job; `None` for a tombstone.
    pub fn into_job(self) -> Option<Job> {
        match self {
            Self::Job(job) => Some(*job),
            Self::Tombstone(_) => None,
        }
    }

    /// Whether neither a result nor the sweep will change the record.
    pub fn is_settled(&self) -> bool {
        self.job().is_some_and(Job::is_settled)
    }

    /// Whether the sweep has to look at the record.
    pub fn is_due(&self, now: Timestamp) -> bool {
        match self {
            Self::Job(job) => job.is_due(now),
            Self::Tombstone(tombstone) => tombstone.deleting_until <= now,
        }
    }

    /// The record as the caller is about to delete the portrait's objects; `None` for a job that is not final, and while the
    /// objects are being deleted already.
    pub fn withdrawn(&self, now: Timestamp, deadlines: &Deadlines) -> Option<Self> {
        match self {
            Self::Job(job) => job.withdrawn(now, deadlines).map(Self::from),
            Self::Tombstone(tombstone) => tombstone.renewed(now, deadlines).map(Self::from),
        }
    }

    /// The record as clients see it.
    pub fn view(&self) -> JobView {
        match self {
            Self::Job(job) => job.view(),
            Self::Tombstone(tombstone) => Job::from(tombstone.clone()).view(),
        }
    }
}

impl From<Job> for Record {
    fn from(job: Job) -> Self {
        match job.deleting_until {
            Some(deleting_until) if job.etag.is_empty() => {
                let Job { id, created_at, updated_at, .. } = job;
                Self::Tombstone(Tombstone { id, created_at, updated_at, deleting_until })
            }
            _ => Self::Job(Box::new(job)),
        }
    }
}

impl From<Tombstone> for Record {
    fn from(tombstone: Tombstone) -> Self {
        Self::Tombstone(tombstone)
    }
}

impl From<Record> for Job {
    fn from(record: Record) -> Self {
        match record {
            Record::Job(job) => *job,
            Record::Tombstone(tombstone) => tombstone.into(),
        }
    }
}

impl From<Tombstone> for Job {
    fn from(tombstone: Tombstone) -> Self {
        let Tombstone { id, created_at, updated_at, deleting_until } = tombstone;
        Self {
            created_at,
            deleting_until: Some(deleting_until),
            ..Self::new(id, Revision::new("", ""), Sequencer::new(""), Status::Cancelled, updated_at)
        }
    }
}
