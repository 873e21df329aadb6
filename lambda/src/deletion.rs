//! Deletes a portrait: its objects, and then its record.
//!
//! S3 cannot distinguish an object from one that has replaced it, so a deletion must not meet the objects of a newer upload. While
//! the record is marked as being deleted, new uploads of the id wait (`Job::withdrawn`, `Tombstone`, `Uploaded::Later`).

use pipeline::{PortraitId, Record, Tombstone, keys};

use crate::error::HandlerError;
use crate::jobs::{Change, Jobs};
use crate::objects::Objects;
use crate::{Clock, Settings};

/// Deletes portraits.
pub(crate) struct Deletion<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) objects: &'a Objects,
    pub(crate) jobs: &'a Jobs,
    pub(crate) clock: &'a Clock,
}

/// The result of deleting objects that have no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Erased {
    /// There were no objects.
    Nothing,
    /// All objects are deleted.
    All,
    /// A record was written meanwhile, and owns the objects.
    Owned,
}

impl Deletion<'_> {
    /// Deletes the objects of a record that the caller has withdrawn, and then the record. False if a newer upload has replaced
    /// the record meanwhile.
    pub(crate) async fn finish(&self, withdrawn: &Record) -> Result<bool, HandlerError> {
        if let Record::Job(job) = withdrawn {
            // A newer upload has another ETag, and is kept.
            self.objects.delete_if_match(&self.settings.input_bucket, &keys::upload(&job.id), &job.etag).await?;
        }
        self.delete_copies(withdrawn.id()).await?;
        if let Record::Job(job) = withdrawn {
            for location in [&job.output_location, &job.failure_location].into_iter().flatten() {
                if let Some((bucket, key)) = keys::split_location(location) {
                    self.objects.delete_all(bucket, &[key.to_owned()]).await?;
                }
            }
        }
        self.forget(withdrawn).await
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
                    Some(Record::Tombstone(current)) => current.renewed(now, &deadlines).map(Record::from).into(),
                    _ => Change::Keep,
                };
                self.jobs.update(&tombstone.id, renew).await?.written()
            }
        };
        if let Some(withdrawn) = withdrawn {
            self.finish(&withdrawn).await?;
        }
        Ok(())
    }

    /// Deletes the objects of an id that has no record, and its upload if `upload_too`. They are listed again after the
    /// tombstone is written, since only then no new ones are added.
    pub(crate) async fn erase(&self, id: &PortraitId, upload_too: bool) -> Result<Erased, HandlerError> {
        let (input, output) = (&self.settings.input_bucket, &self.settings.output_bucket);
        let upload = keys::upload(id);
        let uploaded = upload_too && self.objects.keys(input, &upload).await?.contains(&upload);
        let copies = !self.objects.keys(input, &keys::inputs(id)).await?.is_empty()
            || !self.objects.keys(output, &keys::all_images(id)).await?.is_empty();
        if !uploaded && !copies {
            return Ok(Erased::Nothing);
        }
        let tombstone = Record::from(Tombstone::new(id, self.clock.now(), &self.settings.deadlines()));
        let bury = |current: Option<&Record>| match current {
            None => Change::Put(tombstone.clone()),
            Some(_) => Change::Keep,
        };
        if self.jobs.update(id, bury).await? == Change::Keep {
            return Ok(Erased::Owned);
        }
        if uploaded {
            self.objects.delete_all(input, &[upload]).await?;
        }
        self.finish(&tombstone).await?;
        Ok(Erased::All)
    }

    /// Deletes every image and every input copy of a portrait.
    async fn delete_copies(&self, id: &PortraitId) -> Result<(), HandlerError> {
        let (input, output) = (&self.settings.input_bucket, &self.settings.output_bucket);
        self.objects.delete_all(output, &self.objects.keys(output, &keys::all_images(id)).await?).await?;
        self.objects.delete_all(input, &self.objects.keys(input, &keys::inputs(id)).await?).await
    }

    /// Deletes a record whose objects are deleted. It is the last step, so that a crash leaves a record by which the sweep deletes
    /// the remaining objects.
    async fn forget(&self, deleted: &Record) -> Result<bool, HandlerError> {
        let forget = |current: Option<&Record>| match current {
            Some(current) if current == deleted => Change::Delete,
            _ => Change::Keep,
        };
        Ok(self.jobs.update(deleted.id(), forget).await? == Change::Delete)
    }
}
