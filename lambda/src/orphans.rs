//! Deletes orphans: objects without an owner, which a crash, a lost notice or a late result has left.
//!
//! The owner of a portrait's images and input copies is its record, that of SageMaker's answers is the job that waits for them, and
//! that of an upload is the job that it starts.
//!
//! The lists of a large bucket take longer than a function may run. So a run ends after [`BUDGET`], and leaves in the table where the
//! next one has to go on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_s3::types::Object;
use pipeline::{PortraitKey, Record, Timestamp, keys};
use tokio::time::Instant;

use crate::error::HandlerError;
use crate::image_processor::ImageProcessor;
use crate::objects::Found;
use crate::settings::Tenancy;

/// The number of ids whose records are looked up at once.
const AT_ONCE: usize = 100;
/// How long a run begins with further portraits: two thirds of the function's timeout, since a hundred deletions take some seconds.
const BUDGET: Duration = Duration::from_secs(40);
/// The lists of a run, in their order. A key says by its prefix which list it is of.
const LISTS: [&str; 3] = [keys::IMAGES, keys::INPUTS, keys::UPLOADS];

impl ImageProcessor {
    pub(crate) async fn collect_orphans(&self, now: Timestamp) -> Result<(), HandlerError> {
        let answers = self.collect_answers(now).await;
        let others = self.collect_lists(now, BUDGET).await;
        HandlerError::batch(vec![answers, others.map(|_| ())])
    }

    /// Deletes the orphans of all lists, beginning where the last run has ended, for about as long as `budget`. At least one portion
    /// is done. Returns whether the end of the lists was reached.
    ///
    /// # Errors
    /// A service failed. What could not be deleted is found again by the next run over all lists.
    pub async fn collect_lists(&self, now: Timestamp, budget: Duration) -> Result<bool, HandlerError> {
        let begun = Instant::now();
        let place = self.jobs.place().await?;
        let is_of = |list: &&str| place.as_ref().is_some_and(|place| place.starts_with(*list));
        let first = LISTS.iter().position(is_of).unwrap_or(0);
        let mut results = Vec::new();
        for list in &LISTS[first..] {
            let mut after = place.clone().filter(|place| place.starts_with(list));
            while let Some(page) = self.portions(list, after.as_deref()).await.unwrap_or_else(|error| {
                results.push(Err(error));
                None
            }) {
                for portion in page {
                    let Some(last) = portion.last().map(Found::after) else { continue };
                    results.push(self.collect_portion(list, &portion, now).await);
                    if begun.elapsed() >= budget {
                        self.jobs.keep_place(Some(&last), now).await?;
                        HandlerError::batch(results)?;
                        return Ok(false);
                    }
                    after = Some(last);
                }
            }
        }
        if place.is_some() {
            self.jobs.keep_place(None, now).await?;
        }
        HandlerError::batch(results)?;
        Ok(true)
    }

    /// The next page of a list, in portions whose records are looked up at once; `None` at the list's end.
    async fn portions(&self, list: &str, after: Option<&str>) -> Result<Option<Vec<Vec<Found>>>, HandlerError> {
        let bucket = self.bucket_of(list);
        // The folders below an owner's are the portraits, and S3 lists one level of folders only.
        let by_folder = list != keys::UPLOADS && self.settings.tenancy == Tenancy::Shared;
        let mut found = self.objects.page(bucket, list, by_folder, after).await?.into_iter().peekable();
        let mut portions = Vec::new();
        while found.peek().is_some() {
            portions.push(found.by_ref().take(AT_ONCE).collect());
        }
        Ok((!portions.is_empty()).then_some(portions))
    }

    fn bucket_of(&self, list: &str) -> &str {
        if list == keys::IMAGES { &self.settings.output_bucket } else { &self.settings.input_bucket }
    }

    async fn collect_portion(&self, list: &str, found: &[Found], now: Timestamp) -> Result<(), HandlerError> {
        match list {
            keys::UPLOADS => {
                let objects = found.iter().filter_map(|found| match found {
                    Found::Object(object) => Some(object.as_ref()),
                    Found::Folder(_) => None,
                });
                self.collect_uploads(objects, now).await
            }
            _ => {
                let portraits = found.iter().filter_map(|found| match found {
                    Found::Folder(folder) => keys::folder_of(folder),
                    Found::Object(object) => keys::portrait(object.key()?),
                });
                self.collect_copies(&portraits.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()).await
            }
        }
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

    /// Deletes the images and input copies of those portraits that have no record.
    async fn collect_copies(&self, ids: &[PortraitKey]) -> Result<(), HandlerError> {
        let known = self.jobs.known(ids).await?;
        let mut results = Vec::new();
        for id in ids.iter().filter(|id| !known.contains(*id)) {
            tracing::info!(%id, "a portrait without a record is deleted");
            results.push(self.deletion().erase(id).await);
        }
        HandlerError::batch(results)
    }

    /// Deletes those uploads without a job that are older than the table's retention of jobs.
    async fn collect_uploads(
        &self,
        uploads: impl Iterator<Item = &Object>,
        now: Timestamp,
    ) -> Result<(), HandlerError> {
        let bucket = &self.settings.input_bucket;
        let longest = (self.settings.retention_days + 1) * 86_400;
        let old = uploads.filter(|object| is_older(object, longest, now));
        let old: BTreeMap<String, String> =
            old.filter_map(|object| Some((object.key()?.to_owned(), object.e_tag()?.to_owned()))).collect();
        let ids: Vec<PortraitKey> = old.keys().filter_map(|key| keys::uploaded(key)?.parse().ok()).collect();
        let known: Vec<String> = self.jobs.known(&ids).await?.iter().map(keys::upload).collect();
        for (key, etag) in old.iter().filter(|(key, _)| !known.contains(*key)) {
            tracing::info!(key, "an upload without a job is deleted");
            self.objects.delete_if_match(bucket, key, etag).await?;
        }
        Ok(())
    }
}

fn is_older(object: &Object, seconds: i64, now: Timestamp) -> bool {
    let modified = object.last_modified().and_then(|modified| modified.to_millis().ok());
    modified.is_some_and(|modified| Timestamp::from_millis(modified).plus_seconds(seconds) <= now)
}
