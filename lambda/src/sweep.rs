//! The sweep: what nobody is at any more is taken up again, or ended.

use std::hash::{DefaultHasher, Hash, Hasher};

use futures::{StreamExt, stream};
use pipeline::{ErrorCode, Job, JobError, Status, Timestamp, keys};

use crate::error::HandlerError;
use crate::image_processor::{ImageProcessor, Request};
use crate::jobs::Change;

/// How many jobs are looked at side by side.
const CONCURRENCY: usize = 4;

impl ImageProcessor {
    pub(crate) async fn sweep(&self, request: &Request, now: Timestamp) -> Result<(), HandlerError> {
        let mut due = self.jobs.due(now).await?;
        // In another order each time: one that ends this process must not keep it from the others for good.
        due.sort_by_cached_key(|job| hash(&(&request.id, job.id.as_str())));
        let total = due.len();
        if total > 0 {
            tracing::info!(jobs = total, "sweeping");
        }
        let swept = stream::iter(due).map(|job| self.take_up(job, request, now)).buffer_unordered(CONCURRENCY);
        let mut results: Vec<_> = swept.collect().await;
        results.push(self.collect_answers(now).await);
        HandlerError::batch(results)
    }

    async fn take_up(&self, job: Job, request: &Request, now: Timestamp) -> Result<(), HandlerError> {
        match job.status {
            Status::Pending => self.take_up_pending(&job, request, now).await,
            Status::Processing => self.take_up_processing(&job, now).await,
            Status::Success | Status::Failed | Status::Cancelled => self.deletion().resume(&job).await,
        }
    }

    async fn take_up_pending(&self, job: &Job, request: &Request, now: Timestamp) -> Result<(), HandlerError> {
        let deadlines = self.settings.deadlines();
        if job.is_given_up(now, &deadlines) {
            let message = "the photograph could not be handed to the model in time: upload it again";
            return self.fail(job, JobError::new(ErrorCode::Timeout, message)).await;
        }
        let decide = |current: Option<&Job>| {
            let same = current.filter(|current| current.input == job.input);
            Change::from(same.and_then(|current| current.reclaim(&request.claim(now), &deadlines)))
        };
        match self.jobs.update(&job.id, decide).await? {
            Change::Put(claimed) => self.invoke(&claimed).await,
            Change::Keep | Change::Delete => Ok(()),
        }
    }

    /// No notice has come: it got lost, or SageMaker has not answered yet.
    async fn take_up_processing(&self, job: &Job, now: Timestamp) -> Result<(), HandlerError> {
        if let Some((output, (bucket, key))) = located(job.output_location.as_deref())
            && self.exists(bucket, key).await?
        {
            return self.succeed(job, output, None).await;
        }
        if let Some((failure, (bucket, key))) = located(job.failure_location.as_deref())
            && self.exists(bucket, key).await?
        {
            let error = self.failure(Some(failure), None).await?;
            self.fail(job, error).await?;
            return self.tidy(Some(failure)).await;
        }
        if !job.is_overdue(now) {
            let decide = |current: Option<&Job>| {
                let same = current.filter(|current| current.input == job.input);
                Change::from(same.and_then(|current| current.looked(now, &self.settings.deadlines())))
            };
            return self.jobs.update(&job.id, decide).await.map(drop);
        }
        let message = "the model did not answer in time: upload the photograph again";
        self.fail(job, JobError::new(ErrorCode::Timeout, message)).await
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn located(location: Option<&str>) -> Option<(&str, (&str, &str))> {
    let location = location?;
    Some((location, keys::split_location(location)?))
}
