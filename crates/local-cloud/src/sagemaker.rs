//! SageMaker: endpoints, the runtime that invokes them, training and transform jobs, and the control plane that
//! manages all.

mod control_plane;
mod hosting;
mod images;
mod jobs;
mod notice;
mod observed;
mod records;
mod runtime;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use http::Method;

use crate::aws_error::not_implemented;
use crate::error::CloudError;
use crate::events::Events;
use crate::journal::Journal;
use crate::s3::ObjectStore;
use crate::sns::Sns;
use crate::stack::{self, Stack};
use control_plane::ControlPlane;
pub(crate) use hosting::Place;
use hosting::{Hosted, Hosting, Launcher, ModelServer};
pub use images::{NoSuchImage, find as find_image};
use jobs::{Training, Transform};
pub(crate) use observed::Observed;
use observed::observed;
use runtime::{Manner, Runtime, Worker};

pub(crate) struct SageMaker {
    control_plane: ControlPlane,
    runtime: Runtime,
    hosting: Arc<Hosting>,
    training: Arc<Training>,
    transform: Arc<Transform>,
}

impl SageMaker {
    /// Resumes the endpoints and the jobs of the last process, in the background. [`start_own`](Self::start_own) starts the endpoints
    /// of the stack.
    pub(crate) fn new(
        stack: &Stack,
        place: Place,
        store: Arc<ObjectStore>,
        journal: Arc<Journal>,
        events: Events,
        sns: Sns,
    ) -> Result<Self, CloudError> {
        let worker = Arc::new(Worker::new(Arc::clone(&store), Arc::clone(&journal), sns.clone()));
        let work = Box::new(move |hosted| Arc::clone(&worker).run(hosted));
        let training = Arc::new(Training::new(
            stack.images.clone(),
            place.clone(),
            Arc::clone(&store),
            Arc::clone(&journal),
            events,
        ));
        let launcher = Launcher { images: stack.images.clone(), place, store, journal: Arc::clone(&journal) };
        let transform = Arc::new(Transform::new(launcher.clone()));
        let hosting = Arc::new(Hosting::new(launcher, work));
        hosting.kill_left();
        // The records come first: from now on, requests find the names taken.
        hosting.declare_own(&stack.endpoints)?;
        hosting.resume()?;
        training.resume()?;
        transform.resume()?;
        let jobs = (Arc::clone(&training), Arc::clone(&transform));
        Ok(Self {
            control_plane: ControlPlane::new(Arc::clone(&journal), sns, Arc::clone(&hosting), jobs),
            runtime: Runtime::new(journal, Arc::clone(&hosting)),
            hosting,
            training,
            transform,
        })
    }

    /// Starts the model servers of the stack's endpoints, and waits until all are healthy. They may call AWS while they start, so this
    /// comes after the AWS endpoint is served.
    pub(crate) async fn start_own(&self, endpoints: &[stack::Endpoint]) -> Result<(), CloudError> {
        self.hosting.start_own(endpoints).await
    }

    /// What the endpoints' model servers say of themselves now.
    pub(crate) async fn observed(&self) -> Vec<Observed> {
        observed(&self.hosting).await
    }

    /// The endpoints, and whether all model servers of each are healthy.
    pub(crate) fn health(&self) -> Vec<(String, bool)> {
        let is_healthy = |endpoint: &Hosted| {
            endpoint.lease().is_some_and(|serving| {
                serving.variants().iter().all(|variant| variant.servers.servers().iter().all(ModelServer::is_healthy))
            })
        };
        self.hosting.all().iter().map(|endpoint| (endpoint.name.clone(), is_healthy(endpoint))).collect()
    }

    pub(crate) async fn stop(&self) {
        tokio::join!(self.hosting.stop(), self.training.end(), self.transform.end());
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
