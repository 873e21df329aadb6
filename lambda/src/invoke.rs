//! A recorded job is handed to SageMaker.

use pipeline::{ErrorCode, InferenceId, Job, JobError, invocation, keys, strip};

use crate::error::HandlerError;
use crate::image_processor::ImageProcessor;
use crate::jobs::Change;
use crate::upload::is_gone;

impl ImageProcessor {
    /// Invokes the endpoint for a job that the caller has claimed, and records where the output will be.
    pub(crate) async fn invoke(&self, job: &Job) -> Result<(), HandlerError> {
        if !self.keep_input(job).await? {
            if self.exists(&self.settings.input_bucket, &keys::upload(&job.id)).await? {
                // The event of the newer upload starts the newer job.
                tracing::info!(id = %job.id, revision = %job.revision, "the upload was replaced before it was copied");
                return Ok(());
            }
            let message = "the photograph was removed before it could be read: upload it again";
            return self.fail(job, JobError::new(ErrorCode::CorruptImage, message)).await;
        }
        let Some(ages) = &job.ages else { return Ok(()) };
        let inference_id = InferenceId { id: job.id.clone(), revision: job.revision.clone() };
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
        let decide = |current: Option<&Job>| {
            let same = current.filter(|current| current.input == job.input);
            Change::from(same.and_then(|current| current.processing(output, failure, self.clock.now(), &deadlines)))
        };
        let recorded = self.jobs.update(&job.id, decide).await?;
        tracing::info!(%inference_id, recorded = recorded != Change::Keep, "invoked");
        Ok(())
    }

    /// Copies the upload to where nothing overwrites it: SageMaker may read it much later. False if it is gone.
    async fn keep_input(&self, job: &Job) -> Result<bool, HandlerError> {
        let bucket = &self.settings.input_bucket;
        let copied = self
            .s3
            .copy_object()
            .copy_source(format!("{bucket}/{}", keys::upload(&job.id)))
            .copy_source_if_match(&job.etag)
            .bucket(bucket)
            .key(&job.input)
            .send()
            .await;
        match copied {
            Ok(_) => Ok(true),
            // An earlier try may have copied it in time.
            Err(error) if is_gone(&error) => self.exists(bucket, &job.input).await,
            Err(error) => Err(HandlerError::aws("s3:CopyObject of the upload")(error)),
        }
    }

    pub(crate) async fn exists(&self, bucket: &str, key: &str) -> Result<bool, HandlerError> {
        match self.s3.head_object().bucket(bucket).key(key).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(HandlerError::aws("s3:HeadObject")(error)),
        }
    }
}
