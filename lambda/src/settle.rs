//! A result becomes images, or the job's error.

use aws_sdk_s3::primitives::ByteStream;
use futures::future::try_join_all;
use pipeline::notification::InferenceResult;
use pipeline::{ErrorCode, InferenceId, Job, JobError, invocation, keys, strip};

use crate::SplitError;
use crate::error::{HandlerError, chain};
use crate::image_processor::ImageProcessor;
use crate::jobs::Change;
use crate::split::{self, Encoded};
use crate::upload::is_gone;

impl ImageProcessor {
    /// SageMaker's notice that an invocation ended.
    pub(crate) async fn inference_result(&self, result: &InferenceResult) -> Result<(), HandlerError> {
        let Ok(inference_id) = result.inference_id.parse::<InferenceId>() else {
            tracing::info!(inference_id = result.inference_id, "the result of somebody else's invocation");
            return Ok(());
        };
        let response = &result.response_parameters;
        let output = response.output_location.as_deref();
        let Some(job) = self.awaiting(&inference_id, result).await? else {
            tracing::info!(%inference_id, "nobody waits for this result");
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

    /// The job that a result is for, unless it has ended or gone on to something newer. The input's location tells the
    /// attempts at one revision apart.
    async fn awaiting(&self, id: &InferenceId, result: &InferenceResult) -> Result<Option<Job>, HandlerError> {
        let Some(job) = self.jobs.get(&id.id).await? else { return Ok(None) };
        let input = keys::location(&self.settings.input_bucket, &job.input);
        let same_attempt = result.request_parameters.input_location.as_deref().is_none_or(|location| location == input);
        Ok((job.revision == id.revision && same_attempt && !job.status.is_final()).then_some(job))
    }

    /// Splits a strip, stores its panels, and only then calls the job a success.
    pub(crate) async fn succeed(
        &self,
        job: &Job,
        output: &str,
        content_type: Option<&str>,
    ) -> Result<(), HandlerError> {
        let Some((bucket, key)) = keys::split_location(output) else {
            let message = format!("the model's output lies at {output:?}, which is no s3:// location");
            return self.fail(job, JobError::new(ErrorCode::ModelError, message)).await;
        };
        let strip = match self.s3.get_object().bucket(bucket).key(key).send().await {
            Ok(strip) => strip,
            // Another notice of the same result was quicker, and has tidied up.
            Err(error) if is_gone(&error) => {
                return match self.jobs.get(&job.id).await? {
                    Some(now) if now.input == job.input && !now.status.is_final() => {
                        Err(HandlerError::aws("s3:GetObject of the strip")(error))
                    }
                    _ => Ok(()),
                };
            }
            Err(error) => return Err(HandlerError::aws("s3:GetObject of the strip")(error)),
        };
        let content_type = content_type.or(strip.content_type()).map(str::to_owned);
        let model = content_type.as_deref().and_then(strip::model);
        let bytes = split::receive(strip).await?;
        let ages = job.ages.as_ref().map_or(0, pipeline::Ages::len);
        let format = self.settings.image_format;
        let encoded = match tokio::task::spawn_blocking(move || split::split(&bytes, ages, format)).await? {
            Ok(encoded) => encoded,
            Err(error) => return self.fail(job, unusable(&error)).await,
        };
        let puts = encoded.into_iter().map(|panel| self.put_panel(job, panel));
        let copy = self.keep_strip(job, bucket, key);
        futures::future::try_join(try_join_all(puts), copy).await?;
        let decide = |current: Option<&Job>| {
            let same = current.filter(|current| current.input == job.input);
            Change::from(same.and_then(|current| current.success(model, format.extension(), self.clock.now())))
        };
        let recorded = self.jobs.update(&job.id, decide).await?;
        tracing::info!(id = %job.id, revision = %job.revision, model, recorded = recorded != Change::Keep, "split");
        self.tidy(Some(output)).await
    }

    async fn put_panel(&self, job: &Job, panel: Encoded) -> Result<(), HandlerError> {
        let format = self.settings.image_format;
        self.s3
            .put_object()
            .bucket(&self.settings.output_bucket)
            .key(keys::panel(&job.id, &job.revision, panel.number, format.extension()))
            .content_type(format.media_type())
            .cache_control(IMMUTABLE)
            .body(ByteStream::from(panel.bytes))
            .send()
            .await
            .map_err(HandlerError::aws("s3:PutObject of a panel"))?;
        Ok(())
    }

    /// Has S3 copy the strip to where clients find it.
    async fn keep_strip(&self, job: &Job, bucket: &str, key: &str) -> Result<(), HandlerError> {
        self.s3
            .copy_object()
            .copy_source(format!("{bucket}/{key}"))
            .bucket(&self.settings.output_bucket)
            .key(keys::strip(&job.id, &job.revision))
            .metadata_directive(aws_sdk_s3::types::MetadataDirective::Replace)
            .content_type(strip::MEDIA_TYPE)
            .cache_control(IMMUTABLE)
            .send()
            .await
            .map_err(HandlerError::aws("s3:CopyObject of the strip"))?;
        Ok(())
    }

    /// Ends a job with an error.
    pub(crate) async fn fail(&self, job: &Job, error: JobError) -> Result<(), HandlerError> {
        let decide = |current: Option<&Job>| {
            let same = current.filter(|current| current.input == job.input);
            Change::from(same.and_then(|current| current.failed(error.clone(), self.clock.now())))
        };
        let recorded = self.jobs.update(&job.id, decide).await? != Change::Keep;
        tracing::info!(id = %job.id, revision = %job.revision, %error, recorded, "failed");
        Ok(())
    }

    /// What the container said of its failure, or else SageMaker.
    pub(crate) async fn failure(&self, location: Option<&str>, reason: Option<&str>) -> Result<JobError, HandlerError> {
        let object = match location.and_then(keys::split_location) {
            Some((bucket, key)) => self.small_object(bucket, key).await?,
            None => None,
        };
        let from_object = object.map(|text| invocation::failure(&text));
        let from_reason = reason.map(invocation::failure);
        // The object is the container's own words; SageMaker's reason knows of timeouts.
        let error = match (from_object, from_reason) {
            (Some(object), Some(reason)) if object.code == ErrorCode::ModelError => reason,
            (Some(object), _) => object,
            (None, Some(reason)) => reason,
            (None, None) => invocation::failure(""),
        };
        Ok(error)
    }

    /// The text of an object, as far as it can be the answer of a container; `None` if there is none.
    async fn small_object(&self, bucket: &str, key: &str) -> Result<Option<String>, HandlerError> {
        let get = self.s3.get_object().bucket(bucket).key(key);
        match get.send().await {
            Ok(object) => {
                let bytes = object.body.collect().await.map_err(HandlerError::aws("s3:GetObject of the failure"))?;
                let text = String::from_utf8_lossy(&bytes.into_bytes()).chars().take(10_000).collect();
                Ok(Some(text))
            }
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(HandlerError::aws("s3:GetObject of the failure")(error)),
        }
    }

    /// Removes what an invocation of ours left that nobody waits for.
    async fn discard(&self, result: &InferenceResult) -> Result<(), HandlerError> {
        let ours = format!("s3://{}/inputs/", self.settings.input_bucket);
        let input = result.request_parameters.input_location.as_deref().unwrap_or_default();
        if !input.starts_with(&ours) {
            return Ok(());
        }
        self.tidy(result.response_parameters.output_location.as_deref()).await?;
        self.tidy(result.response_parameters.failure_location.as_deref()).await
    }

    /// Deletes what SageMaker wrote, once it is settled.
    pub(crate) async fn tidy(&self, location: Option<&str>) -> Result<(), HandlerError> {
        let Some((bucket, key)) = location.and_then(keys::split_location) else { return Ok(()) };
        let deleted = self.s3.delete_object().bucket(bucket).key(key).send().await;
        deleted.map_err(HandlerError::aws("s3:DeleteObject of the model's output"))?;
        Ok(())
    }
}

/// A revision never changes.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

fn unusable(error: &SplitError) -> JobError {
    JobError::new(ErrorCode::ModelError, format!("the model's strip cannot be used: {}", chain(error)))
}
