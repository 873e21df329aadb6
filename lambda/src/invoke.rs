//! Hands a recorded job to SageMaker.

use std::sync::Arc;

use pipeline::{ErrorCode, InferenceId, Job, JobError, invocation, keys, strip};

use crate::error::HandlerError;
use crate::image_processor::ImageProcessor;

impl ImageProcessor {
    /// Invokes the endpoint for a job that the caller has claimed, and records the locations of the output.
    pub(crate) async fn invoke(&self, job: &Job) -> Result<(), HandlerError> {
        if !self.keep_input(job).await? {
            if self.objects.exists(&self.settings.input_bucket, &keys::upload(&job.id)).await? {
                // The newer upload's own event starts its job.
                tracing::info!(id = %job.id, revision = %job.revision, "the upload was replaced before it was copied");
                return Ok(());
            }
            let message = "the photograph was removed before it could be read: upload it again";
            return self.fail(job, JobError::new(ErrorCode::CorruptImage, message)).await;
        }
        let Some(ages) = &job.ages else { return Ok(()) };
        let inference_id = InferenceId::new(&job.id, job.revision.clone());
        let invoked = self
            .sagemaker
            .invoke_endpoint_async()
            .endpoint_name(&self.settings.endpoint_name)
            .input_location(keys::location(&self.settings.input_bucket, &job.input))
            .content_type(&job.content_type)
            .accept(strip::MEDIA_TYPE)
            .inference_id(inference_id.to_string())
            .s3_output_path_extension(keys::output_folder(&job.input))
            .custom_attributes(invocation::custom_attributes(ages))
            .request_ttl_seconds(self.settings.request_ttl_seconds)
            .invocation_timeout_seconds(self.settings.invocation_timeout_seconds)
            .send()
            .await
            .map_err(HandlerError::aws("sagemaker:InvokeEndpointAsync"))?;
        let deadlines = self.settings.deadlines();
        let (output, failure) = (invoked.output_location(), invoked.failure_location());
        let processing = |current: &Job| current.processing(output, failure, self.clock.now(), &deadlines);
        let recorded = self.jobs.update_read_attempt(job, processing).await?;
        tracing::info!(id = %job.id, %inference_id, request = job.request, recorded = recorded.is_some(), "invoked");
        self.prepare(ages.len()).await
    }

    /// Makes the memory ready for the strip of a first job, while the model works.
    async fn prepare(&self, ages: usize) -> Result<(), HandlerError> {
        if !self.splitter.is_prepared(ages) {
            let splitter = Arc::clone(&self.splitter);
            tokio::task::spawn_blocking(move || splitter.prepare(ages)).await?;
        }
        Ok(())
    }

    /// Copies the upload to a key that is never overwritten, since SageMaker may read it much later. False if the upload was deleted
    /// or replaced before it was copied.
    async fn keep_input(&self, job: &Job) -> Result<bool, HandlerError> {
        let bucket = &self.settings.input_bucket;
        let copied = self.objects.copy_if_match(bucket, &keys::upload(&job.id), &job.etag, &job.input).await?;
        // An earlier try may have copied it in time.
        Ok(copied || self.objects.exists(bucket, &job.input).await?)
    }
}
