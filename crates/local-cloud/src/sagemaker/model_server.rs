//! A model server as a child process, by SageMaker's container contract (*Use your own inference code with hosting
//! services*, SageMaker Developer Guide).

use std::path::PathBuf;
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

use super::chain;
use super::runtime::ModelRequest;
use crate::REGION;
use crate::child::{self, Spawner};
use crate::stack::Program;

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

/// What to run, for whom.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// The endpoint's name.
    pub(super) name: String,
    /// With everything in its environment but what the contract itself sets.
    pub(super) program: Program,
    /// How long it may take until its first healthy `/ping`.
    pub(super) startup_timeout: Duration,
    pub(super) log: PathBuf,
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
    pub(super) async fn start(server: Server, spawner: Spawner) -> Result<Self, StartError> {
        let client = reqwest::Client::builder().no_proxy().build().map_err(std::io::Error::other)?;
        let (base, is_base) = watch::channel(None);
        let supervisor = Supervisor { server, spawner, client: client.clone(), base };
        let child = supervisor.launch().await?;
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

impl Drop for ModelServer {
    /// Whoever does not stop it in time kills it.
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.get_mut() {
            supervisor.abort();
        }
    }
}

/// How a start ended badly.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("it cannot be executed")]
    Spawn(#[from] std::io::Error),
    #[error("it ended with {status}; its last words:\n{last_words}")]
    Exited { status: ExitStatus, last_words: String },
    #[error("/ping was not healthy within {} seconds; its last words:\n{last_words}", .patience.as_secs())]
    Unhealthy { patience: Duration, last_words: String },
}

struct Supervisor {
    server: Server,
    spawner: Spawner,
    client: reqwest::Client,
    base: watch::Sender<Option<String>>,
}

impl Supervisor {
    /// Starts a process and waits until it is healthy.
    async fn launch(&self) -> Result<Child, StartError> {
        let Server { log, startup_timeout: patience, .. } = &self.server;
        let port = free_port().await?;
        let region = [("AWS_REGION", REGION.to_owned()), ("AWS_DEFAULT_REGION", REGION.to_owned())];
        let mut program = self.server.program.clone();
        // A model's own environment does not change these.
        program.environment.insert("SAGEMAKER_BIND_TO_PORT".to_owned(), port.to_string());
        program.environment.insert("BIND_HOST".to_owned(), "127.0.0.1".to_owned());
        let before = child::log_len(log);
        let mut child = self.spawner.spawn(&program, region, log).await?;
        let base = format!("http://127.0.0.1:{port}");
        let deadline = Instant::now() + *patience;
        while !self.ping(&base).await {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(StartError::Exited { status, last_words: child::log_tail(log, before) });
            }
            if Instant::now() >= deadline {
                child::stop(&mut child, Duration::ZERO).await;
                return Err(StartError::Unhealthy { patience: *patience, last_words: child::log_tail(log, before) });
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
                    let Server { name, log, .. } = &self.server;
                    tracing::error!(endpoint = name, why, log = %log.display(), "the model server is replaced");
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
                Err(error) => {
                    let why = chain(&error);
                    tracing::error!(endpoint = self.server.name, why, "the model server does not start");
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
