//! The model servers of a model in a row: a request passes through all of them. Most models have one.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use super::model_server::{Answer, InvokeError, ModelRequest, ModelServer};

pub(crate) struct Pipeline {
    /// In the order of requests; at least one.
    servers: Vec<ModelServer>,
}

impl Pipeline {
    /// `servers` has at least one.
    pub(crate) fn new(servers: Vec<ModelServer>) -> Self {
        Self { servers }
    }

    /// Waits until all servers are healthy, for `patience` at most.
    pub(crate) async fn healthy(&self, patience: Duration) -> bool {
        join_all(self.servers.iter().map(|server| server.healthy(patience))).await.into_iter().all(|healthy| healthy)
    }

    /// Sends a request through the servers. Each gets the body and the media type of the answer before it, and the last one gets the
    /// caller's `Accept`. An answer that is an error is the end. `timeout` includes the last answer's body.
    pub(crate) async fn invoke(
        &self,
        request: &ModelRequest,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Answer, InvokeError> {
        let told = |error| match error {
            InvokeError::TimedOut { container, .. } => InvokeError::TimedOut { container, timeout },
            other => other,
        };
        let (mut request, mut body) = (request.clone(), body);
        let accept = request.accept.take();
        let deadline = Instant::now() + timeout;
        let last = self.servers.len() - 1;
        for server in &self.servers[..last] {
            let answer = server.invoke(&request, body, deadline - Instant::now()).await.map_err(told)?;
            if !answer.status.is_success() {
                return Ok(answer);
            }
            request.content_type.clone_from(&answer.content_type);
            body = answer.collect().await.map_err(told)?;
        }
        request.accept = accept;
        self.servers[last].invoke(&request, body, deadline - Instant::now()).await.map_err(told)
    }

    /// What the first server says of itself for batch transform: it gets the records.
    pub(crate) async fn execution_parameters(&self) -> Option<Value> {
        self.servers[0].execution_parameters().await
    }

    /// The servers in the order of requests.
    pub(crate) fn servers(&self) -> &[ModelServer] {
        &self.servers
    }

    pub(crate) async fn stop(&self) {
        join_all(self.servers.iter().map(ModelServer::stop)).await;
    }
}
