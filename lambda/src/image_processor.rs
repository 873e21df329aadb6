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
use crate::error::HandlerError;
use crate::jobs::Jobs;
use crate::{Settings, init_logging, now};

pub(crate) struct ImageProcessor {
    pub(crate) settings: Settings,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) sagemaker: aws_sdk_sagemakerruntime::Client,
    pub(crate) jobs: Jobs,
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
        let clients = Clients::from_env().await;
        let jobs = Jobs::new(clients.dynamodb, &settings);
        let processor = ImageProcessor { settings, s3: clients.s3, sagemaker: clients.sagemaker, jobs };
        let processor = Arc::new(processor);
        let handler = service_fn(move |event: LambdaEvent<Value>| {
            let processor = Arc::clone(&processor);
            async move { processor.handle(&event.payload, &Request { id: event.context.request_id }).await }
        });
        lambda_runtime::run(handler).await.map_err(|error| anyhow::anyhow!(error).context("the Lambda runtime failed"))
    })
}

impl ImageProcessor {
    /// Handles every record of an event; each on its own, so that one that fails costs the others nothing.
    async fn handle(&self, event: &Value, request: &Request) -> Result<(), HandlerError> {
        let records = records(event)?;
        let handled = records.into_iter().map(async |record| match record? {
            Record::ObjectCreated(object) => self.object_created(&object, request).await,
            Record::InferenceResult(result) => self.inference_result(&result).await,
            Record::Sweep => self.sweep(request, now()).await,
        });
        HandlerError::batch(join_all(handled).await)
    }
}
