//! A hosted endpoint: the deployment that serves, the users of its model server, and the switch to another deployment.

use std::future::pending;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, RwLock, Semaphore, watch};
use tokio::task::JoinSet;

use super::model_data;
use super::model_server::ModelServer;
use crate::sagemaker::records::Deployment;

/// A deployment with its running model server.
pub(crate) struct Serving {
    pub(crate) deployment: Deployment,
    pub(crate) server: ModelServer,
    /// The folder of the model's files, if it is to be removed with the deployment.
    pub(crate) folder: Option<PathBuf>,
    /// One permit for each concurrent asynchronous invocation.
    instance: Arc<Semaphore>,
    /// Read-locked by each user of the server, write-locked to end it.
    users: Arc<RwLock<()>>,
}

impl Serving {
    pub(crate) fn new(deployment: Deployment, server: ModelServer, folder: Option<PathBuf>) -> Self {
        let instance = Arc::new(Semaphore::new(deployment.concurrency()));
        Self { deployment, server, folder, instance, users: Arc::default() }
    }

    /// One permit for each concurrent asynchronous invocation of the instance.
    pub(crate) fn instance(&self) -> Arc<Semaphore> {
        Arc::clone(&self.instance)
    }

    async fn end(&self) {
        self.server.stop().await;
        if let Some(folder) = &self.folder {
            model_data::remove(folder);
        }
    }
}

/// The use of a deployment, which is not stopped before the lease ends.
pub(crate) struct Lease {
    serving: Arc<Serving>,
    _user: OwnedRwLockReadGuard<()>,
}

impl Deref for Lease {
    type Target = Serving;

    fn deref(&self) -> &Serving {
        &self.serving
    }
}

/// An endpoint, whether it serves yet or not.
pub(crate) struct Hosted {
    pub(crate) name: String,
    serving: watch::Sender<Option<Arc<Serving>>>,
    gone: watch::Sender<bool>,
    /// The worker of its queue, and replaced deployments that still have users.
    tasks: Mutex<JoinSet<()>>,
}

impl Hosted {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            serving: watch::Sender::new(None),
            gone: watch::Sender::new(false),
            tasks: Mutex::default(),
        }
    }

    /// The current deployment, unless the endpoint is being deleted.
    pub(crate) fn lease(&self) -> Option<Lease> {
        if *self.gone.borrow() {
            return None;
        }
        loop {
            let serving = Arc::clone(self.serving.borrow().as_ref()?);
            // Only a replaced deployment is locked, so the next look finds another one or none.
            if let Ok(user) = Arc::clone(&serving.users).try_read_owned() {
                return Some(Lease { serving, _user: user });
            }
        }
    }

    /// The current deployment, as soon as its server is healthy. `None` after `patience`.
    pub(crate) async fn healthy(&self, patience: Duration) -> Option<Lease> {
        let mut changes = self.serving.subscribe();
        let found = async {
            loop {
                changes.borrow_and_update();
                let lease = self.lease();
                let is_healthy = async {
                    match &lease {
                        Some(lease) => lease.server.healthy(patience).await,
                        None => pending().await,
                    }
                };
                tokio::select! {
                    healthy = is_healthy => return lease.filter(|_| healthy),
                    _ = changes.changed() => {}
                }
            }
        };
        tokio::time::timeout(patience, found).await.ok().flatten()
    }

    /// Whether a deployment serves.
    pub(crate) fn serves(&self) -> bool {
        self.serving.borrow().is_some()
    }

    /// The current deployment, and its changes.
    pub(crate) fn serving(&self) -> watch::Receiver<Option<Arc<Serving>>> {
        self.serving.subscribe()
    }

    /// Makes another deployment the current one. The replaced one is stopped when its last user has ended.
    pub(crate) fn switch(&self, new: Serving) {
        let Some(old) = self.serving.send_replace(Some(Arc::new(new))) else { return };
        let mut gone = self.gone.subscribe();
        self.spawn(async move {
            tokio::select! {
                _ = old.users.write() => {}
                () = until(&mut gone) => {}
            }
            old.end().await;
        });
    }

    /// Marks it as deleted: it gives no more leases, and invocations under way break off.
    pub(crate) fn leave(&self) {
        self.gone.send_replace(true);
    }

    /// Stops its model server and its tasks. The model's files stay, for the next start.
    pub(crate) async fn end(&self) {
        self.leave();
        if let Some(serving) = self.serving.send_replace(None) {
            serving.server.stop().await;
        }
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }

    /// Waits until it is marked as deleted.
    pub(crate) async fn gone(&self) {
        until(&mut self.gone.subscribe()).await;
    }

    /// Runs a task of this endpoint.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

async fn until(flag: &mut watch::Receiver<bool>) {
    // The sender lives as long as the endpoint.
    let _ = flag.wait_for(|is_set| *is_set).await;
}
