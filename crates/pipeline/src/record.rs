use crate::{Deadlines, Job, PortraitKey, Revision, Sequencer, Status, Timestamp};

/// A record of the jobs table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// The job of the portrait's newest upload.
    Job(Box<Job>),
    /// The portrait has no job, and is being deleted or was deleted.
    Tombstone(Tombstone),
}

/// Stands in for the missing record of a portrait. While objects are deleted, a new upload waits for the deletion. Afterwards, no
/// function that saw the portrait before the deletion can write a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tombstone {
    /// The portrait.
    pub id: PortraitKey,
    /// When the deletion first began.
    pub created_at: Timestamp,
    /// When the deletion last began, or was completed.
    pub updated_at: Timestamp,
    /// When the deletion is over, complete or not; none once it is complete.
    pub deleting_until: Option<Timestamp>,
    /// The newest upload event that the deleted record reflected; the smallest of all if there was no record. Repeated, that event
    /// must not begin another attempt under the same key.
    pub sequencer: Sequencer,
}

impl Tombstone {
    /// The tombstone of a deletion that begins now.
    pub fn begun(id: &PortraitKey, replaced: Option<&Record>, now: Timestamp, deadlines: &Deadlines) -> Self {
        let deleting_until = Some(now.plus_seconds(deadlines.deletion_seconds));
        Self { deleting_until, ..Self::complete(id, replaced, now) }
    }

    /// The tombstone of a deletion that is complete now. `replaced`: the record in whose place it is written.
    pub fn complete(id: &PortraitKey, replaced: Option<&Record>, now: Timestamp) -> Self {
        let (sequencer, now) = match replaced {
            Some(Record::Job(job)) => (job.sequencer.clone(), now),
            // With the sequencer, the time distinguishes any two tombstones of a portrait.
            Some(Record::Tombstone(earlier)) => (earlier.sequencer.clone(), now.later_than(earlier.updated_at)),
            None => (Sequencer::new(""), now),
        };
        Self { id: id.clone(), created_at: now, updated_at: now, deleting_until: None, sequencer }
    }

    /// Whether the deletion is complete.
    pub fn is_complete(&self) -> bool {
        self.deleting_until.is_none()
    }

    /// The tombstone as the caller continues an interrupted deletion; `None` if the deletion is complete, or may still be in
    /// progress.
    pub fn renewed(&self, now: Timestamp, deadlines: &Deadlines) -> Option<Self> {
        let now = now.other_than(self.updated_at);
        deadlines.has_passed(self.deleting_until?, now).then(|| Self {
            updated_at: now,
            deleting_until: Some(now.plus_seconds(deadlines.deletion_seconds)),
            ..self.clone()
        })
    }
}

impl Record {
    /// The portrait: the table's key.
    pub fn id(&self) -> &PortraitKey {
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
    pub fn is_due(&self, now: Timestamp, deadlines: &Deadlines) -> bool {
        match self {
            Self::Job(job) => job.is_due(now, deadlines),
            Self::Tombstone(tombstone) => {
                tombstone.deleting_until.is_some_and(|until| deadlines.has_passed(until, now))
            }
        }
    }

    /// Whether objects of the portrait may be in deletion now.
    pub fn is_being_deleted(&self, now: Timestamp, deadlines: &Deadlines) -> bool {
        self.deleting_until().is_some_and(|until| !deadlines.has_passed(until, now))
    }

    /// When a deletion of the portrait's objects is over, complete or not; none if none has begun, or it is complete.
    pub fn deleting_until(&self) -> Option<Timestamp> {
        match self {
            Self::Job(job) => job.deleting_until,
            Self::Tombstone(tombstone) => tombstone.deleting_until,
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

    /// The job as which the record is stored; `None` for the tombstone of a complete deletion, which is stored as no job.
    ///
    /// A deletion in progress is stored as a `CANCELLED` job whose ETag is empty, which no upload's is: every version of the
    /// functions reads and writes it so, and the sweep finds it by the attributes of a job.
    pub fn stored(&self) -> Option<Job> {
        match self {
            Self::Job(job) => Some((**job).clone()),
            Self::Tombstone(Tombstone { id, created_at, updated_at, deleting_until, sequencer }) => {
                let deleting_until = Some((*deleting_until)?);
                let (nothing, sequencer) = (Revision::new("", ""), sequencer.clone());
                let job = Job::new(id.clone(), nothing, sequencer, Status::Cancelled, *updated_at);
                Some(Job { created_at: *created_at, deleting_until, ..job })
            }
        }
    }
}

impl From<Job> for Record {
    fn from(job: Job) -> Self {
        if job.etag.is_empty() && job.deleting_until.is_some() {
            let Job { id, created_at, updated_at, deleting_until, sequencer, .. } = job;
            return Self::Tombstone(Tombstone { id, created_at, updated_at, deleting_until, sequencer });
        }
        Self::Job(Box::new(job))
    }
}

impl From<Tombstone> for Record {
    fn from(tombstone: Tombstone) -> Self {
        Self::Tombstone(tombstone)
    }
}
