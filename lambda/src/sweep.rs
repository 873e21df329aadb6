//! The sweep: continues or ends the jobs whose work was interrupted.

use std::hash::{DefaultHasher, Hash, Hasher};

use futures::{StreamExt, stream};
use pipeline::{ErrorCode, Job, JobError, Record, Status, Timestamp, keys};

use crate::error::{HandlerError, chain};
use crate::image_processor::{ImageProcessor, Request};

/// The number of jobs that are worked on concurrently.
const CONCURRENCY: usize = 4;

impl ImageProcessor {
    pub(crate) async fn sweep(&self, request: &Request, now: Timestamp) -> Result<(), HandlerError> {
        let mut due = self.jobs.due(now).await?;
        // Each run has another order: a job that crashes the process must not keep it from the others forever.
        due.sort_by_cached_key(|record| hash(&(&request.id, record.id().to_string())));
        let total = due.len();
        if total > 0 {
            tracing::info!(jobs = total, "sweeping");
        }
        let swept = stream::iter(due).map(|record| self.take_up(record, request, now)).buffer_unordered(CONCURRENCY);
        let mut results: Vec<_> = swept.collect().await;
        results.push(self.collect_answers(now).await);
        HandlerError::batch(results)
    }

    async fn take_up(&self, record: Record, request: &Request, now: Timestamp) -> Result<(), HandlerError> {
        match &record {
            Record::Job(job) if job.status == Status::Pending => self.take_up_pending(job, request, now).await,
            Record::Job(job) if job.status == Status::Processing => self.take_up_processing(job, now).await,
            Record::Job(_) | Record::Tombstone(_) => self.deletion().resume(&record).await,
        }
    }

    async fn take_up_pending(&self, job: &Job, request: &Request, now: Timestamp) -> Result<(), HandlerError> {
        let deadlines = self.settings.deadlines();
        if job.is_given_up(now, &deadlines) {
            let message = "the photograph could not be handed to the model in time: upload it again";
            return self.fail(job, JobError::new(ErrorCode::Timeout, message)).await;
        }
        let reclaim = |current: &Job| current.reclaim(&request.claim(now), &deadlines);
        match self.jobs.update_attempt(job, reclaim).await? {
            Some(claimed) => self.invoke(&claimed).await,
            None => Ok(()),
        }
    }

    /// No notice has arrived: it was lost, or SageMaker has not answered yet.
    async fn take_up_processing(&self, job: &Job, now: Timestamp) -> Result<(), HandlerError> {
        if let Some((output, (bucket, key))) = located(job.output_location.as_deref())
            && self.objects.exists(bucket, key).await?
        {
            return match self.succeed(job, output, None).await {
                Err(error) if job.due_at <= now => self.give_up_output(job, output, error, now).await,
                settled => settled,
            };
        }
        if let Some((failure, (bucket, key))) = located(job.failure_location.as_deref())
            && self.objects.exists(bucket, key).await?
        {
            let error = self.failure(Some(failure), None).await?;
            self.fail(job, error).await?;
            return self.tidy(Some(failure)).await;
        }
        if !job.is_overdue(now) {
            return self.look_again(job, now).await;
        }
        let message = "the model did not answer in time: upload the photograph again";
        self.fail(job, JobError::new(ErrorCode::Timeout, message)).await
    }

    async fn look_again(&self, job: &Job, now: Timestamp) -> Result<(), HandlerError> {
        let looked = |current: &Job| current.looked(now, &self.settings.deadlines());
        self.jobs.update_attempt(job, looked).await.map(drop)
    }

    /// The answer of a job could not be processed, and the deadline has passed. After the last look the job ends: else it would be
    /// tried for ever.
    async fn give_up_output(
        &self,
        job: &Job,
        output: &str,
        error: HandlerError,
        now: Timestamp,
    ) -> Result<(), HandlerError> {
        if !job.is_overdue(now) {
            self.look_again(job, now).await?;
            return Err(error);
        }
        tracing::error!(id = %job.id, error = chain(&error), "the answer of an overdue job cannot be processed");
        let message = "the model's answer could not be processed in time: upload the photograph again";
        self.fail(job, JobError::new(ErrorCode::Timeout, message)).await?;
        self.tidy(Some(output)).await
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
