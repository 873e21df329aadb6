//! The sweep: what nobody is at any more is taken up again, or ended.

use futures::{StreamExt, stream};
use pipeline::{ErrorCode, Job, JobError, Status, Timestamp, keys};

use crate::error::HandlerError;
use crate::image_processor::{ImageProcessor, Request};
use crate::jobs::Change;

/// How many jobs are looked at side by side.
const CONCURRENCY: usize = 4;

impl ImageProcessor {
    pub(crate) async fn sweep(&self, request: &Request, now: Timestamp) -> Result<(), HandlerError> {
        let due: Vec<Job> = self.jobs.open().await?.into_iter().filter(|job| job.is_due(now)).collect();
        let total = due.len();
        if total > 0 {
            tracing::info!(jobs = total, "sweeping");
        }
        let swept = stream::iter(due).map(|job| self.take_up(job, request, now)).buffer_unordered(CONCURRENCY);
        HandlerError::batch(swept.collect().await)
    }

    async fn take_up(&self, job: Job, request: &Request, now: Timestamp) -> Result<(), HandlerError> {
        match job.status {
            Status::Pending => self.take_up_pending(&job, request, now).await,
            Status::Processing => self.take_up_processing(&job).await,
            Status::Success | Status::Failed | Status::Cancelled => Ok(()),
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

    /// Past its deadline: its notice got lost, or SageMaker never answered.
    async fn take_up_processing(&self, job: &Job) -> Result<(), HandlerError> {
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
        let message = "the model did not answer in time: upload the photograph again";
        self.fail(job, JobError::new(ErrorCode::Timeout, message)).await
    }
}

fn located(location: Option<&str>) -> Option<(&str, (&str, &str))> {
    let location = location?;
    Some((location, keys::split_location(location)?))
}
