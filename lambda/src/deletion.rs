//! Deletes a portrait: its upload, its record, and its other objects.
//!
//! A portrait that was put before the `DELETE` was sent is gone afterwards, even if its event is still on its way:
//!
//! 1. `DELETE` reads the record, removes the upload, and then writes the record, on the condition that it is unchanged.
//! 2. An upload's event reads the record, looks at the upload, and then writes the record, on the same condition.
//!
//! If the event's write comes first, the `DELETE` reads and decides again. If the `DELETE`'s comes first, the event's write fails.
//! The function reads the record and looks at the upload again, which is gone, or was put after the removal. The condition would
//! not notice a record that was deleted and never replaced. So a complete deletion leaves a tombstone.
//!
//! S3 cannot distinguish an image from one that has replaced it, so a deletion must not meet the images of a newer upload. While
//! the record is marked as being deleted, new uploads of the id wait (`Job::withdrawn`, `Tombstone`, `Uploaded::Later`).

use pipeline::{Deleted, Job, PortraitKey, Record, Tombstone, keys};

use crate::error::HandlerError;
use crate::jobs::Jobs;
use crate::objects::Objects;
use crate::{Clock, Settings};

/// Deletes portraits.
pub(crate) struct Deletion<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) objects: &'a Objects,
    pub(crate) jobs: &'a Jobs,
    pub(crate) clock: &'a Clock,
}

/// The result of a client's `DELETE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There was neither a job nor an object.
    Nothing,
    /// The running job is cancelled, and its upload is removed.
    Cancelled(Box<Job>),
    /// The record and all objects are deleted.
    Deleted,
    /// Another deletion of the portrait is in progress, or was interrupted moments ago.
    Busy,
}

impl Deletion<'_> {
    /// Cancels a running job, or deletes the record and every object of a portrait.
    pub(crate) async fn delete(&self, id: &PortraitKey) -> Result<Outcome, HandlerError> {
        let mut removed = false;
        loop {
            let current = self.jobs.get(id).await?;
            let now = self.clock.now();
            if current.as_ref().is_some_and(|record| record.is_being_deleted(now, &self.settings.deadlines())) {
                return Ok(Outcome::Busy);
            }
            removed |= self.remove_upload(id).await?;
            let has_job = current.as_ref().is_some_and(|record| record.job().is_some());
            let has_copies = !has_job && self.has_copies(id).await?;
            match Deleted::decide(id, current.as_ref(), has_copies, now, &self.settings.deadlines()) {
                Deleted::Busy => return Ok(Outcome::Busy),
                Deleted::Cancelled(job) => {
                    if self.jobs.put(&Record::Job(job.clone()), current.as_ref()).await? {
                        return Ok(Outcome::Cancelled(job));
                    }
                }
                Deleted::Begun(record) => {
                    if self.jobs.put(&record, current.as_ref()).await? {
                        self.finish(&record).await?;
                        return Ok(Outcome::Deleted);
                    }
                }
                // Even if nothing is there: an interrupted `DELETE` may have removed an upload that a function has looked at.
                Deleted::Complete(tombstone) => {
                    if self.jobs.put(&tombstone.into(), current.as_ref()).await? {
                        return Ok(if removed { Outcome::Deleted } else { Outcome::Nothing });
                    }
                }
            }
        }
    }

    /// Continues a deletion that was interrupted.
    pub(crate) async fn resume(&self, interrupted: &Record) -> Result<(), HandlerError> {
        let (now, deadlines) = (self.clock.now(), self.settings.deadlines());
        let withdrawn = match interrupted {
            Record::Job(job) => {
                let withdraw = self.jobs.update_attempt(job, |current| {
                    current.deleting_until?;
                    current.withdrawn(now, &deadlines)
                });
                withdraw.await?.map(Record::from)
            }
            Record::Tombstone(tombstone) => {
                let renew = |current: Option<&Record>| match current {
                    Some(Record::Tombstone(current)) => current.renewed(now, &deadlines).map(Record::from),
                    _ => None,
                };
                self.jobs.update(&tombstone.id, renew).await?
            }
        };
        match withdrawn {
            Some(withdrawn) => self.finish(&withdrawn).await,
            None => Ok(()),
        }
    }

    /// Deletes the images and input copies of an id that has no job. Its upload is kept: its event may still come. The objects are
    /// listed again after the tombstone is written, since only then no new ones are added.
    pub(crate) async fn erase(&self, id: &PortraitKey) -> Result<(), HandlerError> {
        if !self.has_copies(id).await? {
            return Ok(());
        }
        let (now, deadlines) = (self.clock.now(), self.settings.deadlines());
        let begin = |current: Option<&Record>| {
            let is_erased = current.is_none_or(|record| matches!(record, Record::Tombstone(was) if was.is_complete()));
            is_erased.then(|| Tombstone::begun(id, current, now, &deadlines).into())
        };
        match self.jobs.update(id, begin).await? {
            Some(begun) => self.finish(&begun).await,
            None => Ok(()),
        }
    }

    /// Deletes the images and copies of a record that the caller has marked as being deleted, and then the record.
    async fn finish(&self, deleted: &Record) -> Result<(), HandlerError> {
        let (input, output) = (&self.settings.input_bucket, &self.settings.output_bucket);
        let id = deleted.id();
        for (bucket, prefix) in [(output, keys::all_images(id)), (input, keys::inputs(id))] {
            let mut found = self.objects.keys(bucket, &prefix).await?;
            // Below `images/ann/` are also the portraits of an owner `ann`, if the tenancy has changed.
            found.retain(|key| keys::portrait(key).is_none_or(|portrait| portrait == *id));
            self.objects.delete_all(bucket, &found).await?;
        }
        if let Record::Job(job) = deleted {
            for location in [&job.output_location, &job.failure_location].into_iter().flatten() {
                if let Some((bucket, key)) = keys::split_location(location) {
                    self.objects.delete_all(bucket, &[key.to_owned()]).await?;
                }
            }
        }
        self.complete(deleted).await
    }

    /// Replaces a record whose objects are deleted by a tombstone. It is the last step, so that a crash leaves a record by which the
    /// sweep deletes the remaining objects. If a newer upload has replaced the record, its job has waited for this moment.
    async fn complete(&self, deleted: &Record) -> Result<(), HandlerError> {
        let complete = |current: Option<&Record>| match current {
            Some(current) if current == deleted => {
                Some(Tombstone::complete(deleted.id(), Some(current), self.clock.now()).into())
            }
            Some(Record::Job(job)) => job.released(deleted.deleting_until()?, self.clock.now()).map(Record::from),
            _ => None,
        };
        self.jobs.update(deleted.id(), complete).await.map(drop)
    }

    /// Removes the upload that is there now; false if none is. One that replaces it meanwhile is kept: it was put after the `DELETE`
    /// was sent.
    async fn remove_upload(&self, id: &PortraitKey) -> Result<bool, HandlerError> {
        let (bucket, key) = (&self.settings.input_bucket, keys::upload(id));
        let Some(etag) = self.objects.etag(bucket, &key).await? else { return Ok(false) };
        self.objects.delete_if_match(bucket, &key, &etag).await?;
        Ok(true)
    }

    /// Whether there are images or input copies of a portrait.
    async fn has_copies(&self, id: &PortraitKey) -> Result<bool, HandlerError> {
        let (input, output) = (&self.settings.input_bucket, &self.settings.output_bucket);
        Ok(self.objects.any(input, &keys::inputs(id)).await? || self.objects.any(output, &keys::all_images(id)).await?)
    }
}
