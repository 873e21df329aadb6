//! The objects of a portrait are deleted by one at a time, and its record after them.
//!
//! S3 cannot tell an object from one that was written in its place, so a deletion must not meet the objects of a newer upload:
//! while the record says that somebody deletes, new uploads of the id wait (`Job::withdrawn`, `Uploaded::Later`).

use aws_sdk_s3::types::{Delete, Object, ObjectIdentifier};
use pipeline::{Job, PortraitId, keys};

use crate::error::HandlerError;
use crate::jobs::{Change, Jobs};
use crate::upload::is_gone;
use crate::{Clock, Settings};

/// What a deletion needs.
pub(crate) struct Deletion<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) s3: &'a aws_sdk_s3::Client,
    pub(crate) jobs: &'a Jobs,
    pub(crate) clock: &'a Clock,
}

/// What came of deleting objects that have no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Erased {
    /// There were none.
    Nothing,
    /// All of them are gone.
    All,
    /// There is a record by now, whose objects they are.
    Owned,
}

impl Deletion<'_> {
    /// Deletes the objects of a job that the caller has withdrawn, and then its record. False if a newer upload came in
    /// meanwhile, whose record it is now.
    pub(crate) async fn finish(&self, withdrawn: &Job) -> Result<bool, HandlerError> {
        let upload = self.s3.delete_object().bucket(&self.settings.input_bucket).key(keys::upload(&withdrawn.id));
        // A newer one is not this job's.
        match upload.if_match(&withdrawn.etag).send().await {
            Ok(_) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(HandlerError::aws("s3:DeleteObject of the upload")(error)),
        }
        self.copies(&withdrawn.id).await?;
        for location in [&withdrawn.output_location, &withdrawn.failure_location].into_iter().flatten() {
            if let Some((bucket, key)) = keys::split_location(location) {
                self.delete(bucket, &[key.to_owned()]).await?;
            }
        }
        self.forget(withdrawn).await
    }

    /// Goes on with a deletion that broke off.
    pub(crate) async fn resume(&self, job: &Job) -> Result<(), HandlerError> {
        let withdraw = |current: Option<&Job>| {
            let same = current.filter(|current| current.input == job.input && current.deleting_until.is_some());
            Change::from(same.and_then(|job| job.withdrawn(self.clock.now(), &self.settings.deadlines())))
        };
        match self.jobs.update(&job.id, withdraw).await? {
            // Without an etag it stands in for a record that was not there.
            Change::Put(tombstone) if tombstone.etag.is_empty() => {
                self.copies(&tombstone.id).await?;
                self.forget(&tombstone).await?;
            }
            Change::Put(withdrawn) => _ = self.finish(&withdrawn).await?,
            Change::Keep | Change::Delete => {}
        }
        Ok(())
    }

    /// Deletes what lies under an id that has no record, its upload included if `upload_too`. What lies there is listed
    /// again once the record stands in, since only then nothing is added.
    pub(crate) async fn erase(&self, id: &PortraitId, upload_too: bool) -> Result<Erased, HandlerError> {
        let (input, output) = (&self.settings.input_bucket, &self.settings.output_bucket);
        let upload = keys::upload(id);
        let uploaded = upload_too && self.keys(input, &upload).await?.contains(&upload);
        let copies = !self.keys(input, &keys::inputs(id)).await?.is_empty()
            || !self.keys(output, &keys::all_images(id)).await?.is_empty();
        if !uploaded && !copies {
            return Ok(Erased::Nothing);
        }
        let tombstone = Job::tombstone(id, self.clock.now(), &self.settings.deadlines());
        let bury = |current: Option<&Job>| match current {
            None => Change::Put(Box::new(tombstone.clone())),
            Some(_) => Change::Keep,
        };
        if self.jobs.update(id, bury).await? == Change::Keep {
            return Ok(Erased::Owned);
        }
        if uploaded {
            self.delete(input, &[upload]).await?;
        }
        self.copies(id).await?;
        self.forget(&tombstone).await?;
        Ok(Erased::All)
    }

    /// Deletes every image and every input copy of a portrait.
    async fn copies(&self, id: &PortraitId) -> Result<(), HandlerError> {
        let (input, output) = (&self.settings.input_bucket, &self.settings.output_bucket);
        self.delete(output, &self.keys(output, &keys::all_images(id)).await?).await?;
        self.delete(input, &self.keys(input, &keys::inputs(id)).await?).await
    }

    /// Deletes a record whose objects are gone. Last, so that a crash leaves a record by which to delete the rest.
    async fn forget(&self, deleted: &Job) -> Result<bool, HandlerError> {
        let forget = |current: Option<&Job>| match current {
            Some(job) if job == deleted => Change::Delete,
            _ => Change::Keep,
        };
        Ok(self.jobs.update(&deleted.id, forget).await? == Change::Delete)
    }

    async fn keys(&self, bucket: &str, prefix: &str) -> Result<Vec<String>, HandlerError> {
        Ok(self.objects(bucket, prefix).await?.into_iter().filter_map(|object| object.key).collect())
    }

    /// All objects whose keys begin so.
    pub(crate) async fn objects(&self, bucket: &str, prefix: &str) -> Result<Vec<Object>, HandlerError> {
        let mut objects = Vec::new();
        let mut pages = self.s3.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            objects.extend(page.map_err(HandlerError::aws("s3:ListObjectsV2"))?.contents.unwrap_or_default());
        }
        Ok(objects)
    }

    pub(crate) async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), HandlerError> {
        // S3 takes a thousand at once.
        for keys in keys.chunks(1000) {
            let identifiers: Result<Vec<_>, _> =
                keys.iter().map(|key| ObjectIdentifier::builder().key(key).build()).collect();
            let identifiers = identifiers.map_err(HandlerError::aws("s3:DeleteObjects"))?;
            let delete = Delete::builder().set_objects(Some(identifiers)).quiet(true).build();
            let delete = delete.map_err(HandlerError::aws("s3:DeleteObjects"))?;
            let deleted = self.s3.delete_objects().bucket(bucket).delete(delete).send().await;
            let deleted = deleted.map_err(HandlerError::aws("s3:DeleteObjects"))?;
            if let Some(error) = deleted.errors().first() {
                return Err(HandlerError::Undeleted {
                    bucket: bucket.to_owned(),
                    key: error.key().unwrap_or_default().to_owned(),
                    message: error.message().unwrap_or_default().to_owned(),
                });
            }
        }
        Ok(())
    }
}
