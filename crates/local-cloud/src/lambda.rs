//! Lambda: functions as child processes, scaled out to a limit. Asynchronous invocations are retried, and end in a dead-letter
//! queue after the last attempt.

mod environment;
mod report;
mod usage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::json;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::aws_error::{json_error, not_implemented};
use crate::body::{BodyError, collect};
use crate::error::chain;
use crate::journal::Journal;
use crate::queue::{self, Message};
use crate::schedule;
use crate::stack::Function;
use environment::Environment;
pub(crate) use environment::Host;
use usage::Usage;

/// The largest event and the largest answer: 6 MB.
pub(crate) const MAX_PAYLOAD: usize = 6 * 1024 * 1024;
/// The largest event of an asynchronous invocation: 1 MB.
const MAX_ASYNC_PAYLOAD: usize = 1024 * 1024;
/// The one version of every function.
const LATEST: &str = "$LATEST";
/// How long an environment is kept idle.
const IDLE: Duration = Duration::from_secs(300);

/// What a function answers to an invocation, through its Runtime API.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Response(Bytes),
    Error(Bytes),
}

/// The outcome of an invocation.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The function's answer, or Lambda's error.
    pub(crate) payload: Bytes,
    /// Whether it is an error.
    pub(crate) failed: bool,
}

struct State {
    function: Function,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Environment>>,
}

pub(crate) struct Lambda {
    functions: BTreeMap<String, State>,
    host: Host,
    journal: Arc<Journal>,
    pub(crate) usage: Usage,
}

impl Lambda {
    pub(crate) fn new(functions: &[Function], host: Host, journal: Arc<Journal>) -> Arc<Self> {
        let state = |function: &Function| State {
            function: function.clone(),
            permits: Arc::new(Semaphore::new(function.concurrency)),
            idle: Mutex::default(),
        };
        let usage = Usage::new(functions.iter().map(|function| function.name.as_str()));
        let functions = functions.iter().map(|function| (function.name.clone(), state(function))).collect();
        Arc::new(Self { functions, host, journal, usage })
    }

    /// Starts the provisioned environments and the workers of the queues.
    pub(crate) async fn start(self: &Arc<Self>) {
        for (name, state) in &self.functions {
            for _ in 0..state.function.provisioned_concurrency {
                match Environment::start(&state.function, &self.host).await {
                    Ok(environment) => state.put_back(environment),
                    Err(error) => {
                        tracing::error!(function = name, error = chain(&error), "an environment cannot be provisioned");
                    }
                }
            }
            tokio::spawn(Arc::clone(self).work(name.clone()));
        }
        tokio::spawn(Arc::clone(self).reap());
    }

    /// Stops every idle process. Busy ones end with this process.
    pub(crate) async fn stop(&self) {
        for state in self.functions.values() {
            state.permits.close();
            let idle = std::mem::take(&mut *state.idle.lock().unwrap_or_else(PoisonError::into_inner));
            for environment in idle {
                environment.stop().await;
            }
        }
    }

    /// The names of the queues of asynchronous invocations and of dead letters.
    pub(crate) fn queues(&self) -> impl Iterator<Item = String> {
        self.functions.values().flat_map(|state| {
            let dead_letters = state.function.retry.dead_letter_queue.as_deref().map(queue::of_dead_letters);
            [queue::of_function(&state.function.name)].into_iter().chain(dead_letters)
        })
    }

    pub(crate) fn contains(&self, function: &str) -> bool {
        self.functions.contains_key(function)
    }

    /// Invokes a function and waits for its answer; `None` if there is no such function. The function runs to its end even if the
    /// caller is dropped.
    pub(crate) async fn invoke(self: &Arc<Self>, function: &str, payload: Bytes) -> Option<Outcome> {
        let state = self.functions.get(function)?;
        let stops = || failure("", "Stopping", "Lambda stops");
        // Closed when the cloud stops.
        let Ok(permit) = Arc::clone(&state.permits).acquire_owned().await else { return Some(stops()) };
        let lambda = Arc::clone(self);
        let function = function.to_owned();
        let running = tokio::spawn(async move {
            let state = &lambda.functions[&function];
            show_hop(state);
            let outcome = lambda.run(state, &Uuid::new_v4().to_string(), payload).await;
            drop(permit);
            outcome
        });
        Some(running.await.unwrap_or_else(|_| stops()))
    }

    /// Runs one event, and counts it. The caller holds a permit.
    async fn run(&self, state: &State, request_id: &str, payload: Bytes) -> Outcome {
        let running = self.usage.begin(&state.function.name);
        let outcome = self.run_uncounted(state, request_id, payload).await;
        running.end(outcome.failed);
        outcome
    }

    /// Runs one event in an idle environment, or in a new one.
    async fn run_uncounted(&self, state: &State, request_id: &str, payload: Bytes) -> Outcome {
        let environment = match state.take_idle() {
            Some(environment) => Ok(environment),
            None => {
                tracing::debug!(function = state.function.name, "cold start");
                Environment::start(&state.function, &self.host).await
            }
        };
        let mut environment = match environment {
            Ok(environment) => environment,
            Err(error) => return failure(request_id, error.error_type(), &chain(&error)),
        };
        match environment.invoke(request_id, payload, state.function.timeout).await {
            Ok(reply) => {
                state.put_back(environment);
                match reply {
                    Reply::Response(payload) => Outcome { payload, failed: false },
                    Reply::Error(payload) => Outcome { payload, failed: true },
                }
            }
            Err(error) => failure(request_id, error.error_type(), &chain(&error)),
        }
    }

    /// Handles the asynchronous invocations of one function, up to its concurrency at a time.
    async fn work(self: Arc<Self>, name: String) {
        let state = &self.functions[&name];
        let queue = queue::of_function(&name);
        let mut queued = self.journal.queued();
        loop {
            let next = queue::next(&self.journal, &queue, &mut queued, &state.permits).await;
            let Ok((message, permit)) = next else { return };
            let lambda = Arc::clone(&self);
            let name = name.clone();
            tokio::spawn(async move {
                let state = &lambda.functions[&name];
                // Schedules invoke every few seconds, and would flood the log of hops.
                if !message.body.contains(schedule::DETAIL_TYPE) {
                    show_hop(state);
                }
                let payload = Bytes::from(message.body.clone());
                let outcome = lambda.run(state, &message.request_id, payload).await;
                drop(permit);
                lambda.settle(&state.function, &message, &outcome).await;
            });
        }
    }

    async fn settle(&self, function: &Function, message: &Message, outcome: &Outcome) {
        if self.journal.is_stopping() {
            return;
        }
        if !outcome.failed {
            return queue::settle(&self.journal, |transaction| queue::delete(transaction, message)).await;
        }
        let (name, now) = (&function.name, self.journal.clock().now_millis());
        let reason = String::from_utf8_lossy(&outcome.payload).into_owned();
        let tries = usize::try_from(message.receives).unwrap_or(usize::MAX);
        if let Some(backoff) = function.retry.backoff.get(tries - 1) {
            tracing::warn!(function = name, tries, retry_in = ?backoff, reason, "an asynchronous invocation failed");
            return queue::settle(&self.journal, |transaction| queue::retry(transaction, message, now, *backoff)).await;
        }
        tracing::error!(function = name, tries, reason, event = message.body, "an event has failed its last attempt");
        queue::settle(&self.journal, |transaction| {
            if let Some(dead_letters) = &function.retry.dead_letter_queue {
                let queue = queue::of_dead_letters(dead_letters);
                queue::send(transaction, &queue, &message.request_id, &message.body, now, Duration::ZERO)?;
            }
            queue::delete(transaction, message)
        })
        .await;
    }

    /// Stops environments that were idle for [`IDLE`].
    async fn reap(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(IDLE / 5);
        loop {
            ticks.tick().await;
            for state in self.functions.values() {
                for environment in state.take_expired() {
                    environment.stop().await;
                }
            }
        }
    }

    /// Answers a request to the Lambda API.
    pub(crate) async fn call(self: &Arc<Self>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let invoked = path
            .strip_prefix("/2015-03-31/functions/")
            .and_then(|rest| rest.strip_suffix("/invocations"))
            .filter(|_| parts.method == Method::POST);
        let Some(name) = invoked else { return not_implemented(&format!("Lambda: {} {path}", parts.method)) };
        let (name, qualifier) = (function_name(name), qualifier(&parts.uri));
        let other_version = qualifier.filter(|qualifier| qualifier != LATEST);
        if !self.contains(&name) || other_version.is_some() {
            let named = other_version.map_or_else(|| name.clone(), |version| format!("{name}:{version}"));
            let message = format!("Function not found: {}", environment::arn(&named));
            return json_error(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
        }
        let payload = match collect(body, MAX_PAYLOAD).await {
            Ok(body) => body,
            Err(error @ BodyError::TooLarge(_)) => {
                return json_error(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &chain(&error));
            }
            Err(error @ BodyError::Broken(_)) => {
                return json_error(StatusCode::BAD_REQUEST, "InvalidRequestContentException", &chain(&error));
            }
        };
        let payload = if payload.is_empty() { Bytes::from_static(b"{}") } else { payload };
        if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&payload) {
            let message = format!("Could not parse request body into json: {error}");
            return json_error(StatusCode::BAD_REQUEST, "InvalidRequestContentException", &message);
        }
        match invocation_type(&parts.headers) {
            "RequestResponse" => match log_type(&parts.headers) {
                "None" => self.request_response(&name, payload).await,
                other => not_implemented(&format!("Lambda: LogType={other}")),
            },
            "Event" => self.event(&name, &payload),
            "DryRun" => StatusCode::NO_CONTENT.into_response(),
            other => {
                let message = format!("{other:?} is not an invocation type: RequestResponse, Event and DryRun are");
                json_error(StatusCode::BAD_REQUEST, "InvalidParameterValueException", &message)
            }
        }
    }

    async fn request_response(self: &Arc<Self>, name: &str, payload: Bytes) -> Response {
        match self.invoke(name, payload).await {
            Some(Outcome { payload, failed }) => {
                let mut headers = HeaderMap::new();
                headers.insert("x-amz-executed-version", http::HeaderValue::from_static(LATEST));
                if failed {
                    headers.insert("x-amz-function-error", http::HeaderValue::from_static("Unhandled"));
                }
                (headers, payload).into_response()
            }
            None => json_error(StatusCode::NOT_FOUND, "ResourceNotFoundException", name),
        }
    }

    fn event(&self, name: &str, payload: &Bytes) -> Response {
        let text = String::from_utf8_lossy(payload);
        if text.len() > MAX_ASYNC_PAYLOAD {
            let message = format!("{MAX_ASYNC_PAYLOAD} bytes are the most an asynchronous event may have");
            return json_error(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &message);
        }
        let request_id = Uuid::new_v4().to_string();
        let (queue, now) = (queue::of_function(name), self.journal.clock().now_millis());
        match self
            .journal
            .write(|transaction| queue::send(transaction, &queue, &request_id, &text, now, Duration::ZERO))
        {
            Ok(()) => StatusCode::ACCEPTED.into_response(),
            Err(error) => json_error(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", &error.to_string()),
        }
    }
}

/// The name in a function's name or ARN, with or without the one version, `$LATEST`.
fn function_name(name: &str) -> String {
    let decoded = name.replace("%3A", ":").replace("%3a", ":").replace("%24", "$");
    let name = decoded.rsplit_once(":function:").map_or(decoded.as_str(), |(_, name)| name);
    name.strip_suffix(":$LATEST").unwrap_or(name).to_owned()
}

/// The version or the alias that a request names beside the function.
fn qualifier(uri: &Uri) -> Option<String> {
    let Query(members) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    members.into_iter().find(|(name, _)| name == "Qualifier").map(|(_, qualifier)| qualifier)
}

fn show_hop(state: &State) {
    let start = if state.idle().is_empty() { "cold" } else { "warm" };
    let name = &state.function.name;
    tracing::info!(target: "hop", service = "Lambda", action = "Invoke", detail = %format_args!("{name} ({start})"));
}

fn invocation_type(headers: &HeaderMap) -> &str {
    headers.get("x-amz-invocation-type").and_then(|value| value.to_str().ok()).unwrap_or("RequestResponse")
}

/// Which lines of the log the answer is to have.
fn log_type(headers: &HeaderMap) -> &str {
    headers.get("x-amz-log-type").and_then(|value| value.to_str().ok()).unwrap_or("None")
}

/// An error in Lambda's form.
fn failure(request_id: &str, error_type: &str, message: &str) -> Outcome {
    let body = json!({"errorType": error_type, "errorMessage": format!("RequestId: {request_id} Error: {message}")});
    Outcome { payload: body.to_string().into(), failed: true }
}

impl State {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Environment>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The idle environment that was used last, so that the others can expire.
    fn take_idle(&self) -> Option<Environment> {
        let mut idle = self.idle();
        while let Some(mut environment) = idle.pop() {
            if environment.is_alive() {
                return Some(environment);
            }
        }
        None
    }

    fn put_back(&self, environment: Environment) {
        self.idle().push(environment);
    }

    fn take_expired(&self) -> Vec<Environment> {
        let mut idle = self.idle();
        let most = idle.len().saturating_sub(self.function.provisioned_concurrency);
        let expired = idle.iter().take(most).take_while(|environment| environment.last_used.elapsed() > IDLE).count();
        idle.drain(..expired).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_functions() {
        for name in ["f", "f%3A%24LATEST", "arn%3Aaws%3Alambda%3Aus-east-1%3A0%3Afunction%3Af", "0:function:f:$LATEST"]
        {
            assert_eq!(function_name(name), "f", "{name}");
        }
        assert_eq!(function_name("f:7"), "f:7", "no such version");
    }
}
