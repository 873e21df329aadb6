use lambda_runtime::Diagnostic;
use pipeline::event::EventError;

/// Why a handler failed. Lambda retries the event, and puts it into the dead-letter queue after the last retry.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The event cannot be read.
    #[error(transparent)]
    Event(#[from] EventError),
    /// An operation of an AWS service failed.
    #[error("{action} failed")]
    Aws {
        /// Service, operation, and the object's bucket and key if there is one.
        action: String,
        /// The SDK's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// S3 did not delete an object.
    #[error("s3:DeleteObjects kept {bucket}/{key}: {message}")]
    Undeleted {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// S3's reason.
        message: String,
    },
    /// S3 does not have the strip of a job that still waits for it.
    #[error("the strip {bucket}/{key} is missing: the job waits for it until its deadline")]
    MissingStrip {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// An item of the jobs table is not a record.
    #[error("the record of a job cannot be converted")]
    Record(#[from] serde_dynamo::Error),
    /// A background task was cancelled or panicked.
    #[error("a background task did not finish")]
    Task(#[from] tokio::task::JoinError),
    /// Some tasks of an event failed. All were tried, and repeating a completed one does no harm.
    #[error("{failed} of {total} tasks failed")]
    Batch {
        /// The number of failed tasks.
        failed: usize,
        /// The number of tasks.
        total: usize,
        /// The first failure.
        #[source]
        first: Box<Self>,
    },
}

impl HandlerError {
    /// The error of an AWS service, with its operation: `dynamodb:GetItem`.
    pub(crate) fn aws<E>(action: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Aws { action: action.to_owned(), source: Box::new(source) }
    }

    /// The error of an operation of S3 on an object.
    pub(crate) fn s3<E>(operation: &'static str, bucket: &str, key: &str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Aws { action: format!("s3:{operation} of {bucket}/{key}"), source: Box::new(source) }
    }

    /// Makes one result of the results of many tasks.
    pub(crate) fn batch(results: Vec<Result<(), Self>>) -> Result<(), Self> {
        let total = results.len();
        let mut failures: Vec<Self> = results.into_iter().filter_map(Result::err).collect();
        for failure in &failures {
            tracing::error!(error = chain(failure), "a task failed");
        }
        match failures.len() {
            0 => Ok(()),
            1 if total == 1 => Err(failures.remove(0)),
            failed => Err(Self::Batch { failed, total, first: Box::new(failures.remove(0)) }),
        }
    }
}

/// An error and its sources, as anyhow's `{:#}` writes them; anyhow would have to own the error.
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
            HandlerError::Event(_) => "UnreadableEvent",
            HandlerError::Aws { .. } | HandlerError::Undeleted { .. } | HandlerError::MissingStrip { .. } => {
                "AwsServiceFailed"
            }
            HandlerError::Record(_) => "UnreadableRecord",
            HandlerError::Task(_) => "TaskFailed",
            HandlerError::Batch { .. } => "BatchFailed",
        };
        Self { error_type: error_type.to_owned(), error_message: chain(&error) }
    }
}
