//! An endpoint while it is there: what serves it, who uses that, and how one takes the place of another.

use std::future::pending;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, RwLock, Semaphore, watch};
use tokio::task::JoinSet;

use super::SageMaker;
use super::endpoints::Deployment;
use super::model_data;
use super::model_server::ModelServer;
use crate::queue;

/// A deployment that serves.
pub(super) struct Serving {
    pub(super) deployment: Deployment,
    pub(super) server: ModelServer,
    /// Of its model's files, if it has one to be removed with it.
    pub(super) folder: Option<PathBuf>,
    /// As many asynchronous invocations as the instance may have at once.
    instance: Arc<Semaphore>,
    /// Read by whoever uses the server; written when it is to end.
    users: Arc<RwLock<()>>,
}

impl Serving {
    pub(super) fn new(deployment: Deployment, server: ModelServer, folder: Option<PathBuf>) -> Self {
        let instance = Arc::new(Semaphore::new(deployment.concurrency()));
        Self { deployment, server, folder, instance, users: Arc::default() }
    }

    async fn end(&self) {
        self.server.stop().await;
        if let Some(folder) = &self.folder {
            model_data::remove(folder);
        }
    }
}

/// The use of what serves: it does not end before.
pub(super) struct Lease {
    serving: Arc<Serving>,
    _user: OwnedRwLockReadGuard<()>,
}

impl Deref for Lease {
    type Target = Serving;

    fn deref(&self) -> &Serving {
        &self.serving
    }
}

/// An endpoint that is there, whether it serves yet or not.
pub(super) struct Hosted {
    pub(super) name: String,
    serving: watch::Sender<Option<Arc<Serving>>>,
    gone: watch::Sender<bool>,
    /// The worker on its queue, and what still ends.
    tasks: Mutex<JoinSet<()>>,
}

impl Hosted {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            serving: watch::Sender::new(None),
            gone: watch::Sender::new(false),
            tasks: Mutex::default(),
        }
    }

    /// Uses what serves now, if the endpoint is to stay.
    pub(super) fn lease(&self) -> Option<Lease> {
        if *self.gone.borrow() {
            return None;
        }
        loop {
            let serving = Arc::clone(self.serving.borrow().as_ref()?);
            // Only what was replaced ends, so there is another one by then, or none.
            if let Ok(user) = Arc::clone(&serving.users).try_read_owned() {
                return Some(Lease { serving, _user: user });
            }
        }
    }

    /// Uses what serves as soon as it is healthy, for which it may take so long.
    pub(super) async fn healthy(&self, patience: Duration) -> Option<Lease> {
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

    pub(super) fn serves(&self) -> bool {
        self.serving.borrow().is_some()
    }

    /// Has another deployment serve from now on. What served before ends when nobody uses it any more.
    pub(super) fn switch(&self, new: Serving) {
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

    /// From now on it is not found, and what is under way breaks off.
    pub(super) fn leave(&self) {
        self.gone.send_replace(true);
    }

    /// Ends everything that belongs to it; its model's files stay where it may come back.
    pub(super) async fn end(&self) {
        self.leave();
        if let Some(serving) = self.serving.send_replace(None) {
            serving.server.stop().await;
        }
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }

    /// Waits until it is no longer there.
    pub(super) async fn gone(&self) {
        until(&mut self.gone.subscribe()).await;
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

async fn until(flag: &mut watch::Receiver<bool>) {
    // Without a sender there is no endpoint either.
    let _ = flag.wait_for(|is_set| *is_set).await;
}

impl SageMaker {
    /// Works on the queue of one endpoint, on as many requests at once as what serves may have.
    pub(super) async fn work(self: Arc<Self>, hosted: Arc<Hosted>) {
        let name = queue::of_endpoint(&hosted.name);
        let (mut serving, mut gone) = (hosted.serving.subscribe(), hosted.gone.subscribe());
        let mut committed = self.journal.committed();
        let mut working = JoinSet::new();
        loop {
            let instance = serving.borrow_and_update().as_ref().map(|serving| Arc::clone(&serving.instance));
            let next = async {
                match &instance {
                    Some(instance) => queue::next(&self.journal, &name, &mut committed, instance).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                // Nothing is taken from the queue that is not worked on.
                biased;
                () = until(&mut gone) => break,
                _ = serving.changed() => {}
                next = next => {
                    let Ok((message, permit)) = next else { break };
                    let (sagemaker, hosted) = (Arc::clone(&self), Arc::clone(&hosted));
                    working.spawn(async move {
                        sagemaker.process(&hosted, &message).await;
                        drop(permit);
                    });
                }
                Some(_) = working.join_next() => {}
            }
        }
        while working.join_next().await.is_some() {}
    }
}
