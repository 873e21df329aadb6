//! image-processor: three triggers, one function.
//!
//! S3's `Object Created` under `uploads/` starts a job, SageMaker's notice on SNS ends it, a schedule sweeps up what
//! was left behind. Record first, then invoke, then record where the output will be: a crash between any two steps, a
//! duplicate or a reordered event ends in the same state.

use std::sync::Arc;

use futures::future::join_all;
use lambda_runtime::{LambdaEvent, service_fn};
use pipeline::notification::{Record, records};
use pipeline::{Claim, Timestamp};
use serde_json::Value;

use crate::clients::Clients;
use crate::deletion::Deletion;
use crate::error::HandlerError;
use crate::jobs::Jobs;
use crate::{Clock, Settings, init_logging};

/// The function, ready to handle events.
pub struct ImageProcessor {
    pub(crate) settings: Settings,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) sagemaker: aws_sdk_sagemakerruntime::Client,
    pub(crate) jobs: Jobs,
    pub(crate) clock: Clock,
}

/// Who handles an event: the Lambda request, which stays the same through its retries.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: String,
}

impl Request {
    pub(crate) fn claim(&self, now: Timestamp) -> Claim {
        Claim { by: self.id.clone(), now }
    }
}

/// Runs the function until Lambda ends it.
///
/// # Errors
/// Where the environment lacks a setting, or the Runtime API fails.
pub fn main() -> anyhow::Result<()> {
    init_logging();
    let settings = Settings::from_env()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let processor = ImageProcessor::new(settings, Clients::from_env().await, Clock::system());
        let processor = Arc::new(processor);
        let handler = service_fn(move |event: LambdaEvent<Value>| {
            let processor = Arc::clone(&processor);
            async move { processor.handle(&event.payload, &event.context.request_id).await }
        });
        lambda_runtime::run(handler).await.map_err(|error| anyhow::anyhow!(error).context("the Lambda runtime failed"))
    })
}

impl ImageProcessor {
    /// The function over these clients.
    pub fn new(settings: Settings, clients: Clients, clock: Clock) -> Self {
        let jobs = Jobs::new(clients.dynamodb, &settings);
        Self { settings, s3: clients.s3, sagemaker: clients.sagemaker, jobs, clock }
    }

    /// Handles every record of an event; each on its own, so that one that fails costs the others nothing. `request_id` is that of
    /// the Lambda request.
    ///
    /// # Errors
    /// [`HandlerError`]: to be tried again, by the same request id.
    pub async fn handle(&self, event: &Value, request_id: &str) -> Result<(), HandlerError> {
        let records = records(event)?;
        let request = &Request { id: request_id.to_owned() };
        let handled = records.into_iter().map(async |record| match record? {
            Record::ObjectCreated(object) => self.object_created(&object, request).await,
            Record::InferenceResult(result) => self.inference_result(&result).await,
            Record::Sweep => self.sweep(request, self.clock.now()).await,
            Record::CollectOrphans => self.collect_orphans(self.clock.now()).await,
        });
        HandlerError::batch(join_all(handled).await)
    }

    pub(crate) fn deletion(&self) -> Deletion<'_> {
        Deletion { settings: &self.settings, s3: &self.s3, jobs: &self.jobs, clock: &self.clock }
    }
}
