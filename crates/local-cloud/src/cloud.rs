//! A cloud: all services over one data folder, on two listeners.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::child::Spawner;
use crate::clock::Clock;
use crate::databases::Databases;
use crate::disk_space::DiskSpace;
use crate::durability::Durability;
use crate::dynamodb::DynamoDb;
use crate::error::{CloudError, chain};
use crate::events::Events;
use crate::faults::{FaultPlan, Faults};
use crate::gateway::{self, Gateway};
use crate::journal::Journal;
use crate::lambda::{Host, Lambda};
use crate::log_files::LogFiles;
use crate::logs::Logs;
use crate::metrics::Measured;
use crate::queue::{self, Backlog};
use crate::recovery::Recovery;
use crate::redaction::Redactor;
use crate::running::Running;
use crate::s3::{ObjectStore, S3};
use crate::sagemaker::{Place, SageMaker};
use crate::server::{self, Linked};
use crate::services::Services;
use crate::sns::Sns;
use crate::sqs::Sqs;
use crate::stack::{Stack, StackError};
use crate::tokens::Tokens;
use crate::{ACCESS_KEY_ID, REGION, aws_endpoint, data_folder, schedule};

/// How long to wait for the lock of the data folder. Between fork and exec a child process holds all open files, the lock among them,
/// so that the lock may outlive its cloud for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// The sockets of a cloud. The caller binds them, and handles ports in use.
#[derive(Debug)]
pub struct Listeners {
    /// The AWS endpoint.
    pub aws: TcpListener,
    /// The REST and HTTP APIs, and the web site.
    pub api: TcpListener,
}

/// The conditions under which a cloud runs. By default: the machine's clock, no planned faults, and writes that survive a power cut.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// The clock of queues, schedules and objects.
    pub clock: Clock,
    /// The planned faults. With a plan, every call and every fault is written to `logs/faults.log` of the data folder.
    pub faults: Option<FaultPlan>,
    /// What an acknowledged write survives.
    pub durability: Durability,
}

/// A running cloud.
pub struct Cloud {
    services: Arc<Services>,
    journal: Arc<Journal>,
    servers: JoinSet<()>,
    aws: SocketAddr,
    api: SocketAddr,
    recovery: Recovery,
    log_files: LogFiles,
    /// Locked until the cloud is dropped.
    _lock: File,
}

impl Cloud {
    /// Starts the resources of `stack` over the folder `data`, which is created if it is missing. Returns when the model servers of
    /// the stack's endpoints are healthy. The logs of functions and model servers are in `data/logs`.
    ///
    /// # Errors
    /// The data folder cannot be used, the stack is not sound, or a model server does not start.
    pub async fn start(
        stack: &Stack,
        data: &Path,
        listeners: Listeners,
        conditions: Conditions,
    ) -> Result<Self, CloudError> {
        let lock = lock(data).await?;
        #[cfg(unix)]
        if let Err(error) = data_folder::close(data) {
            tracing::warn!(folder = %data.display(), %error, "other users may be able to read the data folder");
        }
        let noted = |source| CloudError::DataFolder { path: data.to_owned(), source };
        Running::forget(data).map_err(noted)?;
        check(stack)?;
        let aws = listeners.aws.local_addr()?;
        let api = listeners.api.local_addr()?;
        let logs = data.join("logs");
        let clock = conditions.clock;
        let disk = DiskSpace::open(data);
        let databases = Databases::check(data)?;
        let (dynamodb, tallies) = DynamoDb::start(&databases.tables, &stack.tables, &stack.measures)?;
        let faults = match conditions.faults {
            Some(plan) => {
                let copy = dynamodb.copy(&data.join(format!("tables-{}.db", Uuid::new_v4())))?;
                let log = logs.join("faults.log");
                Faults::planned(plan, clock.clone(), &stack.tables, copy, &log)
                    .map_err(|source| CloudError::DataFolder { path: log, source })?
            }
            None => Faults::default(),
        };
        let journal = Arc::new(Journal::open(&databases.journal, clock.clone(), conditions.durability)?);
        let events = Events::new(stack, clock, faults.clone())?;
        let store =
            Arc::new(ObjectStore::open(&data.join("s3"), Arc::clone(&journal), events.clone(), Arc::clone(&disk))?);
        let recovery = databases.recover(&store).map_err(|error| store.unusable(error))?;
        for bucket in &stack.buckets {
            store.create_bucket(bucket).map_err(|error| store.unusable(error))?;
        }
        let secret = secret_access_key(data)?;
        let spawner = Spawner::new()?;
        let cloud_logs = Logs::new(Arc::clone(&journal));
        let sns = Sns::new(&stack.subscriptions, Arc::clone(&journal), faults.clone());
        let host = Host {
            spawner: spawner.clone(),
            environment: environment(aws, &secret),
            logs: logs.clone(),
            faults: faults.clone(),
        };
        let lambda = Lambda::new(&stack.functions, host, Arc::clone(&journal));
        let place = place(data, spawner, environment(aws, &secret), cloud_logs.clone())?;
        let sagemaker = SageMaker::new(stack, place, Arc::clone(&store), Arc::clone(&journal), events, sns.clone())?;
        let s3 = S3::new(&store, &secret);
        let mut servers = JoinSet::new();
        servers.spawn(Arc::clone(&store).expire(stack.expirations.clone()));
        servers.spawn(store.free_when_idle());
        servers.spawn(Arc::clone(&disk).watch());
        let log_files = LogFiles::new(data.join("logs"));
        servers.spawn(log_files.clone().watch());
        servers.spawn(Redactor::new(Arc::clone(&journal), log_files.clone()).run());
        let sqs = Sqs::new(stack, format!("http://{aws}"), Arc::clone(&journal));
        let services = Arc::new(Services {
            faults,
            journal: Arc::clone(&journal),
            s3,
            dynamodb,
            sagemaker,
            lambda: Arc::clone(&lambda),
            logs: cloud_logs,
            sns,
            sqs,
        });
        let endpoint = Router::new().fallback(aws_endpoint::answer).with_state(Arc::clone(&services));
        servers.spawn(serve(listeners.aws, endpoint, Arc::default()));
        // Model servers may call AWS while they start.
        if let Err(error) = services.sagemaker.start_own(&stack.endpoints).await {
            journal.stop();
            servers.shutdown().await;
            services.sagemaker.stop().await;
            return Err(error);
        }
        let tokens = stack.authorizer.as_ref().map(|_| Tokens::open(data)).transpose()?;
        let measured = Measured { disk, tallies, own: stack.endpoints.iter().map(|own| own.name.clone()).collect() };
        let gateway = Gateway::new(stack, tokens, &logs, Arc::clone(&services), measured);
        let apis = Router::new().fallback(gateway::answer).with_state(Arc::new(gateway));
        let apis = apis.layer(middleware::from_fn(gateway::cors::allow));
        let linked = stack.site.iter().map(|file| file.path.clone()).collect();
        servers.spawn(serve(listeners.api, apis, Arc::new(linked)));
        // Functions start last, since they call the other services.
        lambda.start().await;
        for schedule in &stack.schedules {
            servers.spawn(schedule::run(schedule.clone(), Arc::clone(&journal)));
        }
        let running = Running { aws: format!("http://{aws}"), images: stack.images.clone() };
        // Without it, only other processes do not find this cloud.
        if let Err(error) = running.write(data) {
            tracing::warn!(%error, "the note of this cloud cannot be written");
        }
        Ok(Self { services, journal, servers, aws, api, recovery, log_files, _lock: lock })
    }

    /// The address of the AWS endpoint.
    pub fn aws_address(&self) -> SocketAddr {
        self.aws
    }

    /// The address of the REST and HTTP APIs.
    pub fn api_address(&self) -> SocketAddr {
        self.api
    }

    /// What the start found damaged, and what it did about it.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The keys of a bucket that begin with `prefix`.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Result<Vec<String>, CloudError> {
        self.journal
            .read(|connection| {
                let mut keys = connection.prepare("SELECT key FROM object WHERE bucket = ? ORDER BY key")?;
                let keys = keys.query_map([bucket], |row| row.get::<_, String>(0))?;
                keys.filter(|key| key.as_ref().map_or(true, |key| key.starts_with(prefix))).collect()
            })
            .map_err(|source| self.journal.unusable(source))
    }

    /// The asynchronous work that is queued or under way.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn backlog(&self) -> Result<Backlog, CloudError> {
        let now = self.journal.clock().now_millis();
        self.journal.read(|connection| queue::backlog(connection, now)).map_err(CloudError::Backlog)
    }

    /// Closes the listeners and stops the child processes. The next start resumes the unfinished work.
    pub async fn stop(mut self) {
        self.journal.stop();
        self.servers.shutdown().await;
        tokio::join!(self.services.lambda.stop(), self.services.sagemaker.stop());
        // The functions write no more.
        Redactor::new(Arc::clone(&self.journal), self.log_files).finish();
        // Without its mark, the next start only knows less.
        if let Err(error) = self.journal.close() {
            tracing::warn!(error = chain(&error), "the journal cannot be marked as whole");
        }
        if let Err(error) = self.services.dynamodb.close() {
            tracing::warn!(%error, "the mark of the tables cannot be removed");
        }
    }
}

async fn serve(listener: TcpListener, router: Router, linked: Linked) {
    if let Err(error) = server::serve(listener, server::limited(router), linked).await {
        tracing::error!(%error, "a listener ended");
    }
}

/// Locks the data folder: two clouds over one folder would corrupt each other's queues.
async fn lock(data: &Path) -> Result<File, CloudError> {
    let failed = |path: PathBuf| move |source| CloudError::DataFolder { path, source };
    data_folder::create(data).map_err(failed(data.to_owned()))?;
    let path = data.join("lock");
    let file = File::options().create(true).append(true).open(&path).map_err(failed(path.clone()))?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(fs::TryLockError::WouldBlock) => return Err(CloudError::DataFolderInUse(data.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(CloudError::DataFolder { path, source }),
        }
    }
}

/// The secret of [`ACCESS_KEY_ID`], kept in a file so that presigned URLs survive a restart.
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

/// The variables that AWS sets for every function. Model servers get them too: on AWS they have the credentials of their role.
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

/// Where model servers and jobs run. They get the paths of their folders, whatever their working directory.
fn place(
    data: &Path,
    spawner: Spawner,
    environment: BTreeMap<&'static str, String>,
    streams: Logs,
) -> Result<Place, CloudError> {
    let data = std::path::absolute(data)?;
    // A container has a PATH and a HOME; here they are this machine's.
    let machines = ["PATH", "HOME"].into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?)));
    let stash = data.join("sagemaker-empty");
    fs::create_dir_all(&stash).map_err(|source| CloudError::DataFolder { path: stash.clone(), source })?;
    Ok(Place {
        spawner,
        environment: environment.into_iter().chain(machines).collect(),
        logs: data.join("logs"),
        streams,
        models: data.join("sagemaker"),
        jobs: data.join("sagemaker-jobs"),
        stash,
    })
}

/// Checks that every function that the stack invokes is declared.
fn check(stack: &Stack) -> Result<(), StackError> {
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
            return Err(StackError::NoSuchFunction(name.clone()));
        }
    }
    Ok(())
}
