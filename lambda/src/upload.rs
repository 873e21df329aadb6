//! An upload becomes a job.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use pipeline::notification::ObjectCreated;
use pipeline::{
    Ages, ErrorCode, ImageType, Job, JobError, MAX_UPLOAD_BYTES, PortraitId, Revision, Upload, Uploaded, keys,
};

use crate::error::HandlerError;
use crate::image_processor::{ImageProcessor, Request};
use crate::jobs::Change;

impl ImageProcessor {
    pub(crate) async fn object_created(&self, object: &ObjectCreated, request: &Request) -> Result<(), HandlerError> {
        let id = keys::upload_id(&object.key).map(str::parse::<PortraitId>);
        let id = match id {
            Some(Ok(id)) if object.bucket == self.settings.input_bucket => id,
            Some(Err(error)) => {
                tracing::warn!(key = object.key, %error, "an upload under a bad id starts no job");
                return Ok(());
            }
            _ => {
                tracing::warn!(bucket = object.bucket, key = object.key, "not an upload");
                return Ok(());
            }
        };
        let Some(head) = self.look(object).await? else {
            tracing::info!(%id, "the upload was replaced or removed before it was looked at");
            return Ok(());
        };
        let upload = assess(&id, object, head, &self.settings.default_ages).await?;
        let deadlines = self.settings.deadlines();
        let mut decision = Uploaded::Stale;
        let decide = |current: Option<&Job>| {
            decision = Job::on_upload(current, &upload, &request.claim(self.clock.now()), &deadlines);
            match decision.clone() {
                Uploaded::Stale | Uploaded::Settled => Change::Keep,
                Uploaded::Same(job) | Uploaded::Invoke(job) | Uploaded::Later(job) | Uploaded::Refuse(job) => {
                    Change::Put(Box::new(job))
                }
            }
        };
        self.jobs.update(&id, decide).await?;
        match decision {
            Uploaded::Invoke(job) => self.invoke(&job).await,
            Uploaded::Refuse(job) => {
                tracing::info!(%id, revision = %job.revision, error = ?job.error, "refused");
                Ok(())
            }
            Uploaded::Later(job) => {
                tracing::info!(%id, revision = %job.revision, "waits until what was there before is deleted");
                Ok(())
            }
            Uploaded::Stale | Uploaded::Settled | Uploaded::Same(_) => {
                tracing::info!(%id, revision = %upload.revision, "nothing new");
                Ok(())
            }
        }
    }

    /// The metadata and the first bytes of the very object that the event is about; `None` if it is gone.
    async fn look(&self, object: &ObjectCreated) -> Result<Option<GetObjectOutput>, HandlerError> {
        let get = self.s3.get_object().bucket(&object.bucket).key(&object.key).if_match(&object.etag);
        // An empty object has no range.
        let get = if object.size == 0 { get } else { get.range(format!("bytes=0-{}", ImageType::SNIFF_BYTES - 1)) };
        match get.send().await {
            Ok(head) => Ok(Some(head)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(HandlerError::aws("s3:GetObject of the upload")(error)),
        }
    }
}

/// Whether S3 says that the object is not there, or is another one by now.
pub(crate) fn is_gone<E>(error: &SdkError<E>) -> bool {
    matches!(error.raw_response().map(|response| response.status().as_u16()), Some(404 | 412))
}

/// What an upload is to become.
async fn assess(
    id: &PortraitId,
    object: &ObjectCreated,
    head: GetObjectOutput,
    default_ages: &Ages,
) -> Result<Upload, HandlerError> {
    let asked = head.metadata().and_then(|metadata| metadata.get(keys::AGES_METADATA)).cloned();
    let ages = match &asked {
        Some(text) => text.parse::<Ages>(),
        None => Ok(default_ages.clone()),
    };
    let written = ages.as_ref().map_or_else(|_| asked.unwrap_or_default(), Ages::to_string);
    let first_bytes = head.body.collect().await.map_err(HandlerError::aws("s3:GetObject of the upload"))?.into_bytes();
    let content_type = check(object.size, &first_bytes);
    let ages = ages.map_err(|error| JobError::new(ErrorCode::InvalidAges, error.to_string()));
    let content_type = ages.as_ref().map_err(JobError::clone).and(content_type.map(ImageType::as_str));
    Ok(Upload {
        id: id.clone(),
        sequencer: object.sequencer.clone(),
        etag: object.etag.clone(),
        revision: Revision::new(&object.etag, &written),
        ages: ages.ok(),
        content_type,
    })
}

/// The picture's format, or why it cannot be one that the model server takes.
fn check(size: u64, first_bytes: &[u8]) -> Result<ImageType, JobError> {
    if size == 0 {
        let message = "the upload is empty: send the bytes of a JPEG, PNG or WebP picture as the body";
        return Err(JobError::new(ErrorCode::CorruptImage, message));
    }
    if size > MAX_UPLOAD_BYTES {
        let message = format!("the upload has {size} bytes: {MAX_UPLOAD_BYTES} are the most");
        return Err(JobError::new(ErrorCode::ImageTooLarge, message));
    }
    ImageType::sniff(first_bytes).ok_or_else(|| {
        let message = "the upload is no picture that can be read: JPEG, PNG and WebP can";
        JobError::new(ErrorCode::UnsupportedImage, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_judged_by_size_and_first_bytes() {
        let code = |size, bytes: &[u8]| check(size, bytes).unwrap_err().code;
        assert_eq!(code(0, b""), ErrorCode::CorruptImage);
        assert_eq!(code(5, b"hello"), ErrorCode::UnsupportedImage);
        assert_eq!(code(60 << 20, b"\xff\xd8\xff"), ErrorCode::ImageTooLarge);
        assert_eq!(check(3, b"\xff\xd8\xff"), Ok(ImageType::Jpeg));
    }
}
