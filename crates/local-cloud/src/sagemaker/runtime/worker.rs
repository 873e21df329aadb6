//! The worker of an endpoint's queue: it hands each invocation to the model server, writes the answer to S3, and publishes a notice.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::StatusCode;
use rusqlite::Transaction;
use tokio::task::JoinSet;

use super::async_invocation::{AsyncInvocation, Input};
use crate::container_contract::{CUSTOM_ATTRIBUTES, ContractError};
use crate::error::chain;
use crate::journal::Journal;
use crate::queue::{self, Message};
use crate::s3::{Attributes, ObjectStore, Output, StoreError, split_uri};
use crate::sagemaker::hosting::{Answer, Hosted, InvokeError, Lease, ModelRequest};
use crate::sagemaker::notice;
use crate::sns::Sns;

/// The most attempts of an invocation whose model server dies.
const MAX_TRIES: u32 = 3;
/// The pause before the next attempt where an overloaded server sends no `Retry-After`.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(crate) struct Worker {
    store: Arc<ObjectStore>,
    journal: Arc<Journal>,
    sns: Sns,
}

/// The outcome of an attempt.
enum Outcome {
    /// The answer, with its media type and its custom attributes.
    Completed { output: Output, attributes: Box<Attributes> },
    /// The reason of the failure, and the content of the failure object.
    Failed { reason: String, object: Output },
    /// The connection broke: the next attempt is after this time.
    Again(Duration),
    /// The server takes no requests now: the next attempt is after this time, and this one does not count.
    Busy(Duration),
}

impl Worker {
    pub(crate) fn new(store: Arc<ObjectStore>, journal: Arc<Journal>, sns: Sns) -> Self {
        Self { store, journal, sns }
    }

    /// Handles the queue of an endpoint, with the concurrency of its current deployment.
    pub(crate) fn run(self: Arc<Self>, hosted: Arc<Hosted>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let name = queue::of_endpoint(&hosted.name);
            let mut serving = hosted.serving();
            let mut queued = self.journal.queued();
            let mut working = JoinSet::new();
            loop {
                let instance = serving.borrow_and_update().as_ref().map(|serving| serving.instance());
                let next = async {
                    match &instance {
                        Some(instance) => queue::next(&self.journal, &name, &mut queued, instance).await,
                        None => pending().await,
                    }
                };
                tokio::select! {
                    // In this order, so that no message is received after the deletion.
                    biased;
                    () = hosted.gone() => break,
                    _ = serving.changed() => {}
                    next = next => {
                        let Ok((message, permit)) = next else { break };
                        let (worker, hosted) = (Arc::clone(&self), Arc::clone(&hosted));
                        working.spawn(async move {
                            worker.process(&hosted, &message).await;
                            drop(permit);
                        });
                    }
                    Some(_) = working.join_next() => {}
                }
            }
            while working.join_next().await.is_some() {}
        })
    }

    /// Carries out an invocation. Breaks off if the endpoint is deleted.
    async fn process(&self, hosted: &Hosted, message: &Message) {
        let mut invocation = match serde_json::from_str::<AsyncInvocation>(&message.body) {
            Ok(invocation) => invocation,
            Err(error) => {
                tracing::error!(%error, request = message.request_id, "a queued invocation cannot be read");
                return queue::settle(&self.journal, |transaction| queue::delete(transaction, message)).await;
            }
        };
        let mut outcome = tokio::select! {
            outcome = self.attempt(hosted, &invocation, message) => outcome,
            () = hosted.gone() => return,
        };
        if self.journal.is_stopping() {
            return;
        }
        // The answer was expensive, so it is kept until it is written.
        let mut pause = RETRY_AFTER;
        while let Err(error) = self.settle(&invocation, message, &mut outcome).await {
            // A missing bucket stays missing.
            if let StoreError::NoSuchBucket(_) = &error {
                match outcome {
                    Outcome::Completed { .. } => {
                        let location = &invocation.output_location;
                        outcome = self.failed(format!("the output {location} cannot be written: {}", chain(&error)));
                    }
                    // The failure is published only.
                    _ => invocation.failure_location = None,
                }
                continue;
            }
            tracing::error!(
                inference_id = message.request_id,
                error = chain(&error),
                "an answer cannot be written: to be tried again"
            );
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = hosted.gone() => return,
            }
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }

    async fn attempt(&self, hosted: &Hosted, invocation: &AsyncInvocation, message: &Message) -> Outcome {
        let left = self.left(invocation, message);
        let serving = if left.is_zero() { None } else { hosted.healthy(left).await };
        let Some(serving) = serving else {
            let reason = format!("Request expired after {} seconds in the queue", invocation.request_ttl_seconds);
            return self.failed(reason);
        };
        let (input, stored_type) = match self.input(&invocation.input).await {
            Ok(input) => input,
            Err(reason) => return self.failed(reason),
        };
        let request = ModelRequest {
            // The SageMaker SDK's asynchronous predictor names it for the object only.
            content_type: invocation.content_type.clone().or(stored_type),
            accept: invocation.accept.clone(),
            custom_attributes: invocation.custom_attributes.clone(),
            inference_id: Some(invocation.inference_id.clone()),
            chunked: false,
        };
        let timeout = Duration::from_secs(invocation.invocation_timeout_seconds);
        match self.invoke(&serving, &request, input, timeout).await {
            // It expires in time, whatever the server asks for.
            Ok(Outcome::Busy(delay)) => Outcome::Busy(delay.min(self.left(invocation, message))),
            Ok(outcome) => outcome,
            Err(InvokeError::Connection { source, .. }) if message.receives < MAX_TRIES => {
                tracing::warn!(error = %source, inference_id = invocation.inference_id, "the model server broke off: to be tried again");
                Outcome::Again(Duration::from_millis(100))
            }
            Err(InvokeError::NotHealthy) => Outcome::Busy(Duration::from_millis(100)),
            Err(error) => self.failed(error.to_string()),
        }
    }

    /// How long the request may still wait for the model server.
    fn left(&self, invocation: &AsyncInvocation, message: &Message) -> Duration {
        let waited = u64::try_from(self.journal.clock().now_millis() - message.sent).unwrap_or(0);
        Duration::from_secs(invocation.request_ttl_seconds).saturating_sub(Duration::from_millis(waited))
    }

    /// Has the model server answer, and takes in its answer.
    async fn invoke(
        &self,
        serving: &Lease,
        request: &ModelRequest,
        input: Bytes,
        timeout: Duration,
    ) -> Result<Outcome, InvokeError> {
        self.store.prepare();
        let start = Instant::now();
        let answer = serving.sole().invoke(request, input, timeout).await?;
        // The head is sent when the answer is complete. Taking in the body is the pipeline's time.
        let elapsed = start.elapsed();
        if answer.status.is_success() {
            let checked = answer.check_asynchronous().and_then(|()| attributes(&answer));
            let attributes = match checked {
                Ok(attributes) => Box::new(attributes),
                Err(broken) => return Ok(self.failed(broken.to_string())),
            };
            let output = self.store.take_in(answer.stream()).await?;
            tracing::info!(
                target: "hop", service = "SageMaker", action = "Invocation",
                detail = %format_args!("{}, {} bytes", request.inference_id.as_deref().unwrap_or_default(), output.len()),
                model_seconds = elapsed.as_secs_f64()
            );
            return Ok(Outcome::Completed { output, attributes });
        }
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(Outcome::Busy(answer.retry_after.map_or(RETRY_AFTER, Duration::from_secs)));
        }
        self.refused(answer).await
    }

    /// The outcome of an answer that is an error.
    async fn refused(&self, answer: Answer) -> Result<Outcome, InvokeError> {
        let (kind, container) = (answer.error_kind(), answer.container.clone());
        let body = answer.collect().await?;
        let words = String::from_utf8_lossy(&body);
        let reason = format!("Received {kind} from {container} with message \"{words}\"");
        Ok(Outcome::Failed { reason, object: self.store.output(&body) })
    }

    /// A failure whose object is its reason.
    fn failed(&self, reason: String) -> Outcome {
        Outcome::Failed { object: self.store.output(reason.as_bytes()), reason }
    }

    /// The input, and its object's `Content-Type`.
    async fn input(&self, input: &Input) -> Result<(Bytes, Option<String>), String> {
        match input {
            Input::Inline(text) => {
                let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
                Ok((bytes.into(), None))
            }
            Input::Location(location) => {
                let Some((bucket, key)) = split_uri(location) else {
                    return Err(format!("{location} is not s3://bucket/key"));
                };
                let read = self.store.read(bucket, key).await;
                read.map(|(object, bytes)| (bytes, object.attributes.content_type))
                    .map_err(|error| format!("the input {location} cannot be read: {}", chain(&error)))
            }
        }
    }

    /// Writes the answer to its file. Then one transaction makes it an object, publishes the notice and deletes the message.
    async fn settle(
        &self,
        invocation: &AsyncInvocation,
        message: &Message,
        outcome: &mut Outcome,
    ) -> Result<(), StoreError> {
        let now = self.journal.clock().now_millis();
        let (location, output, attributes, topic, notice) = match outcome {
            Outcome::Again(delay) => {
                return Ok(self.journal.write(|transaction| queue::retry(transaction, message, now, *delay))?);
            }
            Outcome::Busy(delay) => {
                return Ok(self.journal.write(|transaction| queue::postpone(transaction, message, now, *delay))?);
            }
            Outcome::Completed { output, attributes } => {
                let notice = invocation.notice(Ok(attributes.content_type.as_deref()));
                let location = Some(&invocation.output_location);
                (location, output, (**attributes).clone(), &invocation.topics.success_topic, notice)
            }
            Outcome::Failed { reason, object } => {
                tracing::info!(
                    target: "hop", service = "SageMaker", action = "Failure",
                    detail = %format_args!("{}: {reason}", invocation.inference_id)
                );
                let notice = invocation.notice(Err(reason));
                (
                    invocation.failure_location.as_ref(),
                    object,
                    Attributes::default(),
                    &invocation.topics.error_topic,
                    notice,
                )
            }
        };
        let publish = |transaction: &Transaction<'_>| {
            if let Some(topic) = topic {
                notice::publish(&self.sns, transaction, topic, &notice)?;
            }
            queue::delete(transaction, message)
        };
        let Some(location) = location else { return Ok(self.journal.write(publish)?) };
        let (bucket, key) = split_uri(location).ok_or_else(|| StoreError::NoSuchKey(location.clone()))?;
        self.store.put(bucket, key, output, attributes, publish).await.map(drop)
    }
}

/// The attributes of an output. SageMaker's notices have no place for the model's custom attributes, so they are metadata of the object.
fn attributes(answer: &Answer) -> Result<Attributes, ContractError> {
    let custom = answer.custom_attributes()?.map(|text| (CUSTOM_ATTRIBUTES.to_string(), text));
    Ok(Attributes {
        content_type: answer.content_type.clone(),
        metadata: custom.into_iter().collect(),
        ..Attributes::default()
    })
}
