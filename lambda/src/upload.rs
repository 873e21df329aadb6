//! Starts a job from an upload.

use pipeline::event::ObjectCreated;
use pipeline::{
    Ages, ErrorCode, ForeignType, ImageType, Job, JobError, MAX_UPLOAD_BYTES, PortraitKey, Record, Revision, Status,
    Timestamp, Upload, Uploaded, keys,
};

use crate::error::HandlerError;
use crate::image_processor::{ImageProcessor, Request};
use crate::objects::Contents;

impl ImageProcessor {
    pub(crate) async fn object_created(&self, object: &ObjectCreated, request: &Request) -> Result<(), HandlerError> {
        let id = keys::uploaded(&object.key).map(str::parse::<PortraitKey>);
        let id = match id {
            Some(Ok(id)) if object.bucket == self.settings.input_bucket && self.settings.tenancy.has(&id) => id,
            Some(Ok(id)) if object.bucket == self.settings.input_bucket => {
                let found = if id.owner().is_some() { "an owner" } else { "no owner" };
                tracing::warn!(key = object.key, "an upload with {found} in its key starts no job under this tenancy");
                return Ok(());
            }
            Some(Err(error)) => {
                tracing::warn!(key = object.key, %error, "an upload under a bad id starts no job");
                return Ok(());
            }
            _ => {
                tracing::warn!(bucket = object.bucket, key = object.key, "not an upload");
                return Ok(());
            }
        };
        let Some(decision) = self.record_upload(&id, object, request).await? else {
            tracing::info!(%id, "the upload was replaced or removed before it was recorded");
            return Ok(());
        };
        match decision {
            Uploaded::Invoke(job) => {
                tracing::info!(%id, revision = %job.revision, request = job.request, "accepted");
                self.invoke(&job).await
            }
            Uploaded::Refuse(job) => {
                let refusal = job.error.as_ref();
                let error = refusal.map(tracing::field::display);
                tracing::info!(%id, revision = %job.revision, request = job.request, error, "refused");
                // Nothing reads it any more, and it would cost its size until the lifecycle ends it.
                if refusal.is_some_and(|error| error.code == ErrorCode::ImageTooLarge) {
                    self.objects.delete_if_match(&object.bucket, &object.key, &object.etag).await?;
                }
                Ok(())
            }
            Uploaded::Later(job) => {
                tracing::info!(%id, revision = %job.revision, "waits for the deletion of the earlier objects");
                Ok(())
            }
            Uploaded::Stale | Uploaded::Settled | Uploaded::Same(_) => {
                tracing::info!(%id, etag = object.etag, "nothing new");
                Ok(())
            }
        }
    }

    /// Records what an upload means; `None` if it was replaced or removed.
    ///
    /// The upload is looked at after the record is read, and again whenever the record has changed: a `DELETE` removes the upload
    /// before it writes the record.
    async fn record_upload(
        &self,
        id: &PortraitKey,
        object: &ObjectCreated,
        request: &Request,
    ) -> Result<Option<Uploaded>, HandlerError> {
        let ObjectCreated { bucket, key, etag, .. } = object;
        let sniffed = if object.size == 0 { 0 } else { ImageType::SNIFF_BYTES };
        let deadlines = self.settings.deadlines();
        loop {
            let current = self.jobs.get(id).await?;
            let Some(beginning) = self.objects.read_beginning(bucket, key, etag, sniffed).await? else {
                return Ok(None);
            };
            let mut upload = assess(id, object, &beginning, &self.settings.default_ages);
            // An upload that did not come by the REST API is known by the request of this function.
            upload.request.get_or_insert_with(|| request.id.clone());
            let claim = request.claim(self.clock.now());
            let decision = match upload.decide(current.as_ref(), &claim, &deadlines) {
                Uploaded::Settled | Uploaded::Same(_) if self.is_damaged(current.as_ref(), object.replayed).await? => {
                    tracing::warn!(%id, revision = %upload.revision, "objects of the job are gone: it is done again");
                    upload.again(&claim, &deadlines)
                }
                decision => decision,
            };
            let decision = match decision {
                Uploaded::Invoke(job) | Uploaded::Later(job)
                    if is_new(&job, current.as_ref()) && !self.has_quota(&job, claim.now).await? =>
                {
                    let message = format!(
                        "{} portraits were made today, the most of a day: upload it again after midnight (UTC)",
                        self.quota.daily()
                    );
                    let accepted = Err(JobError::new(ErrorCode::QuotaExceeded, message));
                    Upload { accepted, ..upload }.again(&claim, &deadlines)
                }
                decision => decision,
            };
            let done = match decision.job() {
                Some(job) => self.jobs.put(&job.clone().into(), current.as_ref()).await?,
                None => true,
            };
            if done {
                return Ok(Some(decision));
            }
        }
    }
}

/// Whether a job is another attempt than the record's.
fn is_new(job: &Job, current: Option<&Record>) -> bool {
    current.and_then(Record::job).is_none_or(|current| current.input != job.input)
}

impl ImageProcessor {
    /// Whether the owner may have one more portrait made today.
    async fn has_quota(&self, job: &Job, now: Timestamp) -> Result<bool, HandlerError> {
        let attempt = format!("{}/{}/{}", job.id.id(), job.revision, job.sequencer.short());
        self.quota.take(job.id.owner(), &attempt, now).await
    }

    /// Whether objects are gone that a job of this status has. The storage lost them or an older copy of the table was put back, since
    /// the record is always changed first.
    async fn is_damaged(&self, record: Option<&Record>, replayed: bool) -> Result<bool, HandlerError> {
        let Some(Record::Job(job)) = record else { return Ok(false) };
        if job.is_being_deleted(self.clock.now(), &self.settings.deadlines()) {
            return Ok(false);
        }
        match job.status {
            Status::Processing => self.lacks_answer(job, replayed).await,
            Status::Success => self.lacks_pictures(job).await,
            Status::Pending | Status::Failed | Status::Cancelled => Ok(false),
        }
    }

    /// Whether a job in the model has no answer, and neither a photograph for one. When events are replayed, the invocation may be gone
    /// although its photograph is there.
    async fn lacks_answer(&self, job: &Job, replayed: bool) -> Result<bool, HandlerError> {
        if !replayed && self.objects.exists(&self.settings.input_bucket, &job.input).await? {
            return Ok(false);
        }
        for location in [&job.output_location, &job.failure_location] {
            if let Some((bucket, key)) = location.as_deref().and_then(keys::split_location)
                && self.objects.exists(bucket, key).await?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn lacks_pictures(&self, job: &Job) -> Result<bool, HandlerError> {
        let kept = self.objects.keys(&self.settings.output_bucket, &keys::images(&job.id, &job.revision)).await?;
        let strip = keys::strip(&job.id, &job.revision);
        // The paths that clients see have no owner.
        let extension = job.extension.as_deref().unwrap_or("jpg");
        let pictures = (0..job.view().images.len()).map(|n| keys::panel(&job.id, &job.revision, n, extension));
        Ok(pictures.chain([strip]).any(|key| !kept.contains(&key)))
    }
}

/// Judges an upload by its event, its metadata and its first bytes. `default_ages`: for an upload that did not come by an API.
fn assess(id: &PortraitKey, object: &ObjectCreated, beginning: &Contents, default_ages: &Ages) -> Upload {
    let text = beginning.metadata.get(keys::AGES_METADATA);
    let stated = beginning.metadata.get(keys::DEFAULT_AGES_METADATA).and_then(|text| text.parse::<Ages>().ok());
    let ages = match text {
        Some(text) => text.parse::<Ages>(),
        None => Ok(stated.unwrap_or_else(|| default_ages.clone())),
    };
    // Unreadable ages are part of the revision as the client wrote them.
    let written = ages.as_ref().map_or_else(|_| text.cloned().unwrap_or_default(), Ages::to_string);
    let ages = ages.map_err(|error| JobError::new(ErrorCode::InvalidAges, error.to_string()));
    let accepted = ages.as_ref().map_err(JobError::clone).and_then(|_| check(object.size, &beginning.bytes));
    Upload {
        id: id.clone(),
        sequencer: object.sequencer.clone(),
        etag: object.etag.clone(),
        revision: Revision::new(&object.etag, &written),
        ages: ages.ok(),
        request: beginning.metadata.get(keys::REQUEST_METADATA).filter(|text| is_request(text)).cloned(),
        accepted,
    }
}

/// Whether a text may be the id of a request. S3 takes any metadata of its clients.
fn is_request(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte))
}

/// The picture's format, or why the model server would not accept the picture.
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
        let message = match ForeignType::sniff(first_bytes) {
            Some(foreign) => foreign.to_string(),
            None => "the upload is no picture that can be read: JPEG, PNG and WebP can".to_owned(),
        };
        JobError::new(ErrorCode::UnsupportedImage, message)
    })
}

#[cfg(test)]
mod tests {
    use pipeline::Sequencer;

    use super::*;

    #[test]
    fn uploads_are_judged_by_size_and_first_bytes() {
        let code = |size, bytes: &[u8]| check(size, bytes).unwrap_err().code;
        assert_eq!(code(0, b""), ErrorCode::CorruptImage);
        assert_eq!(code(5, b"hello"), ErrorCode::UnsupportedImage);
        let heic = check(40, b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic").unwrap_err();
        assert_eq!(heic.code, ErrorCode::UnsupportedImage);
        assert!(heic.message.contains("HEIC") && heic.message.contains("Most Compatible"), "{}", heic.message);
        assert_eq!(code(60 << 20, b"\xff\xd8\xff"), ErrorCode::ImageTooLarge);
        assert_eq!(check(3, b"\xff\xd8\xff"), Ok(ImageType::Jpeg));
    }

    #[test]
    fn the_ages_are_judged_before_the_picture() {
        let object = ObjectCreated {
            bucket: "b".into(),
            key: "uploads/ada".into(),
            etag: "e".into(),
            size: 5,
            sequencer: Sequencer::new("01"),
            replayed: false,
        };
        let of = |metadata: &[(&str, &str)], bytes: &[u8]| {
            let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let contents = Contents { bytes: bytes.to_vec(), media_type: None, metadata };
            assess(&"ada".parse().unwrap(), &object, &contents, &Ages::default())
        };
        let assess =
            |ages: Option<&str>, bytes: &[u8]| of(ages.map(|ages| (keys::AGES_METADATA, ages)).as_slice(), bytes);
        let good = assess(None, b"\xff\xd8\xff");
        assert_eq!((good.accepted, good.ages), (Ok(ImageType::Jpeg), Some(Ages::default())));
        assert_eq!(good.revision, Revision::new("e", "20,40,60,80"));
        let bad = assess(Some("old"), b"hello");
        assert_eq!((bad.accepted.unwrap_err().code, bad.ages), (ErrorCode::InvalidAges, None));
        assert_eq!(bad.revision, Revision::new("e", "old"));
        let bad = assess(Some("30, 70"), b"hello");
        assert_eq!(bad.accepted.unwrap_err().code, ErrorCode::UnsupportedImage);
        assert_eq!(bad.revision, Revision::new("e", "30,70"));

        // The default of the moment when the upload was accepted.
        let stated = |metadata: &[(&str, &str)]| of(metadata, b"\xff\xd8\xff").ages.unwrap().to_string();
        assert_eq!(stated(&[("default-ages", "25,55")]), "25,55");
        assert_eq!(stated(&[("default-ages", "25,55"), ("ages", "7")]), "7");
        assert_eq!(stated(&[("default-ages", "old")]), "20,40,60,80");

        // The request is the REST API's, and no other text.
        let request = |text: &str| of(&[("request", text)], b"\xff\xd8\xff").request;
        assert_eq!(request("7c0ff3e1-4c1c").as_deref(), Some("7c0ff3e1-4c1c"));
        for bad in ["", "a b", "a\n", "<b>", &"x".repeat(65)] {
            assert_eq!(request(bad), None, "{bad:?}");
        }
    }
}
