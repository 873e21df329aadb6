//! Objects that belong to nobody: a crash, a lost notice or a late result left them.
//!
//! A portrait's pictures and input copies belong to its record, what SageMaker wrote to the job that waits for it, an upload to the
//! job that it starts. Each run begins somewhere else, so that every part is reached even if no run gets to the end.

use std::collections::{BTreeMap, HashSet};

use aws_sdk_s3::types::Object;
use pipeline::{Job, PortraitId, Timestamp, keys};

use crate::error::HandlerError;
use crate::image_processor::ImageProcessor;

/// Ids of which DynamoDB tells at once which have a record.
const AT_ONCE: usize = 100;

impl ImageProcessor {
    pub(crate) async fn collect_orphans(&self, now: Timestamp) -> Result<(), HandlerError> {
        let answers = self.collect_answers(now).await;
        let copies = self.collect_copies(now).await;
        let uploads = self.collect_uploads(now).await;
        HandlerError::batch(vec![answers, copies, uploads])
    }

    /// What SageMaker wrote and no job waits for.
    pub(crate) async fn collect_answers(&self, now: Timestamp) -> Result<(), HandlerError> {
        let bucket = &self.settings.output_bucket;
        let longest = self.settings.deadlines().processing_seconds;
        let mut orphans = Vec::new();
        for prefix in [keys::STRIPS, keys::FAILURES] {
            for object in self.deletion().objects(bucket, prefix).await? {
                let Some(key) = object.key() else { continue };
                let unwanted = match keys::split_output(key) {
                    Some((id, input)) => {
                        let job = self.jobs.get(&id).await?;
                        job.is_none_or(|job: Job| job.status.is_final() || job.input != input)
                    }
                    // Its name does not say whose it is; after so long nobody waits for it.
                    None => is_older(&object, longest, now),
                };
                orphans.extend(unwanted.then(|| key.to_owned()));
            }
        }
        if !orphans.is_empty() {
            tracing::info!(objects = orphans.len(), "answers that nobody waits for are deleted");
        }
        self.deletion().delete(bucket, &orphans).await
    }

    /// Pictures and input copies of portraits that have no record.
    async fn collect_copies(&self, now: Timestamp) -> Result<(), HandlerError> {
        let mut results = Vec::new();
        for (bucket, prefix) in [(&self.settings.output_bucket, "images/"), (&self.settings.input_bucket, "inputs/")] {
            let mut ids = self.portraits(bucket, prefix).await?;
            rotate(&mut ids, now);
            for ids in ids.chunks(AT_ONCE) {
                let known = self.jobs.known(ids).await?;
                for id in ids.iter().filter(|id| !known.contains(*id)) {
                    tracing::info!(%id, "a portrait without a record is deleted");
                    results.push(self.deletion().erase(id, false).await.map(drop));
                }
            }
        }
        HandlerError::batch(results)
    }

    /// Uploads that have been there for longer than the table keeps a job, and have none.
    async fn collect_uploads(&self, now: Timestamp) -> Result<(), HandlerError> {
        let bucket = &self.settings.input_bucket;
        let longest = (self.settings.retention_days + 1) * 86_400;
        let uploads = self.deletion().objects(bucket, keys::UPLOADS).await?.into_iter();
        let old = uploads.filter(|object| is_older(object, longest, now));
        let old: BTreeMap<String, String> =
            old.filter_map(|object| Some((object.key()?.to_owned(), object.e_tag()?.to_owned()))).collect();
        let ids: Vec<PortraitId> = old.keys().filter_map(|key| keys::upload_id(key)?.parse().ok()).collect();
        let mut known = HashSet::new();
        for ids in ids.chunks(AT_ONCE) {
            known.extend(self.jobs.known(ids).await?.iter().map(keys::upload));
        }
        for (key, etag) in old.iter().filter(|(key, _)| !known.contains(*key)) {
            tracing::info!(key, "an upload without a job is deleted");
            let deleted = self.s3.delete_object().bucket(bucket).key(key).if_match(etag).send().await;
            match deleted {
                Ok(_) => {}
                Err(error) if crate::upload::is_gone(&error) => {}
                Err(error) => return Err(HandlerError::aws("s3:DeleteObject of an upload")(error)),
            }
        }
        Ok(())
    }

    /// The portraits that have objects under a prefix.
    async fn portraits(&self, bucket: &str, prefix: &str) -> Result<Vec<PortraitId>, HandlerError> {
        let list = self.s3.list_objects_v2().bucket(bucket).prefix(prefix).delimiter("/");
        let mut portraits = Vec::new();
        let mut pages = list.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(HandlerError::aws("s3:ListObjectsV2"))?;
            portraits.extend(page.common_prefixes().iter().filter_map(|folder| keys::owner(folder.prefix()?)));
        }
        Ok(portraits)
    }
}

fn is_older(object: &Object, seconds: i64, now: Timestamp) -> bool {
    let modified = object.last_modified().and_then(|modified| modified.to_millis().ok());
    modified.is_some_and(|modified| Timestamp::from_millis(modified).plus_seconds(seconds) <= now)
}

/// Has a list begin somewhere else from time to time.
fn rotate<T>(list: &mut [T], now: Timestamp) {
    if !list.is_empty() {
        let start = now.as_millis().unsigned_abs() % list.len() as u64;
        list.rotate_left(usize::try_from(start).unwrap_or(0));
    }
}
