//! image-processor: one function with four triggers.
//!
//! S3's `Object Created` under `uploads/` starts a job, and SageMaker's notice on SNS ends it. One schedule starts the sweep, and
//! another collects orphans. The job is recorded, then the endpoint is invoked, then the output's location is recorded. A crash
//! between two of these steps, a duplicate event and a reordered event lead to the same final state.

use std::sync::Arc;

use futures::future::join_all;
use lambda_runtime::{LambdaEvent, service_fn};
use pipeline::event::{Trigger, triggers};
use pipeline::{Claim, Timestamp};
use serde_json::Value;

use crate::clients::Clients;
use crate::deletion::Deletion;
use crate::error::HandlerError;
use crate::jobs::Jobs;
use crate::objects::Objects;
use crate::quota::Quota;
use crate::{Clock, Settings, Splitter, init_logging};

/// The function, ready to handle events.
pub struct ImageProcessor {
    pub(crate) settings: Settings,
    pub(crate) objects: Objects,
    pub(crate) splitter: Arc<Splitter>,
    pub(crate) sagemaker: aws_sdk_sagemakerruntime::Client,
    pub(crate) jobs: Jobs,
    pub(crate) quota: Quota,
    pub(crate) clock: Clock,
}

/// The Lambda request that handles an event. Its id stays the same through Lambda's retries.
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
    // One invocation at a time runs here. With more threads, each piece of a strip would wake another one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
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
    /// The function with these clients.
    pub fn new(settings: Settings, clients: Clients, clock: Clock) -> Self {
        let quota = Quota::new(clients.dynamodb.clone(), &settings.jobs_table, settings.daily_quota);
        let jobs = Jobs::new(clients.dynamodb, &settings);
        let (objects, splitter) = (Objects::new(clients.s3), Arc::default());
        Self { settings, objects, splitter, sagemaker: clients.sagemaker, jobs, quota, clock }
    }

    /// Handles every trigger in an event. Each is handled independently, so that a failure does not affect the others.
    /// `request_id` is the Lambda request's.
    ///
    /// # Errors
    /// [`HandlerError`]: the event should be retried, with the same request id.
    pub async fn handle(&self, event: &Value, request_id: &str) -> Result<(), HandlerError> {
        let triggers = triggers(event)?;
        let request = &Request { id: request_id.to_owned() };
        let handled = triggers.into_iter().map(async |trigger| match trigger? {
            Trigger::ObjectCreated(object) => self.object_created(&object, request).await,
            Trigger::InferenceResult(result) => self.inference_result(&result).await,
            Trigger::Sweep => self.sweep(request, self.clock.now()).await,
            Trigger::CollectOrphans => self.collect_orphans(self.clock.now()).await,
        });
        HandlerError::batch(join_all(handled).await)
    }

    pub(crate) fn deletion(&self) -> Deletion<'_> {
        Deletion { settings: &self.settings, objects: &self.objects, jobs: &self.jobs, clock: &self.clock }
    }
}
