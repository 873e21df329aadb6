//! A hosted endpoint: the deployment that serves, the users of its model servers, and the switch to another deployment.

use std::future::pending;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, Semaphore, watch};
use tokio::task::JoinSet;

use super::model_data;
use super::pipeline::Pipeline;
use super::router::Router;
use crate::sagemaker::records::Deployment;

/// A variant with its running model servers.
#[derive(Clone)]
pub(crate) struct ServingVariant {
    pub(crate) name: String,
    pub(crate) servers: Arc<Pipeline>,
    /// One permit for each concurrent invocation, if it is serverless.
    pub(crate) limit: Option<Arc<Semaphore>>,
}

/// A deployment with its running model servers.
pub(crate) struct Serving {
    pub(crate) deployment: Deployment,
    /// In the order of the deployment's.
    variants: Vec<ServingVariant>,
    router: Router,
    /// One permit for each concurrent asynchronous invocation.
    instance: Arc<Semaphore>,
    /// Read-locked by each user of the servers, write-locked to end them.
    users: Arc<RwLock<()>>,
}

impl Serving {
    /// `servers` are those of the deployment's variants, in their order.
    pub(crate) fn new(deployment: Deployment, servers: Vec<Pipeline>) -> Self {
        let variants = deployment.variants.iter().zip(servers).map(|(variant, servers)| {
            let most = variant.serverless.as_ref().map(|config| config.max_concurrency);
            let limit = most.map(|most| Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX))));
            ServingVariant { name: variant.name.clone(), servers: Arc::new(servers), limit }
        });
        let variants = variants.collect();
        Self::of(deployment, variants, Arc::default())
    }

    fn of(deployment: Deployment, variants: Vec<ServingVariant>, users: Arc<RwLock<()>>) -> Self {
        let router = Router::new(deployment.variants.iter().map(|variant| variant.capacity.weight).collect());
        let instance = Arc::new(Semaphore::new(deployment.concurrency()));
        Self { deployment, variants, router, instance, users }
    }

    /// The same servers with other weights and counts. What runs keeps its permits, unless there are others now.
    fn with(&self, deployment: Deployment) -> Self {
        let is_same = deployment.concurrency() == self.deployment.concurrency();
        let new = Self::of(deployment, self.variants.clone(), Arc::clone(&self.users));
        if is_same { Self { instance: self.instance(), ..new } } else { new }
    }

    /// One permit for each concurrent asynchronous invocation of all instances.
    pub(crate) fn instance(&self) -> Arc<Semaphore> {
        Arc::clone(&self.instance)
    }

    /// The variant of this name.
    pub(crate) fn variant(&self, name: &str) -> Option<&ServingVariant> {
        self.variants.iter().find(|variant| variant.name == name)
    }

    /// The variant for a request that names none. `None` if no variant has a weight.
    pub(crate) fn next(&self) -> Option<&ServingVariant> {
        self.variants.get(self.router.next()?)
    }

    /// The servers of an asynchronous endpoint, which has one variant.
    pub(crate) fn sole(&self) -> &Pipeline {
        &self.variants[0].servers
    }

    /// Its variants, in the order of the deployment's.
    pub(crate) fn variants(&self) -> &[ServingVariant] {
        &self.variants
    }

    async fn stop(&self) {
        join_all(self.variants.iter().map(|variant| variant.servers.stop())).await;
    }

    /// Stops the servers, and removes the models' files below `models`.
    async fn end(&self, models: &Path) {
        self.stop().await;
        self.deployment.containers().for_each(|container| model_data::remove(&models.join(container.id.to_string())));
    }
}

/// The use of a deployment, whose servers are not stopped before the lease ends.
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

    /// The current deployment of an asynchronous endpoint, as soon as its servers are healthy. `None` after `patience`.
    pub(crate) async fn healthy(&self, patience: Duration) -> Option<Lease> {
        let mut changes = self.serving.subscribe();
        let found = async {
            loop {
                changes.borrow_and_update();
                let lease = self.lease();
                let is_healthy = async {
                    match &lease {
                        Some(lease) => lease.sole().healthy(patience).await,
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

    /// Makes another deployment the current one. The replaced one is stopped when its last user has ended, and its models' files
    /// below `models` are removed.
    pub(crate) fn switch(&self, new: Serving, models: &Path) {
        let Some(old) = self.serving.send_replace(Some(Arc::new(new))) else { return };
        let (mut gone, models) = (self.gone.subscribe(), models.to_owned());
        self.spawn(async move {
            tokio::select! {
                _ = old.users.write() => {}
                () = until(&mut gone) => {}
            }
            old.end(&models).await;
        });
    }

    /// Gives the current deployment, if there is one, other weights and counts. Its servers go on.
    pub(crate) fn change(&self, deployment: Deployment) {
        self.serving.send_modify(|serving| {
            if let Some(current) = serving {
                *serving = Some(Arc::new(current.with(deployment)));
            }
        });
    }

    /// Marks it as deleted: it gives no more leases, and invocations under way break off.
    pub(crate) fn leave(&self) {
        self.gone.send_replace(true);
    }

    /// Stops its model servers and its tasks. The model's files stay, for the next start.
    pub(crate) async fn end(&self) {
        self.leave();
        if let Some(serving) = self.serving.send_replace(None) {
            serving.stop().await;
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
