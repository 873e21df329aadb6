use lambda_runtime::Diagnostic;
use pipeline::notification::NotificationError;

/// Why a handler failed. Lambda retries the event, and after the last retry puts it into the dead-letter queue.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The event cannot be read.
    #[error(transparent)]
    Notification(#[from] NotificationError),
    /// An AWS service did not do what it was asked.
    #[error("{action} failed")]
    Aws {
        /// Service and operation.
        action: &'static str,
        /// What the SDK says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// S3 kept an object that was to be deleted.
    #[error("s3:DeleteObjects kept {bucket}/{key}: {message}")]
    Undeleted {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// S3's reason.
        message: String,
    },
    /// A job's record is not one of ours.
    #[error("the record of a job cannot be converted")]
    Record(#[from] serde_dynamo::Error),
    /// A task of this process ended early.
    #[error("a background task broke off")]
    Task(#[from] tokio::task::JoinError),
    /// Some records of a batch failed. All were tried; trying again does no harm to those that did not fail.
    #[error("{failed} of {total} records failed, the first one: {}", chain(first))]
    Batch {
        /// How many failed.
        failed: usize,
        /// How many there were.
        total: usize,
        /// The first failure.
        first: Box<Self>,
    },
}

impl HandlerError {
    /// An error of an AWS service, with the operation that was asked for.
    pub(crate) fn aws<E>(action: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Aws { action, source: Box::new(source) }
    }

    /// Makes one result of many, all of which were tried.
    pub(crate) fn batch(results: Vec<Result<(), Self>>) -> Result<(), Self> {
        let total = results.len();
        let mut failures: Vec<Self> = results.into_iter().filter_map(Result::err).collect();
        for failure in &failures {
            tracing::error!(error = chain(failure), "a record failed");
        }
        match failures.len() {
            0 => Ok(()),
            1 if total == 1 => Err(failures.remove(0)),
            failed => Err(Self::Batch { failed, total, first: Box::new(failures.remove(0)) }),
        }
    }
}

/// An error and everything that led to it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        let error_type = match &error {
            HandlerError::Notification(_) => "UnreadableEvent",
            HandlerError::Aws { .. } | HandlerError::Undeleted { .. } => "AwsServiceFailed",
            HandlerError::Record(_) => "UnreadableRecord",
            HandlerError::Task(_) => "TaskFailed",
            HandlerError::Batch { .. } => "BatchFailed",
        };
        Self { error_type: error_type.to_owned(), error_message: chain(&error) }
    }
}
