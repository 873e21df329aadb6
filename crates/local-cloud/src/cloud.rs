//! All services of one cloud, on two listeners, over one data folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::aws_endpoint;
use crate::child::Spawner;
use crate::clock::Clock;
use crate::dynamodb::DynamoDb;
use crate::events::Events;
use crate::faults::{FaultPlan, Faults};
use crate::gateway::{self, Gateway};
use crate::journal::Journal;
use crate::lambda::{Host, Lambda};
use crate::s3::{ObjectStore, S3};
use crate::sagemaker::{Place, SageMaker};
use crate::sns::Sns;
use crate::sqs::Sqs;
use crate::stack::Stack;
use crate::{ACCESS_KEY_ID, CloudError, REGION, queue, schedule, server};

/// Where a cloud listens. The caller binds, so that port 0 and a port already taken are the caller's to tell of.
#[derive(Debug)]
pub struct Listeners {
    /// The AWS endpoint.
    pub aws: TcpListener,
    /// The REST and HTTP APIs, and the site.
    pub api: TcpListener,
}

/// Under which conditions a cloud runs: by default at this machine's time, with nothing going wrong by plan.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// What its queues, schedules and objects go by.
    pub clock: Clock,
    /// What goes wrong. Every call and every fault is then written to `logs/faults.log` of the data folder.
    pub faults: Option<FaultPlan>,
}

/// How much asynchronous work there is: events for functions and requests for endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// What is being worked on, or could be.
    pub ready: u64,
    /// What waits for its time.
    pub waiting: u64,
    /// When the first of those is ready, in milliseconds since 1970.
    pub next: Option<i64>,
}

/// What the endpoint and the APIs are made of.
pub(crate) struct Services {
    pub(crate) faults: Faults,
    pub(crate) s3: S3,
    pub(crate) dynamodb: DynamoDb,
    pub(crate) sagemaker: Arc<SageMaker>,
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) sns: Sns,
    pub(crate) sqs: Sqs,
}

/// A running cloud.
pub struct Cloud {
    services: Arc<Services>,
    journal: Arc<Journal>,
    servers: JoinSet<()>,
    aws: SocketAddr,
    api: SocketAddr,
    /// Held until the cloud is gone.
    _lock: File,
}

impl Cloud {
    /// Starts everything in `stack` over the folder `data`, which is made if it is not there. Returns when the model
    /// servers of the stack's own endpoints are healthy. Functions' and model servers' logs are in `data/logs`.
    ///
    /// # Errors
    /// [`CloudError`], in words for whoever started it.
    pub async fn start(
        stack: &Stack,
        data: &Path,
        listeners: Listeners,
        conditions: Conditions,
    ) -> Result<Self, CloudError> {
        let lock = lock(data)?;
        check(stack)?;
        let aws = listeners.aws.local_addr()?;
        let api = listeners.api.local_addr()?;
        let logs = data.join("logs");
        let clock = conditions.clock;
        let dynamodb = DynamoDb::start(&data.join("dynamodb.db"), &stack.tables)?;
        let faults = match conditions.faults {
            Some(plan) => {
                let copy = dynamodb.copy(&data.join(format!("tables-{}.db", Uuid::new_v4())))?;
                let log = logs.join("faults.log");
                Faults::planned(plan, clock.clone(), &stack.tables, copy, &log)
                    .map_err(|source| CloudError::DataFolder { path: log, source })?
            }
            None => Faults::default(),
        };
        let journal = Arc::new(Journal::open(&data.join("journal.db"), clock.clone())?);
        let events = Events::new(stack, clock, faults.clone())?;
        let store = Arc::new(ObjectStore::open(&data.join("s3"), Arc::clone(&journal), events)?);
        for bucket in &stack.buckets {
            store.create_bucket(bucket).map_err(|error| CloudError::Stack(error.to_string()))?;
        }
        let secret = secret_access_key(data)?;
        let spawner = Spawner::new()?;
        let sns = Sns::new(&stack.subscriptions, Arc::clone(&journal), faults.clone());
        let host = Host {
            spawner: spawner.clone(),
            environment: environment(aws, &secret),
            logs: logs.clone(),
            faults: faults.clone(),
        };
        let lambda = Lambda::new(&stack.functions, host, Arc::clone(&journal));
        // Model servers are told of their folders, wherever they run.
        let place = Place { spawner, logs, models: std::path::absolute(data.join("sagemaker"))? };
        let sagemaker = SageMaker::start(stack, place, Arc::clone(&store), Arc::clone(&journal), sns.clone()).await?;
        let s3 = S3::new(&store, &secret);
        let sqs = Sqs::new(stack, format!("http://{aws}"), Arc::clone(&journal));
        let services = Arc::new(Services { faults, s3, dynamodb, sagemaker, lambda: Arc::clone(&lambda), sns, sqs });
        let mut servers = JoinSet::new();
        let endpoint = Router::new().fallback(aws_endpoint::answer).with_state(Arc::clone(&services));
        servers.spawn(serve(listeners.aws, endpoint));
        let gateway = Gateway::new(stack, Arc::clone(&services));
        let apis = Router::new().fallback(gateway::answer).with_state(Arc::new(gateway));
        let apis = apis.layer(middleware::from_fn(gateway::cors::allow));
        servers.spawn(serve(listeners.api, apis));
        // From here on functions run, and find everything there.
        lambda.start().await;
        for schedule in &stack.schedules {
            servers.spawn(schedule::run(schedule.clone(), Arc::clone(&journal)));
        }
        Ok(Self { services, journal, servers, aws, api, _lock: lock })
    }

    /// The address of the AWS endpoint.
    pub fn aws_address(&self) -> SocketAddr {
        self.aws
    }

    /// The address of the REST and HTTP APIs.
    pub fn api_address(&self) -> SocketAddr {
        self.api
    }

    /// How much asynchronous work there is.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn backlog(&self) -> Result<Backlog, CloudError> {
        let now = self.journal.clock().now_millis();
        self.journal.read(|connection| queue::backlog(connection, now)).map_err(CloudError::Backlog)
    }

    /// Takes no more requests and ends the child processes. What is under way is taken up by the next start.
    pub async fn stop(mut self) {
        self.journal.stop();
        self.servers.shutdown().await;
        tokio::join!(self.services.lambda.stop(), self.services.sagemaker.stop());
    }
}

async fn serve(listener: TcpListener, router: Router) {
    if let Err(error) = server::serve(listener, server::limited(router)).await {
        tracing::error!(%error, "a listener ended");
    }
}

/// Two clouds over one folder would ruin each other's queues.
fn lock(data: &Path) -> Result<File, CloudError> {
    let failed = |path: PathBuf| move |source| CloudError::DataFolder { path, source };
    fs::create_dir_all(data).map_err(failed(data.to_owned()))?;
    let path = data.join("lock");
    let file = File::options().create(true).append(true).open(&path).map_err(failed(path.clone()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(CloudError::DataFolderInUse(data.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(CloudError::DataFolder { path, source }),
    }
}

/// The secret that belongs to [`ACCESS_KEY_ID`]: kept, so that presigned URLs outlive a restart.
fn secret_access_key(data: &Path) -> Result<String, CloudError> {
    let path = data.join("secret-access-key");
    match fs::read_to_string(&path) {
        Ok(secret) if !secret.trim().is_empty() => return Ok(secret.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(CloudError::DataFolder { path, source }),
    }
    let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    write_secret(&path, &secret).map_err(|source| CloudError::DataFolder { path, source })?;
    Ok(secret)
}

fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let mut options = File::options();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    io::Write::write_all(&mut options.open(path)?, secret.as_bytes())
}

/// What AWS sets in the environment of every function.
fn environment(aws: SocketAddr, secret: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://{aws}")),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ])
}

/// Every function that something invokes must be there.
fn check(stack: &Stack) -> Result<(), CloudError> {
    let invoked = stack
        .rules
        .iter()
        .flat_map(|rule| &rule.functions)
        .chain(stack.notifications.iter().map(|notification| &notification.function))
        .chain(stack.schedules.iter().map(|schedule| &schedule.function))
        .chain(stack.subscriptions.iter().map(|subscription| &subscription.function))
        .chain(stack.http_api.iter().map(|route| &route.function));
    for name in invoked {
        if !stack.functions.iter().any(|function| &function.name == name) {
            return Err(CloudError::Stack(format!("there is no function {name}")));
        }
    }
    Ok(())
}
