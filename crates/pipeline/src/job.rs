use serde::{Deserialize, Serialize};

use crate::{Ages, JobError, PortraitId, Revision, Sequencer, Timestamp, keys};

/// Where a job stands: `PENDING` (seen) → `PROCESSING` (invoked) → `SUCCESS`, `FAILED` or `CANCELLED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Recorded; the endpoint has not been invoked, as far as the record knows.
    Pending,
    /// The endpoint has accepted the invocation.
    Processing,
    /// The images are there.
    Success,
    /// There will be no images; `error` says why.
    Failed,
    /// The client wants none.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Processing, Self::Success, Self::Failed, Self::Cancelled];

    /// Whether nothing more will happen to the job by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }

    /// The status as it is written in JSON: `PENDING`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Processing => "PROCESSING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

/// The record of a portrait's newest upload. One per portrait id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// The client's name for the portrait: the table's key.
    pub id: PortraitId,
    /// Which photograph and ages.
    pub revision: Revision,
    /// Where the job stands.
    pub status: Status,
    /// The ages asked for; none only where the job failed for them.
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
    /// When this revision was first seen.
    pub created_at: Timestamp,
    /// When the status last changed.
    pub updated_at: Timestamp,
    /// The newest upload event that the record has taken in.
    pub sequencer: Sequencer,
    /// Key of the input copy of this attempt: what tells its results from those of an earlier attempt at the revision.
    pub input: String,
    /// ETag of the photograph.
    pub etag: String,
    /// Media type of the photograph.
    pub content_type: String,
    /// While `PENDING`: until when the claim on invoking it holds. While `PROCESSING`: when it is given up, if nothing came.
    pub due_at: Timestamp,
    /// While `PROCESSING`: when the sweep looks next whether an answer lies there that nobody told of.
    #[serde(default)]
    pub look_at: Option<Timestamp>,
    /// Until when whoever deletes the portrait's objects may be at it. A new upload waits that long, so that its objects are not
    /// among those deleted.
    #[serde(default)]
    pub deleting_until: Option<Timestamp>,
    /// Lambda request id of who claimed the invocation. A retry of the same request may go on where it broke off.
    #[serde(default)]
    pub claimed_by: Option<String>,
    /// `s3://` location of SageMaker's answer.
    #[serde(default)]
    pub output_location: Option<String>,
    /// `s3://` location of SageMaker's account of a failure.
    #[serde(default)]
    pub failure_location: Option<String>,
}

/// What a new upload amounts to.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The client's name for the portrait.
    pub id: PortraitId,
    /// Place among the uploads of this id.
    pub sequencer: Sequencer,
    /// ETag of the photograph.
    pub etag: String,
    /// The revision that photograph and ages make.
    pub revision: Revision,
    /// The ages asked for; none where they cannot be read.
    pub ages: Option<Ages>,
    /// The photograph's media type, or why the upload cannot be worked on.
    pub content_type: Result<&'static str, JobError>,
}

/// Who asks, when, and how long things may take.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The Lambda request id.
    pub by: String,
    /// Now.
    pub now: Timestamp,
}

/// How long a job may stay where it is.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Seconds in which whoever claimed a `PENDING` job must have invoked the endpoint.
    pub claim_seconds: i64,
    /// Seconds after which a job that could not be invoked is given up.
    pub pending_seconds: i64,
    /// Seconds after the invocation in which SageMaker must have answered: time in its queue and time in the model.
    pub processing_seconds: i64,
    /// Seconds after the invocation at which the sweep looks for the answer, should its notice not have come. It looks again
    /// ever less often.
    pub first_look_seconds: i64,
    /// Seconds in which whoever deletes a portrait's objects has ended, done or not.
    pub deletion_seconds: i64,
}

/// What an upload event does to the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// A newer upload was recorded before: nothing to do.
    Stale,
    /// The same work is done, or somebody is at it: nothing to do.
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

impl Job {
    /// Decides what an upload event does to the record there is.
    pub fn on_upload(current: Option<&Self>, upload: &Upload, claim: &Claim, deadlines: &Deadlines) -> Uploaded {
        let Some(job) = current else { return Self::begin(upload, claim, deadlines, None) };
        if job.sequencer > upload.sequencer {
            return Uploaded::Stale;
        }
        let again = job.sequencer == upload.sequencer;
        let same_work = job.revision == upload.revision;
        match job.status {
            Status::Pending if (again || same_work) && job.may_claim(claim) => {
                Uploaded::Invoke(Self { sequencer: upload.sequencer.clone(), ..job.claimed(claim, deadlines) })
            }
            _ if again => Uploaded::Settled,
            Status::Pending | Status::Processing | Status::Success if same_work => {
                Uploaded::Same(Self { sequencer: upload.sequencer.clone(), ..job.clone() })
            }
            _ => Self::begin(upload, claim, deadlines, job.deleting_until.filter(|until| *until > claim.now)),
        }
    }

    fn begin(upload: &Upload, claim: &Claim, deadlines: &Deadlines, wait: Option<Timestamp>) -> Uploaded {
        let job = Self {
            id: upload.id.clone(),
            revision: upload.revision.clone(),
            status: Status::Pending,
            ages: upload.ages.clone(),
            model: None,
            error: None,
            extension: None,
            created_at: claim.now,
            updated_at: claim.now,
            sequencer: upload.sequencer.clone(),
            input: keys::input(&upload.id, &upload.revision, &upload.sequencer),
            etag: upload.etag.clone(),
            content_type: String::new(),
            due_at: claim.now,
            look_at: None,
            deleting_until: None,
            claimed_by: None,
            output_location: None,
            failure_location: None,
        };
        match &upload.content_type {
            Ok(content_type) => {
                let job = Self { content_type: (*content_type).to_owned(), ..job };
                match wait {
                    Some(until) => Uploaded::Later(Self { due_at: until, ..job }),
                    None => Uploaded::Invoke(job.claimed(claim, deadlines)),
                }
            }
            Err(error) => Uploaded::Refuse(Self { status: Status::Failed, error: Some(error.clone()), ..job }),
        }
    }

    fn may_claim(&self, claim: &Claim) -> bool {
        self.due_at <= claim.now || self.claimed_by.as_deref() == Some(&claim.by)
    }

    fn claimed(&self, claim: &Claim, deadlines: &Deadlines) -> Self {
        Self {
            claimed_by: Some(claim.by.clone()),
            due_at: claim.now.plus_seconds(deadlines.claim_seconds),
            ..self.clone()
        }
    }

    /// `PENDING`, with nobody at it: claimed, to be invoked by the caller.
    pub fn reclaim(&self, claim: &Claim, deadlines: &Deadlines) -> Option<Self> {
        (self.status == Status::Pending && self.may_claim(claim)).then(|| self.claimed(claim, deadlines))
    }

    /// `PENDING` → `PROCESSING`: the endpoint accepted the invocation and named where it will write.
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

    /// Not yet final → `SUCCESS`. A result may overtake the record of its invocation, so `PENDING` will do.
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

    /// `PROCESSING`, and no answer lies there yet: the next look comes after as much time again.
    pub fn looked(&self, now: Timestamp, deadlines: &Deadlines) -> Option<Self> {
        let seconds = (now.as_millis() - self.updated_at.as_millis()) / 1000;
        let next = now.plus_seconds(seconds.max(deadlines.first_look_seconds));
        (self.status == Status::Processing).then(|| Self { look_at: Some(next), ..self.clone() })
    }

    /// Final → `CANCELLED`: its objects are about to be deleted by the caller, who is the only one at it until that time is over.
    /// Should it break off, the sweep goes on with it.
    pub fn withdrawn(&self, now: Timestamp, deadlines: &Deadlines) -> Option<Self> {
        (self.status.is_final() && !self.is_being_deleted(now)).then(|| Self {
            status: Status::Cancelled,
            updated_at: now,
            due_at: now,
            deleting_until: Some(now.plus_seconds(deadlines.deletion_seconds)),
            ..self.clone()
        })
    }

    /// What stands in for a record that is not there while the objects of its portrait are deleted.
    pub fn tombstone(id: &PortraitId, now: Timestamp, deadlines: &Deadlines) -> Self {
        Self {
            id: id.clone(),
            revision: Revision::new("", ""),
            status: Status::Cancelled,
            ages: None,
            model: None,
            error: None,
            extension: None,
            created_at: now,
            updated_at: now,
            sequencer: Sequencer::new(""),
            input: String::new(),
            etag: String::new(),
            content_type: String::new(),
            due_at: now,
            look_at: None,
            deleting_until: Some(now.plus_seconds(deadlines.deletion_seconds)),
            claimed_by: None,
            output_location: None,
            failure_location: None,
        }
    }

    /// Whether somebody may still be deleting the portrait's objects.
    pub fn is_being_deleted(&self, now: Timestamp) -> bool {
        self.deleting_until.is_some_and(|until| until > now)
    }

    /// Whether nothing is left to be done about the job: it is final, and not being deleted.
    pub fn is_settled(&self) -> bool {
        self.status.is_final() && self.deleting_until.is_none()
    }

    fn ended(&self, status: Status, now: Timestamp) -> Option<Self> {
        (!self.status.is_final()).then(|| Self {
            status,
            updated_at: now,
            due_at: now,
            look_at: None,
            claimed_by: None,
            ..self.clone()
        })
    }

    /// Whether the sweep has to look at the job.
    pub fn is_due(&self, now: Timestamp) -> bool {
        match self.status {
            Status::Pending => self.due_at <= now,
            Status::Processing => self.is_overdue(now) || self.look_at.is_some_and(|look| look <= now),
            // A deletion that broke off.
            Status::Success | Status::Failed | Status::Cancelled => {
                self.deleting_until.is_some_and(|until| until <= now)
            }
        }
    }

    /// Whether a `PROCESSING` job has waited for long enough.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.due_at <= now
    }

    /// Whether a `PENDING` job has been tried for long enough.
    pub fn is_given_up(&self, now: Timestamp, deadlines: &Deadlines) -> bool {
        self.created_at.plus_seconds(deadlines.pending_seconds) <= now
    }

    /// What a client sees of the job.
    pub fn view(&self) -> JobView {
        let ages = self.ages.clone().map(Vec::from).unwrap_or_default();
        let extension = self.extension.as_deref().unwrap_or("jpg");
        let panel = |(n, age): (usize, Option<u8>)| PanelView {
            age,
            path: format!("/{}", keys::panel(&self.id, &self.revision, n, extension)),
        };
        let images = match self.status {
            Status::Success => {
                std::iter::once(None).chain(ages.iter().copied().map(Some)).enumerate().map(panel).collect()
            }
            _ => Vec::new(),
        };
        JobView {
            id: self.id.clone(),
            revision: self.revision.clone(),
            status: self.status,
            ages,
            model: self.model.clone(),
            images,
            error: self.error.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// A job as the HTTP API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// The client's name for the portrait.
    pub id: PortraitId,
    /// Which photograph and ages.
    pub revision: Revision,
    /// Where the job stands.
    pub status: Status,
    /// The ages asked for; empty where they could not be read.
    pub ages: Vec<u8>,
    /// The engine that made the images.
    pub model: Option<String>,
    /// The images, once the status is `SUCCESS`: the aligned original, then each age.
    pub images: Vec<PanelView>,
    /// Why the job failed.
    pub error: Option<JobError>,
    /// When this revision was first seen.
    pub created_at: Timestamp,
    /// When the status last changed.
    pub updated_at: Timestamp,
}

/// One image of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanelView {
    /// The age; none for the aligned original.
    pub age: Option<u8>,
    /// The path on the REST API.
    pub path: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    const DEADLINES: Deadlines = Deadlines {
        claim_seconds: 30,
        pending_seconds: 600,
        processing_seconds: 900,
        first_look_seconds: 60,
        deletion_seconds: 40,
    };

    fn upload(sequencer: &str, etag: &str) -> Upload {
        let ages = Ages::default();
        Upload {
            id: "ada".parse().unwrap(),
            sequencer: Sequencer::new(sequencer),
            etag: etag.into(),
            revision: Revision::new(etag, &ages.to_string()),
            ages: Some(ages),
            content_type: Ok("image/png"),
        }
    }

    fn claim(by: &str, seconds: i64) -> Claim {
        Claim { by: by.into(), now: Timestamp::from_millis(seconds * 1000) }
    }

    fn on_upload(current: Option<&Job>, upload: &Upload, claim: &Claim) -> Uploaded {
        Job::on_upload(current, upload, claim, &DEADLINES)
    }

    fn pending(sequencer: &str, etag: &str) -> Job {
        match on_upload(None, &upload(sequencer, etag), &claim("r1", 0)) {
            Uploaded::Invoke(job) => job,
            other => panic!("{other:?}"),
        }
    }

    fn processing(job: &Job) -> Job {
        job.processing(Some("s3://o/1"), Some("s3://f/1"), Timestamp::from_millis(1), &DEADLINES).unwrap()
    }

    #[test]
    fn the_newest_upload_wins_in_any_order() {
        let job = pending("02", "b");
        assert_eq!(on_upload(Some(&job), &upload("01", "a"), &claim("r2", 1)), Uploaded::Stale);
        let Uploaded::Invoke(newer) = on_upload(Some(&job), &upload("03", "c"), &claim("r3", 1)) else {
            panic!("not invoked")
        };
        assert_eq!(newer.etag, "c");
        assert_ne!(newer.revision, job.revision);
        assert_eq!(newer.created_at, Timestamp::from_millis(1000));
    }

    #[test]
    fn the_same_work_is_invoked_once() {
        let job = pending("01", "a");
        for job in [job.clone(), processing(&job), processing(&job).success(None, "jpg", job.created_at).unwrap()] {
            let Uploaded::Same(same) = on_upload(Some(&job), &upload("02", "a"), &claim("r2", 1)) else {
                panic!("not the same: {job:?}")
            };
            assert_eq!(same, Job { sequencer: Sequencer::new("02"), ..job });
        }
    }

    #[test]
    fn a_duplicate_event_changes_nothing() {
        let job = pending("01", "a");
        for job in [job.clone(), processing(&job), processing(&job).cancelled(job.created_at).unwrap()] {
            assert_eq!(on_upload(Some(&job), &upload("01", "a"), &claim("r2", 1)), Uploaded::Settled);
        }
    }

    #[test]
    fn a_retry_of_the_claimant_goes_on_and_a_late_one_takes_over() {
        let job = pending("01", "a");
        assert!(matches!(on_upload(Some(&job), &upload("01", "a"), &claim("r1", 1)), Uploaded::Invoke(_)));
        assert!(matches!(on_upload(Some(&job), &upload("01", "a"), &claim("r2", 30)), Uploaded::Invoke(_)));
        assert_eq!(job.reclaim(&claim("sweep", 29), &DEADLINES), None);
        let reclaimed = job.reclaim(&claim("sweep", 30), &DEADLINES).unwrap();
        assert_eq!(reclaimed.due_at, Timestamp::from_millis(60_000));
        assert_eq!(reclaimed.reclaim(&claim("other", 31), &DEADLINES), None);
    }

    #[test]
    fn a_failed_or_cancelled_job_starts_again_apart_from_its_late_results() {
        let job = processing(&pending("01", "a"));
        let error = JobError::new(ErrorCode::ModelError, "x");
        for ended in [job.failed(error, job.created_at).unwrap(), job.cancelled(job.created_at).unwrap()] {
            let Uploaded::Invoke(again) = on_upload(Some(&ended), &upload("02", "a"), &claim("r2", 1)) else {
                panic!("not again")
            };
            assert_eq!(again.revision, job.revision);
            assert_ne!(again.input, job.input);
            assert_eq!(again.error, None);
        }
    }

    #[test]
    fn bad_work_is_refused_at_once() {
        let error = JobError::new(ErrorCode::InvalidAges, "x");
        let bad = Upload { ages: None, content_type: Err(error.clone()), ..upload("01", "a") };
        let Uploaded::Refuse(job) = on_upload(None, &bad, &claim("r1", 0)) else { panic!("not refused") };
        assert_eq!((job.status, job.error.clone()), (Status::Failed, Some(error)));
        assert!(job.view().ages.is_empty());
    }

    #[test]
    fn nothing_leaves_a_final_state() {
        let job = processing(&pending("01", "a"));
        let now = Timestamp::from_millis(5);
        let error = JobError::new(ErrorCode::Timeout, "x");
        let ends = [
            job.success(Some("sam"), "jpg", now).unwrap(),
            job.failed(error.clone(), now).unwrap(),
            job.cancelled(now).unwrap(),
        ];
        for end in ends {
            assert!(end.status.is_final() && !end.is_due(Timestamp::from_millis(i64::MAX)));
            assert_eq!(end.processing(None, None, now, &DEADLINES), None);
            assert_eq!(end.success(None, "jpg", now), None);
            assert_eq!(end.failed(error.clone(), now), None);
            assert_eq!(end.cancelled(now), None);
            assert_eq!(end.reclaim(&claim("r", i64::MAX / 2000), &DEADLINES), None);
        }
        assert_eq!(job.processing(None, None, now, &DEADLINES), None, "invoked twice");
        assert!(job.is_due(job.due_at) && !job.is_due(now));
        assert_eq!(job.withdrawn(now, &DEADLINES), None, "it still runs");
    }

    #[test]
    fn a_job_without_a_notice_is_looked_at_ever_less_often() {
        let job = processing(&pending("01", "a"));
        let at = |seconds: i64| Timestamp::from_millis(1 + seconds * 1000);
        assert!(!job.is_due(at(59)) && job.is_due(at(60)) && !job.is_overdue(at(60)));
        let looked = job.looked(at(70), &DEADLINES).unwrap();
        assert_eq!(looked.look_at, Some(at(140)));
        assert_eq!(looked.looked(at(300), &DEADLINES).unwrap().look_at, Some(at(600)));
        assert_eq!(looked.due_at, job.due_at, "the deadline stays");
        assert!(looked.is_due(at(900)) && looked.is_overdue(at(900)));
        assert_eq!(job.success(None, "jpg", at(80)).unwrap().looked(at(90), &DEADLINES), None);
    }

    #[test]
    fn one_deletes_and_a_new_upload_waits_for_it() {
        let job = processing(&pending("01", "a")).success(None, "jpg", Timestamp::from_millis(5)).unwrap();
        let now = Timestamp::from_millis(1000);
        for deleted in [job.withdrawn(now, &DEADLINES).unwrap(), Job::tombstone(&job.id, now, &DEADLINES)] {
            assert!(deleted.is_being_deleted(now) && !deleted.is_settled() && !deleted.is_due(now));
            assert_eq!(deleted.withdrawn(now, &DEADLINES), None, "somebody else is at it");
            let Uploaded::Later(later) = on_upload(Some(&deleted), &upload("02", "a"), &claim("r2", 2)) else {
                panic!("not later")
            };
            assert_eq!((later.status, Some(later.due_at)), (Status::Pending, deleted.deleting_until));
            assert_eq!(later.reclaim(&claim("sweep", 40), &DEADLINES), None);
            assert!(later.reclaim(&claim("sweep", 41), &DEADLINES).is_some());
            let broken_off = now.plus_seconds(40);
            assert!(deleted.is_due(broken_off) && deleted.withdrawn(broken_off, &DEADLINES).is_some());
            assert!(matches!(on_upload(Some(&deleted), &upload("02", "a"), &claim("r2", 41)), Uploaded::Invoke(_)));
        }
        assert!(job.is_settled());
    }

    #[test]
    fn the_view_is_what_the_design_says() {
        let job = processing(&pending("01", "a")).success(Some("sam"), "jpg", Timestamp::from_millis(4456)).unwrap();
        let view = serde_json::to_value(job.view()).unwrap();
        let revision = job.revision.as_str();
        assert_eq!(
            view,
            serde_json::json!({"id": "ada", "revision": revision, "status": "SUCCESS", "ages": [20, 40, 60, 80],
                "model": "sam", "images": [
                    {"age": null, "path": format!("/images/ada/{revision}/0.jpg")},
                    {"age": 20, "path": format!("/images/ada/{revision}/1.jpg")},
                    {"age": 40, "path": format!("/images/ada/{revision}/2.jpg")},
                    {"age": 60, "path": format!("/images/ada/{revision}/3.jpg")},
                    {"age": 80, "path": format!("/images/ada/{revision}/4.jpg")}],
                "error": null, "createdAt": "1970-01-01T00:00:00.000Z", "updatedAt": "1970-01-01T00:00:04.456Z"})
        );
        assert!(pending("01", "a").view().images.is_empty());
    }
}
