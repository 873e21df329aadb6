//! SageMaker: endpoints of one instance each, the control plane that manages them, and the runtime that invokes them.

mod control_plane;
mod hosting;
mod images;
mod notice;
mod records;
mod runtime;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use http::Method;

use crate::aws_error::not_implemented;
use crate::error::CloudError;
use crate::journal::Journal;
use crate::s3::ObjectStore;
use crate::sns::Sns;
use crate::stack::Stack;
use control_plane::ControlPlane;
use hosting::Hosting;
pub(crate) use hosting::Place;
use runtime::{Manner, Runtime, Worker};

pub(crate) struct SageMaker {
    control_plane: ControlPlane,
    runtime: Runtime,
    hosting: Arc<Hosting>,
}

impl SageMaker {
    /// Starts the model servers of the stack's endpoints, waits until all are healthy, and resumes every other endpoint. Model
    /// servers get the variables of `environment` that their image does not set itself.
    pub(crate) async fn start(
        stack: &Stack,
        environment: &BTreeMap<&'static str, String>,
        place: Place,
        store: Arc<ObjectStore>,
        journal: Arc<Journal>,
        sns: Sns,
    ) -> Result<Self, CloudError> {
        let worker = Arc::new(Worker::new(Arc::clone(&store), Arc::clone(&journal), sns.clone()));
        let work = Box::new(move |hosted| Arc::clone(&worker).run(hosted));
        let mut images = stack.images.clone();
        for image in &mut images {
            for (name, value) in environment {
                image.program.environment.entry((*name).to_owned()).or_insert_with(|| value.clone());
            }
        }
        let hosting = Arc::new(Hosting::new(images, place, store, Arc::clone(&journal), work));
        hosting.start_own(&stack.endpoints).await?;
        hosting.resume()?;
        Ok(Self {
            control_plane: ControlPlane::new(Arc::clone(&journal), sns, Arc::clone(&hosting)),
            runtime: Runtime::new(journal, Arc::clone(&hosting)),
            hosting,
        })
    }

    pub(crate) async fn stop(&self) {
        self.hosting.stop().await;
    }

    /// Answers a request to the control plane or to SageMaker Runtime.
    pub(crate) async fn call(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        match (Manner::of(parts.uri.path()), target) {
            (Some((name, manner)), _) if parts.method == Method::POST => {
                self.runtime.invoke(name, manner, &parts, body).await
            }
            (None, Some(target)) if parts.method == Method::POST => self.control_plane.call(target, body).await,
            _ => not_implemented(&format!("SageMaker: {} {}", parts.method, parts.uri.path())),
        }
    }
}
