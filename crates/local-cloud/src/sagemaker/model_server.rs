//! A model server as a child process, by SageMaker's container contract (*Use your own inference code with hosting
//! services*, SageMaker Developer Guide).

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::ModelRequest;
use crate::CloudError;
use crate::child::{self, Spawner};
use crate::stack::Endpoint;

/// Time between two looks at a server that is not healthy yet.
const STARTING_PING: Duration = Duration::from_millis(15);
/// Time between two looks at a healthy server.
const PING: Duration = Duration::from_secs(5);
/// How long `/ping` may take; SageMaker's own limit.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Pings in a row that may fail before the server is replaced.
const MAX_FAILED_PINGS: u32 = 3;
/// How long a server may take to end; SageMaker kills after 30 seconds.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Why the model server did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvokeError {
    #[error("the model server is not healthy")]
    NotHealthy,
    #[error("Model invocation timed out after {} seconds", .0.as_secs())]
    TimedOut(Duration),
    #[error("the connection to the model server broke")]
    Connection(#[source] reqwest::Error),
}

/// What the model server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<String>,
    /// Seconds from `Retry-After`.
    pub(super) retry_after: Option<u64>,
    pub(super) body: Bytes,
}

/// A server that is replaced whenever it ends or falls ill.
pub(super) struct ModelServer {
    client: reqwest::Client,
    /// Where it is, while it is healthy.
    base: watch::Receiver<Option<String>>,
    stop: Arc<Notify>,
    supervisor: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl ModelServer {
    /// Starts the server and waits until it is healthy.
    pub(super) async fn start(endpoint: &Endpoint, spawner: Spawner, logs: &Path) -> Result<Self, CloudError> {
        let client = reqwest::Client::builder().no_proxy().build().map_err(std::io::Error::other)?;
        let log = logs.join(format!("{}.log", endpoint.name));
        let (base, is_base) = watch::channel(None);
        let supervisor =
            Supervisor { endpoint: endpoint.clone(), spawner, log: log.clone(), client: client.clone(), base };
        let failed = |reason| CloudError::ModelServer { endpoint: endpoint.name.clone(), reason };
        let child = supervisor.launch().await.map_err(|end| failed(end.describe(&log)))?;
        let stop = Arc::new(Notify::new());
        let supervising = tokio::spawn(supervisor.run(child, Arc::clone(&stop)));
        Ok(Self { client, base: is_base, stop, supervisor: tokio::sync::Mutex::new(Some(supervising)) })
    }

    /// Waits until the server is healthy, for `patience` at most.
    pub(super) async fn healthy(&self, patience: Duration) -> bool {
        let mut base = self.base.clone();
        matches!(tokio::time::timeout(patience, base.wait_for(Option::is_some)).await, Ok(Ok(_)))
    }

    /// Hands a request to the server and collects its whole answer.
    pub(super) async fn invoke(
        &self,
        request: &ModelRequest,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Answer, InvokeError> {
        let base = self.base.borrow().clone().ok_or(InvokeError::NotHealthy)?;
        let mut outgoing = self.client.post(format!("{base}/invocations")).timeout(timeout).body(body);
        for (name, value) in [
            ("content-type", &request.content_type),
            ("accept", &request.accept),
            ("x-amzn-sagemaker-custom-attributes", &request.custom_attributes),
            ("x-amzn-sagemaker-inference-id", &request.inference_id),
        ] {
            if let Some(value) = value {
                outgoing = outgoing.header(name, value);
            }
        }
        let failed = |error: reqwest::Error| match error.is_timeout() {
            true => InvokeError::TimedOut(timeout),
            false => InvokeError::Connection(error),
        };
        let answer = outgoing.send().await.map_err(failed)?;
        let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer {
            status: answer.status(),
            content_type: text(header::CONTENT_TYPE),
            retry_after: text(header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok()),
            body: answer.bytes().await.map_err(failed)?,
        })
    }

    pub(super) async fn stop(&self) {
        self.stop.notify_one();
        if let Some(supervisor) = self.supervisor.lock().await.take()
            && let Err(error) = supervisor.await
        {
            tracing::error!(%error, "the supervisor of a model server failed");
        }
    }
}

/// How a start ended badly.
enum BadStart {
    Spawn(std::io::Error),
    Exited(ExitStatus),
    Unhealthy(Duration),
}

impl BadStart {
    fn describe(&self, log: &Path) -> String {
        let what = match self {
            Self::Spawn(error) => return format!("it cannot be executed: {error}"),
            Self::Exited(status) => format!("it ended with {status}"),
            Self::Unhealthy(patience) => format!("/ping was not healthy within {} seconds", patience.as_secs()),
        };
        format!("{what}; its last words:\n{}", child::log_tail(log))
    }
}

struct Supervisor {
    endpoint: Endpoint,
    spawner: Spawner,
    log: PathBuf,
    client: reqwest::Client,
    base: watch::Sender<Option<String>>,
}

impl Supervisor {
    /// Starts a process and waits until it is healthy.
    async fn launch(&self) -> Result<Child, BadStart> {
        let port = free_port().await.map_err(BadStart::Spawn)?;
        let environment = [("SAGEMAKER_BIND_TO_PORT", port.to_string()), ("BIND_HOST", "127.0.0.1".to_owned())];
        let spawned = self.spawner.spawn(&self.endpoint.program, environment, &self.log).await;
        let mut child = spawned.map_err(BadStart::Spawn)?;
        let base = format!("http://127.0.0.1:{port}");
        let deadline = Instant::now() + self.endpoint.startup_timeout;
        while !self.ping(&base).await {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(BadStart::Exited(status));
            }
            if Instant::now() >= deadline {
                child::stop(&mut child, Duration::ZERO).await;
                return Err(BadStart::Unhealthy(self.endpoint.startup_timeout));
            }
            tokio::time::sleep(STARTING_PING).await;
        }
        self.base.send_replace(Some(base));
        Ok(child)
    }

    async fn ping(&self, base: &str) -> bool {
        let ping = self.client.get(format!("{base}/ping")).timeout(PING_TIMEOUT).send().await;
        ping.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Watches over the process, and replaces it whenever it ends or no longer answers `/ping`.
    async fn run(self, mut child: Child, stop: Arc<Notify>) {
        loop {
            tokio::select! {
                () = stop.notified() => break,
                why = self.until_ill(&mut child) => {
                    tracing::error!(endpoint = self.endpoint.name, why, log = %self.log.display(), "the model server is replaced");
                }
            }
            self.base.send_replace(None);
            child::stop(&mut child, Duration::ZERO).await;
            tokio::select! {
                () = stop.notified() => return,
                launched = self.relaunch() => child = launched,
            }
        }
        self.base.send_replace(None);
        child::stop(&mut child, STOP_PATIENCE).await;
    }

    /// Tries until a process is healthy, ever less often.
    async fn relaunch(&self) -> Child {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.launch().await {
                Ok(child) => return child,
                Err(end) => {
                    let why = end.describe(&self.log);
                    tracing::error!(endpoint = self.endpoint.name, why, "the model server does not start");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }

    async fn until_ill(&self, child: &mut Child) -> String {
        let base = self.base.borrow().clone().unwrap_or_default();
        let mut failed = 0;
        loop {
            tokio::select! {
                status = child.wait() => return match status {
                    Ok(status) => format!("it ended with {status}"),
                    Err(error) => format!("it cannot be waited for: {error}"),
                },
                () = tokio::time::sleep(PING) => {}
            }
            failed = if self.ping(&base).await { 0 } else { failed + 1 };
            if failed == MAX_FAILED_PINGS {
                return format!("/ping failed {failed} times in a row");
            }
        }
    }
}

/// A port that was free a moment ago: SageMaker's contract has the server bind it. Should another process be quicker,
/// the server ends and is started again on another port.
async fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port())
}
