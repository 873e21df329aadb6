//! Hosting: the endpoints of this process, with their model servers, and what happens to them in the background.

mod hosted;
mod launcher;
mod lifecycle;
mod model_data;
mod model_server;
mod own;
mod pipeline;
mod router;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, join_all};
use tokio::task::JoinSet;

use crate::child::{self, Spawner, View};
use crate::journal::Journal;
use crate::logs::{Logs, instance_id};
pub(crate) use hosted::{Hosted, Lease, Serving, ServingVariant};
pub(crate) use launcher::{Launch, LaunchError, Launcher};
pub(crate) use model_data::remove as remove_model;
pub(crate) use model_server::{Answer, InvokeError, ModelRequest, ModelServer};
pub(crate) use pipeline::Pipeline;

/// The variable by which the model servers of a data folder are found, and what they started. A killed cloud may leave some.
const MARK: &str = "LOCAL_CLOUD_SERVERS";

/// Where model servers and jobs run: their spawner, their variables and their folders. All paths are absolute.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) spawner: Spawner,
    /// Region, credentials and endpoint, with the `PATH` and the `HOME` of this process. An image's variables override them.
    pub(crate) environment: BTreeMap<&'static str, String>,
    /// The folder of logs.
    pub(crate) logs: PathBuf,
    /// The streams that output is copied to.
    pub(crate) streams: Logs,
    /// The folder of models' files, with one folder for each deployment.
    pub(crate) models: PathBuf,
    /// The folder of jobs' files, with one folder for each run.
    pub(crate) jobs: PathBuf,
    /// An empty folder, for the views of children.
    pub(crate) stash: PathBuf,
}

impl Place {
    /// The value of [`MARK`]: one cloud at a time has the folder.
    fn mark(&self) -> String {
        self.models.display().to_string()
    }

    /// The variables that every container gets.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.environment.iter().map(|(name, value)| (*name, value.clone()))
    }

    /// A view with these folders, where this system gives a child one.
    pub(crate) async fn view(&self, folders: Vec<(PathBuf, PathBuf)>) -> Option<View> {
        let stash = self.stash.clone();
        self.spawner.gives_views().await.then(|| View { folders, stash, ..View::default() })
    }
}

/// Group and name of the stream of a new instance of an endpoint.
fn stream(endpoint: &str, variant: &str) -> (String, String) {
    (format!("/aws/sagemaker/Endpoints/{endpoint}"), format!("{variant}/{}", instance_id()))
}

/// Handles the queue of an endpoint until the endpoint is deleted or the cloud stops.
pub(super) type Work = Box<dyn Fn(Arc<Hosted>) -> BoxFuture<'static, ()> + Send + Sync>;

/// All endpoints of this process.
pub(super) struct Hosting {
    launcher: Launcher,
    journal: Arc<Journal>,
    work: Work,
    /// By name in lower case.
    hosted: Mutex<BTreeMap<String, Arc<Hosted>>>,
    /// Deployments and removals under way.
    background: Mutex<JoinSet<()>>,
}

impl Hosting {
    pub(super) fn new(launcher: Launcher, work: Work) -> Self {
        let journal = Arc::clone(&launcher.journal);
        Self { launcher, journal, work, hosted: Mutex::default(), background: Mutex::default() }
    }

    /// The endpoint of this name, whether it serves yet or not.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Hosted>> {
        let all = self.hosted.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&name.to_ascii_lowercase()).map(Arc::clone)
    }

    /// All endpoints, in the order of their names.
    pub(super) fn all(&self) -> Vec<Arc<Hosted>> {
        self.hosted.lock().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    /// Kills what is left of the model servers of the last process.
    pub(super) fn kill_left(&self) {
        child::kill_marked(MARK, &self.place().mark());
    }

    fn place(&self) -> &Place {
        &self.launcher.place
    }

    /// Breaks off what is under way in the background, and stops every model server.
    pub(super) async fn stop(&self) {
        let mut background = std::mem::take(&mut *self.background.lock().unwrap_or_else(PoisonError::into_inner));
        background.shutdown().await;
        let hosted = std::mem::take(&mut *self.hosted.lock().unwrap_or_else(PoisonError::into_inner));
        join_all(hosted.values().map(|hosted| hosted.end())).await;
    }

    /// The endpoint of this name. A new one gets a worker for its queue.
    fn host(&self, name: &str) -> Arc<Hosted> {
        let mut all = self.hosted.lock().unwrap_or_else(PoisonError::into_inner);
        let hosted = all.entry(name.to_ascii_lowercase()).or_insert_with(|| {
            let hosted = Arc::new(Hosted::new(name));
            hosted.spawn((self.work)(Arc::clone(&hosted)));
            hosted
        });
        Arc::clone(hosted)
    }

    /// Removes the endpoint of this name from those that are found.
    fn release(&self, name: &str) -> Option<Arc<Hosted>> {
        let mut all = self.hosted.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&name.to_ascii_lowercase())
    }

    fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut background = self.background.lock().unwrap_or_else(PoisonError::into_inner);
        while background.try_join_next().is_some() {}
        background.spawn(work);
    }
}
