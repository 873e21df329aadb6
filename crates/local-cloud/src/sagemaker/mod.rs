//! SageMaker: endpoints of one instance each, invoked at once or by way of a queue, and the control plane that makes them.

mod async_invocation;
mod configs;
mod control_plane;
mod endpoint;
mod endpoints;
mod images;
mod lifecycle;
mod listing;
mod model_data;
mod model_server;
mod models;
mod own;
mod records;
mod request;
mod runtime;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Request;
use axum::response::Response;
use futures::future::join_all;
use http::Method;
use tokio::task::JoinSet;

use crate::CloudError;
use crate::aws_endpoint::not_implemented;
use crate::journal::Journal;
use crate::s3::ObjectStore;
use crate::sns::Sns;
use crate::stack::{Image, Stack};
use endpoint::Hosted;
pub(crate) use lifecycle::Place;
use runtime::Manner;

pub(crate) struct SageMaker {
    images: Vec<Image>,
    place: Place,
    /// By their names in lower case.
    hosted: Mutex<BTreeMap<String, Arc<Hosted>>>,
    /// Endpoints that are brought up or removed.
    background: Mutex<JoinSet<()>>,
    store: Arc<ObjectStore>,
    journal: Arc<Journal>,
    sns: Sns,
}

impl SageMaker {
    /// Starts the stack's own model servers, waits until all are healthy, and takes up every other endpoint.
    pub(crate) async fn start(
        stack: &Stack,
        place: Place,
        store: Arc<ObjectStore>,
        journal: Arc<Journal>,
        sns: Sns,
    ) -> Result<Arc<Self>, CloudError> {
        let sagemaker = Arc::new(Self {
            images: stack.images.clone(),
            place,
            hosted: Mutex::default(),
            background: Mutex::default(),
            store,
            journal,
            sns,
        });
        sagemaker.start_own(&stack.endpoints).await?;
        sagemaker.resume()?;
        Ok(sagemaker)
    }

    pub(crate) async fn stop(&self) {
        let mut background = std::mem::take(&mut *self.background.lock().unwrap_or_else(PoisonError::into_inner));
        background.shutdown().await;
        let hosted = std::mem::take(&mut *self.hosted.lock().unwrap_or_else(PoisonError::into_inner));
        join_all(hosted.values().map(|hosted| hosted.end())).await;
    }

    /// Answers a request to SageMaker Runtime or to the control plane.
    pub(crate) async fn call(self: &Arc<Self>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        match (Manner::of(parts.uri.path()), target) {
            (Some((name, manner)), _) if parts.method == Method::POST => self.invoke(name, manner, &parts, body).await,
            (None, Some(target)) if parts.method == Method::POST => self.control(target, body).await,
            _ => not_implemented(&format!("SageMaker: {} {}", parts.method, parts.uri.path())),
        }
    }

    fn hosted(&self, name: &str) -> Option<Arc<Hosted>> {
        let all = self.hosted.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&name.to_ascii_lowercase()).map(Arc::clone)
    }
}

/// Bucket and key of `s3://bucket/key`.
fn s3_uri(uri: &str) -> Option<(&str, &str)> {
    uri.strip_prefix("s3://")?.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
}

/// What an error says, and everything that it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}
