//! SageMaker Runtime: invocations of endpoints, answered at once or queued.

mod async_invocation;
mod members;
mod real_time;
mod refusal;
mod worker;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;

use super::hosting::Hosting;
use crate::ACCOUNT;
use crate::body::collect;
use crate::error::chain;
use crate::journal::Journal;
use async_invocation::AsyncInvocation;
use refusal::{not_found, validation};
pub(crate) use worker::Worker;

/// The largest body of a real-time invocation: 25 MB.
const MAX_BODY: usize = 25 * 1024 * 1024;
/// The largest body of an asynchronous invocation that carries it inline.
const MAX_INLINE_BODY: usize = 128_000;

/// How an endpoint is invoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    RealTime,
    Asynchronous,
}

impl Manner {
    /// Endpoint and manner of a path such as `/endpoints/e/invocations`.
    pub(super) fn of(path: &str) -> Option<(&str, Self)> {
        match path.strip_prefix("/endpoints/")?.split_once('/')? {
            (name, "invocations") => Some((name, Self::RealTime)),
            (name, "async-invocations") => Some((name, Self::Asynchronous)),
            _ => None,
        }
    }
}

pub(super) struct Runtime {
    journal: Arc<Journal>,
    hosting: Arc<Hosting>,
}

impl Runtime {
    pub(super) fn new(journal: Arc<Journal>, hosting: Arc<Hosting>) -> Self {
        Self { journal, hosting }
    }

    /// Answers an invocation. Unlike SageMaker's, endpoints with an asynchronous configuration take both kinds.
    pub(super) async fn invoke(&self, name: &str, manner: Manner, parts: &Parts, body: Body) -> Response {
        let limit = match manner {
            Manner::RealTime => MAX_BODY,
            Manner::Asynchronous => MAX_INLINE_BODY,
        };
        let body = match collect(body, limit).await {
            Ok(body) => body,
            Err(error) => return validation(&chain(&error)),
        };
        // An endpoint that does not serve is not found either, as with SageMaker.
        let Some(hosted) = self.hosting.find(name) else { return not_found(name) };
        let Some(serving) = hosted.lease() else { return not_found(name) };
        match (manner, &serving.deployment.asynchronous) {
            (Manner::RealTime, _) => real_time::invoke(name, &serving, &parts.headers, body).await,
            (Manner::Asynchronous, None) => {
                let message = "it has no AsyncInferenceConfig. Please use InvokeEndpoint instead.";
                validation(&format!("Endpoint {name} of account {ACCOUNT} is not an asynchronous endpoint: {message}"))
            }
            (Manner::Asynchronous, Some(config)) => {
                match AsyncInvocation::accept(&hosted.name, config, &parts.headers, &body) {
                    Ok(invocation) => invocation.enqueue(&self.journal),
                    Err(message) => validation(&message),
                }
            }
        }
    }
}
