use crate::{
    Ages, Claim, Deadlines, ImageType, Job, JobError, PortraitKey, Record, Revision, Sequencer, Status, Timestamp, keys,
};

/// A new upload, as image-processor has assessed it.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The portrait.
    pub id: PortraitKey,
    /// Place among the uploads of this id.
    pub sequencer: Sequencer,
    /// ETag of the photograph.
    pub etag: String,
    /// The revision of this photograph and these ages.
    pub revision: Revision,
    /// The ages that the client asked for; none where they cannot be read.
    pub ages: Option<Ages>,
    /// The id of the request that brought it.
    pub request: Option<String>,
    /// The verdict: the photograph's format, or why the job fails at once.
    pub accepted: Result<ImageType, JobError>,
}

/// What an upload event does to the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// A newer upload is recorded already: nothing to do.
    Stale,
    /// This upload is recorded already, and has ended or is claimed: nothing to do.
    Settled,
    /// The same work again: the record keeps its state and takes the newer sequencer.
    Same(Job),
    /// The job is to be recorded, and the endpoint to be invoked.
    Invoke(Job),
    /// The job is to be recorded, and left to the sweep: objects of this portrait are still being deleted.
    Later(Job),
    /// The job is to be recorded as failed.
    Refuse(Job),
}

impl Uploaded {
    /// The job that is to be recorded, if one is.
    pub fn job(&self) -> Option<&Job> {
        match self {
            Self::Stale | Self::Settled => None,
            Self::Same(job) | Self::Invoke(job) | Self::Later(job) | Self::Refuse(job) => Some(job),
        }
    }
}

impl Upload {
    /// Decides what the upload does to the portrait's current record.
    pub fn decide(&self, current: Option<&Record>, claim: &Claim, deadlines: &Deadlines) -> Uploaded {
        let job = match current {
            None => return self.begin(claim, deadlines, None),
            // Its attempt may still be in SageMaker's queue, and the photograph that is there now has a newer event.
            Some(Record::Tombstone(tombstone)) if tombstone.sequencer >= self.sequencer => return Uploaded::Stale,
            Some(Record::Tombstone(tombstone)) => return self.begin(claim, deadlines, tombstone.deleting_until),
            Some(Record::Job(job)) => job,
        };
        if job.sequencer > self.sequencer {
            return Uploaded::Stale;
        }
        let again = job.sequencer == self.sequencer;
        let same_work = job.revision == self.revision;
        match job.status {
            Status::Pending if (again || same_work) && job.may_claim(claim, deadlines) => {
                Uploaded::Invoke(Job { sequencer: self.sequencer.clone(), ..job.claimed(claim, deadlines) })
            }
            _ if again => Uploaded::Settled,
            Status::Pending | Status::Processing | Status::Success if same_work => {
                Uploaded::Same(Job { sequencer: self.sequencer.clone(), ..(**job).clone() })
            }
            _ => self.begin(claim, deadlines, job.deleting_until),
        }
    }

    /// Begins anew a job whose pictures are gone.
    pub fn again(&self, claim: &Claim, deadlines: &Deadlines) -> Uploaded {
        self.begin(claim, deadlines, None)
    }

    /// A new job, which waits for a deletion of the portrait's earlier objects.
    fn begin(&self, claim: &Claim, deadlines: &Deadlines, deleting_until: Option<Timestamp>) -> Uploaded {
        let (id, revision, sequencer) = (self.id.clone(), self.revision.clone(), self.sequencer.clone());
        let job = Job {
            ages: self.ages.clone(),
            etag: self.etag.clone(),
            request: self.request.clone(),
            input: keys::input(&id, &revision, &sequencer),
            ..Job::new(id, revision, sequencer, Status::Pending, claim.now)
        };
        let format = match &self.accepted {
            Ok(format) => format,
            Err(error) => {
                return Uploaded::Refuse(Job { status: Status::Failed, error: Some(error.clone()), ..job });
            }
        };
        let job = Job { content_type: format.as_str().to_owned(), ..job };
        match deleting_until.filter(|until| !deadlines.has_passed(*until, claim.now)) {
            Some(until) => Uploaded::Later(Job { due_at: until, deleting_until: Some(until), ..job }),
            None => Uploaded::Invoke(job.claimed(claim, deadlines)),
        }
    }
}
