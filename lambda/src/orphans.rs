//! Deletes orphans: objects without an owner, which a crash, a lost notice or a late result has left.
//!
//! The owner of a portrait's images and input copies is its record, that of SageMaker's answers is the job that waits for them, and
//! that of an upload is the job that it starts. Each run begins at another portrait, so that all are reached even if no run completes.

use std::collections::{BTreeMap, HashSet};

use aws_sdk_s3::types::Object;
use pipeline::{PortraitId, Record, Timestamp, keys};

use crate::error::HandlerError;
use crate::image_processor::ImageProcessor;

/// The number of ids whose records are looked up at once.
const AT_ONCE: usize = 100;

impl ImageProcessor {
    pub(crate) async fn collect_orphans(&self, now: Timestamp) -> Result<(), HandlerError> {
        let answers = self.collect_answers(now).await;
        let copies = self.collect_copies(now).await;
        let uploads = self.collect_uploads(now).await;
        HandlerError::batch(vec![answers, copies, uploads])
    }

    /// Deletes SageMaker's answers that no job waits for.
    pub(crate) async fn collect_answers(&self, now: Timestamp) -> Result<(), HandlerError> {
        let bucket = &self.settings.output_bucket;
        let longest = self.settings.deadlines().processing_seconds;
        let mut orphans = Vec::new();
        for prefix in [keys::STRIPS, keys::FAILURES] {
            for object in self.objects.list(bucket, prefix).await? {
                let Some(key) = object.key() else { continue };
                let unwanted = match keys::split_output(key) {
                    Some((id, input)) => {
                        let job = self.jobs.get(&id).await?.and_then(Record::into_job);
                        job.is_none_or(|job| job.status.is_final() || job.input != input)
                    }
                    // Its key names no job. After the deadline, no job can wait for it any more.
                    None => is_older(&object, longest, now),
                };
                orphans.extend(unwanted.then(|| key.to_owned()));
            }
        }
        if !orphans.is_empty() {
            tracing::info!(objects = orphans.len(), "answers that no job waits for are deleted");
        }
        self.objects.delete_all(bucket, &orphans).await
    }

    /// Deletes the images and input copies of portraits without a record.
    async fn collect_copies(&self, now: Timestamp) -> Result<(), HandlerError> {
        let mut results = Vec::new();
        for (bucket, prefix) in [(&self.settings.output_bucket, "images/"), (&self.settings.input_bucket, "inputs/")] {
            let mut ids = self.portraits(bucket, prefix).await?;
            rotate(&mut ids, now);
            for ids in ids.chunks(AT_ONCE) {
                let known = self.jobs.known(ids).await?;
                for id in ids.iter().filter(|id| !known.contains(*id)) {
                    tracing::info!(%id, "a portrait without a record is deleted");
                    results.push(self.deletion().erase(id).await);
                }
            }
        }
        HandlerError::batch(results)
    }

    /// Deletes the uploads without a job that are older than the table's retention of jobs.
    async fn collect_uploads(&self, now: Timestamp) -> Result<(), HandlerError> {
        let bucket = &self.settings.input_bucket;
        let longest = (self.settings.retention_days + 1) * 86_400;
        let uploads = self.objects.list(bucket, keys::UPLOADS).await?.into_iter();
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
            self.objects.delete_if_match(bucket, key, etag).await?;
        }
        Ok(())
    }

    /// The portraits with objects under a prefix.
    async fn portraits(&self, bucket: &str, prefix: &str) -> Result<Vec<PortraitId>, HandlerError> {
        let folders = self.objects.folders(bucket, prefix).await?;
        Ok(folders.iter().filter_map(|folder| keys::owner(folder)).collect())
    }
}

fn is_older(object: &Object, seconds: i64, now: Timestamp) -> bool {
    let modified = object.last_modified().and_then(|modified| modified.to_millis().ok());
    modified.is_some_and(|modified| Timestamp::from_millis(modified).plus_seconds(seconds) <= now)
}

/// Rotates a list by an amount that changes with the time.
fn rotate<T>(list: &mut [T], now: Timestamp) {
    if !list.is_empty() {
        let start = now.as_millis().unsigned_abs() % list.len() as u64;
        list.rotate_left(usize::try_from(start).unwrap_or(0));
    }
}
