//! Turns a result into the job's images, or its error.

use std::sync::Arc;

use futures::StreamExt;
use futures::future::try_join;
use futures::stream::FuturesUnordered;
use pipeline::event::InferenceResult;
use pipeline::{ErrorCode, InferenceId, Job, JobError, Record, invocation, keys, strip};
use tokio::sync::mpsc;

use crate::SplitError;
use crate::error::{HandlerError, chain};
use crate::image_processor::ImageProcessor;
use crate::split::{self, Encoded};

/// The most characters of a failure object that are searched for the container's answer.
const MOST_OF_A_FAILURE: usize = 10_000;

impl ImageProcessor {
    /// Handles SageMaker's notice that an invocation ended.
    pub(crate) async fn inference_result(&self, result: &InferenceResult) -> Result<(), HandlerError> {
        let Ok(inference_id) = result.inference_id.parse::<InferenceId>() else {
            tracing::info!(inference_id = result.inference_id, "the result of a foreign invocation");
            return Ok(());
        };
        let response = &result.response_parameters;
        let output = response.output_location.as_deref();
        let Some(job) = self.awaiting(&inference_id, result).await? else {
            tracing::info!(%inference_id, "no job waits for this result");
            return self.discard(result).await;
        };
        match output.filter(|_| result.completed()) {
            Some(output) => self.succeed(&job, output, response.content_type.as_deref()).await,
            None => {
                let failure = response.failure_location.as_deref().or(job.failure_location.as_deref());
                let error = self.failure(failure, result.failure_reason.as_deref()).await?;
                self.fail(&job, error).await?;
                self.tidy(failure).await
            }
        }
    }

    /// The job that waits for a result; `None` if it has ended, or was replaced by a newer upload. The input's location
    /// distinguishes the attempts at one revision.
    async fn awaiting(&self, id: &InferenceId, result: &InferenceResult) -> Result<Option<Job>, HandlerError> {
        let location = result.request_parameters.input_location.as_deref();
        let named = location.and_then(keys::split_location).map(|(_bucket, key)| key);
        let Some(portrait) = id.portrait(named) else { return Ok(None) };
        let Some(job) = self.jobs.get(&portrait).await?.and_then(Record::into_job) else { return Ok(None) };
        let input = keys::location(&self.settings.input_bucket, &job.input);
        let same_attempt = location.is_none_or(|location| location == input);
        Ok((job.revision == *id.revision() && same_attempt && !job.status.is_final()).then_some(job))
    }

    /// Splits a strip and stores its panels. Only then the job becomes a success.
    pub(crate) async fn succeed(
        &self,
        job: &Job,
        output: &str,
        content_type: Option<&str>,
    ) -> Result<(), HandlerError> {
        let Some((bucket, key)) = keys::split_location(output) else {
            let message = format!("the model's output is at {output:?}, which is not an s3:// location");
            return self.fail(job, JobError::new(ErrorCode::ModelError, message)).await;
        };
        let ages = job.ages.as_ref().map_or(0, pipeline::Ages::len);
        let mut reader = self.splitter.reader(ages);
        let Some(npy) = self.objects.read_each(bucket, key, |piece| reader.add(piece)).await? else {
            // If a duplicate of the notice was handled first, its handler has deleted the strip.
            return match self.jobs.get(&job.id).await?.and_then(Record::into_job) {
                Some(now) if now.input == job.input && !now.status.is_final() => {
                    Err(HandlerError::MissingStrip { bucket: bucket.to_owned(), key: key.to_owned() })
                }
                _ => Ok(()),
            };
        };
        let content_type = content_type.or(npy.media_type.as_deref()).map(str::to_owned);
        let attributes = npy.metadata.get(invocation::CUSTOM_ATTRIBUTES_HEADER);
        let named = attributes.and_then(|attributes| invocation::engine_of(attributes).map(str::to_owned));
        // An endpoint may still run a container of an earlier version.
        let named = named.or_else(|| content_type.as_deref().and_then(strip::model).map(str::to_owned));
        let model = named.as_deref();
        let format = self.settings.image_format;
        let (splitter, (ready, mut panels)) = (Arc::clone(&self.splitter), mpsc::unbounded_channel());
        let work = tokio::task::spawn_blocking(move || {
            let (split, memory) = match reader.finish() {
                Ok(strip) => {
                    // The receiver is gone if a panel could not be stored.
                    let take = |panel: Encoded| drop(ready.send(panel));
                    let encoded = split::encode_all(&strip.panels, format, take);
                    (encoded.map(|()| strip.rewritten), strip.panels.into_memory())
                }
                Err((error, memory)) => (Err(SplitError::from(error)), memory),
            };
            splitter.keep(memory);
            split
        });
        let split = async {
            match work.await? {
                Ok(rewritten) => self.keep_strip(job, bucket, key, rewritten).await.map(Ok),
                Err(error) => Ok(Err(error)),
            }
        };
        // Each panel is stored while the next ones are encoded.
        let puts = async {
            let mut puts = FuturesUnordered::new();
            loop {
                tokio::select! {
                    Some(panel) = panels.recv() => puts.push(self.put_panel(job, panel)),
                    Some(put) = puts.next() => put?,
                    else => return Ok(()),
                }
            }
        };
        if let (Err(error), ()) = try_join(split, puts).await? {
            return self.fail(job, unusable(&error, content_type.as_deref())).await;
        }
        let success = |current: &Job| current.success(model, format.extension(), self.clock.now());
        let recorded = self.jobs.update_read_attempt(job, success).await?.is_some();
        tracing::info!(id = %job.id, revision = %job.revision, request = job.request, model, recorded, "split");
        self.tidy(Some(output)).await
    }

    async fn put_panel(&self, job: &Job, panel: Encoded) -> Result<(), HandlerError> {
        let (bucket, format) = (&self.settings.output_bucket, self.settings.image_format);
        let key = keys::panel(&job.id, &job.revision, panel.number, format.extension());
        self.objects.put_immutable(bucket, &key, format.media_type(), panel.bytes).await
    }

    /// Stores the strip under the key from which clients fetch it. S3 copies the answer, unless it was rewritten.
    async fn keep_strip(
        &self,
        job: &Job,
        bucket: &str,
        key: &str,
        rewritten: Option<Vec<u8>>,
    ) -> Result<(), HandlerError> {
        let (to, strip) = (&self.settings.output_bucket, keys::strip(&job.id, &job.revision));
        match rewritten {
            Some(bytes) => self.objects.put_immutable(to, &strip, strip::MEDIA_TYPE, bytes).await,
            None => self.objects.copy_immutable((bucket, key), to, &strip, strip::MEDIA_TYPE).await,
        }
    }

    /// Ends a job with an error.
    pub(crate) async fn fail(&self, job: &Job, error: JobError) -> Result<(), HandlerError> {
        let failed = |current: &Job| current.failed(error.clone(), self.clock.now());
        let recorded = self.jobs.update_attempt(job, failed).await?.is_some();
        tracing::info!(id = %job.id, revision = %job.revision, request = job.request, %error, recorded, "failed");
        Ok(())
    }

    /// The container's error, or else SageMaker's.
    pub(crate) async fn failure(&self, location: Option<&str>, reason: Option<&str>) -> Result<JobError, HandlerError> {
        let object = match location.and_then(keys::split_location) {
            Some((bucket, key)) => self.objects.read(bucket, key).await?,
            None => None,
        };
        let from_object = object.map(|object| {
            let text: String = String::from_utf8_lossy(&object.bytes).chars().take(MOST_OF_A_FAILURE).collect();
            invocation::failure(&text)
        });
        let from_reason = reason.map(invocation::failure);
        // The object has the container's code; only SageMaker's reason mentions a timeout.
        let error = match (from_object, from_reason) {
            (Some(object), Some(reason)) if object.code == ErrorCode::ModelError => reason,
            (Some(object), _) => object,
            (None, Some(reason)) => reason,
            (None, None) => invocation::failure(""),
        };
        Ok(error)
    }

    /// Deletes the answer of one of the pipeline's invocations that no job waits for.
    async fn discard(&self, result: &InferenceResult) -> Result<(), HandlerError> {
        let ours = format!("s3://{}/inputs/", self.settings.input_bucket);
        let input = result.request_parameters.input_location.as_deref().unwrap_or_default();
        if !input.starts_with(&ours) {
            return Ok(());
        }
        self.tidy(result.response_parameters.output_location.as_deref()).await?;
        self.tidy(result.response_parameters.failure_location.as_deref()).await
    }

    /// Deletes an answer of SageMaker whose job has ended.
    pub(crate) async fn tidy(&self, location: Option<&str>) -> Result<(), HandlerError> {
        let Some((bucket, key)) = location.and_then(keys::split_location) else { return Ok(()) };
        self.objects.delete(bucket, key).await
    }
}

fn unusable(error: &SplitError, content_type: Option<&str>) -> JobError {
    let named: Option<String> = content_type.map(|named| named.chars().take(100).collect());
    let named = named.map_or("without a Content-Type".to_owned(), |named| format!("of Content-Type {named:?}"));
    JobError::new(ErrorCode::ModelError, format!("the model's answer, {named}, cannot be used: {}", chain(error)))
}
