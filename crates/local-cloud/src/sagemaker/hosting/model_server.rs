//! A model server: a child process that keeps SageMaker's container contract (*Use your own inference code with hosting services*,
//! SageMaker Developer Guide), and its supervisor.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{Stream, TryStreamExt, stream};
use http::{HeaderName, StatusCode, header};
use reqwest::redirect::Policy;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{MARK, Place};
use crate::child::{self, View};
use crate::container_contract::{self, CUSTOM_ATTRIBUTES, ContractError};
use crate::error::chain;
use crate::logs::{Follower, LogStream};
use crate::stack::Program;

/// The time between two pings of a server that is not healthy yet.
const STARTING_PING: Duration = Duration::from_millis(5);
/// The time between two pings of a healthy server.
const PING: Duration = Duration::from_secs(5);
/// How long `/ping` may take: SageMaker's limit.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// The server is replaced after this number of failed pings in a row.
const MAX_FAILED_PINGS: u32 = 3;
/// The largest text of metrics, in bytes. A server of this project has some 10 KB.
const MAX_METRICS: usize = 4 << 20;
/// How long a server may take to end. SageMaker kills it after 30 seconds.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How many ports a container of a pipeline may bind beside its own.
const SAFE_PORTS: u16 = 10;
/// How many ports a server is started on, if other processes take them.
const MOST_PORTS: u32 = 3;

/// Why the model server did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvokeError {
    #[error("the model server is not healthy")]
    NotHealthy,
    #[error("Model invocation timed out after {} seconds", .timeout.as_secs())]
    TimedOut { container: String, timeout: Duration },
    #[error("the connection to the model server broke")]
    Connection {
        container: String,
        #[source]
        source: reqwest::Error,
    },
}

impl InvokeError {
    fn of(error: reqwest::Error, container: &str, timeout: Duration) -> Self {
        let container = container.to_owned();
        match error.is_timeout() {
            true => Self::TimedOut { container, timeout },
            false => Self::Connection { container, source: error },
        }
    }
}

/// The headers of an invocation that the model server gets.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelRequest {
    pub(crate) content_type: Option<String>,
    pub(crate) accept: Option<String>,
    pub(crate) custom_attributes: Option<String>,
    pub(crate) inference_id: Option<String>,
    /// Whether the body is sent in chunks, without its length.
    pub(crate) chunked: bool,
}

/// The answer of the model server, whose body is still to be received.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The name of the container, for messages.
    pub(crate) container: String,
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<String>,
    /// Seconds from `Retry-After`.
    pub(crate) retry_after: Option<u64>,
    response: reqwest::Response,
    timeout: Duration,
}

impl Answer {
    /// The body as it arrives.
    pub(crate) fn stream(self) -> impl Stream<Item = Result<Bytes, InvokeError>> + Unpin {
        let (container, timeout) = (self.container, self.timeout);
        self.response.bytes_stream().map_err(move |error| InvokeError::of(error, &container, timeout))
    }

    /// The whole body.
    pub(crate) async fn collect(self) -> Result<Bytes, InvokeError> {
        let (container, timeout) = (self.container, self.timeout);
        self.response.bytes().await.map_err(|error| InvokeError::of(error, &container, timeout))
    }

    /// The `CustomAttributes` that the caller gets.
    pub(crate) fn custom_attributes(&self) -> Result<Option<String>, ContractError> {
        container_contract::custom_attributes(self.response.headers()).map(|text| text.map(str::to_owned))
    }

    /// Checks what an asynchronous endpoint asks of an answer. A real-time one takes chunks, and no limit of its headers is known.
    pub(crate) fn check_asynchronous(&self) -> Result<(), ContractError> {
        let headers = self.response.headers();
        container_contract::content_length(headers)?;
        container_contract::header_bytes(headers).map(drop)
    }

    /// The kind of an error status: `client error (400)` or `server error (500)`.
    pub(crate) fn error_kind(&self) -> String {
        let side = if self.status.is_client_error() { "client" } else { "server" };
        format!("{side} error ({})", self.status.as_u16())
    }
}

/// A model server to start.
#[derive(Clone)]
pub(crate) struct Server {
    /// The endpoint's or the job's name.
    pub(crate) name: String,
    /// The name of the container, for messages.
    pub(crate) container: String,
    /// The program. The contract's own variables are added to its environment, and `serve` to its arguments.
    pub(crate) program: Program,
    /// What it sees, if not what this process sees.
    pub(crate) view: Option<View>,
    /// How long it may take until its first healthy `/ping`.
    pub(crate) startup_timeout: Duration,
    pub(crate) log: PathBuf,
    /// The stream that its output is copied to.
    pub(crate) stream: LogStream,
    /// Whether it is told which further ports it may bind, as containers of a pipeline are: they share an address.
    pub(crate) shares_ports: bool,
}

/// A running server, which is replaced when it ends or is no longer healthy.
pub(crate) struct ModelServer {
    container: String,
    client: reqwest::Client,
    /// Its URL, while it is healthy.
    base: watch::Receiver<Option<String>>,
    stop: Arc<Notify>,
    supervisor: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    follower: tokio::sync::Mutex<Option<Follower>>,
}

impl ModelServer {
    /// Starts the server and waits until it is healthy.
    pub(crate) async fn start(server: Server, place: Place) -> Result<Self, StartError> {
        let client = client().map_err(std::io::Error::other)?;
        let (base, is_base) = watch::channel(None);
        let follower = Follower::start(&server.log, child::log_len(&server.log), server.stream.clone());
        let container = server.container.clone();
        let supervisor = Supervisor { server, place, client: client.clone(), base };
        let process = match supervisor.launch().await {
            Ok(process) => process,
            Err(error) => {
                follower.finish().await;
                return Err(error);
            }
        };
        let stop = Arc::new(Notify::new());
        let supervising = tokio::spawn(supervisor.run(process, Arc::clone(&stop)));
        Ok(Self {
            container,
            client,
            base: is_base,
            stop,
            supervisor: tokio::sync::Mutex::new(Some(supervising)),
            follower: tokio::sync::Mutex::new(Some(follower)),
        })
    }

    /// Waits until the server is healthy, for `patience` at most.
    pub(crate) async fn healthy(&self, patience: Duration) -> bool {
        let mut base = self.base.clone();
        matches!(tokio::time::timeout(patience, base.wait_for(Option::is_some)).await, Ok(Ok(_)))
    }

    /// Sends a request to the server. `timeout` includes the answer's body.
    pub(crate) async fn invoke(
        &self,
        request: &ModelRequest,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Answer, InvokeError> {
        let base = self.base.borrow().clone().ok_or(InvokeError::NotHealthy)?;
        let body = match request.chunked {
            true => reqwest::Body::wrap_stream(stream::iter([Ok::<_, Infallible>(body)])),
            false => body.into(),
        };
        let mut outgoing = self.client.post(format!("{base}/invocations")).timeout(timeout).body(body);
        for (name, value) in [
            ("content-type", &request.content_type),
            ("accept", &request.accept),
            (CUSTOM_ATTRIBUTES.as_str(), &request.custom_attributes),
            ("x-amzn-sagemaker-inference-id", &request.inference_id),
        ] {
            if let Some(value) = value {
                outgoing = outgoing.header(name, value);
            }
        }
        let response = outgoing.send().await.map_err(|error| InvokeError::of(error, &self.container, timeout))?;
        let text = |name: HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        Ok(Answer {
            container: self.container.clone(),
            status: response.status(),
            content_type: text(header::CONTENT_TYPE),
            retry_after: text(header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok()),
            response,
            timeout,
        })
    }

    /// What the server says of itself for batch transform. `None` if it says nothing that is JSON.
    pub(crate) async fn execution_parameters(&self) -> Option<Value> {
        let base = self.base.borrow().clone()?;
        let asked = self.client.get(format!("{base}/execution-parameters")).timeout(PING_TIMEOUT).send().await.ok()?;
        asked.error_for_status().ok()?.json().await.ok()
    }

    /// The name of its container.
    pub(crate) fn container(&self) -> &str {
        &self.container
    }

    /// Whether it was healthy at the last look.
    pub(crate) fn is_healthy(&self) -> bool {
        self.base.borrow().is_some()
    }

    /// Asks for its answer to `GET /metrics`: Prometheus' text, by custom. `None` if it has none, or none in time. The server may be
    /// stopped meanwhile.
    pub(crate) fn metrics(&self) -> BoxFuture<'static, Option<String>> {
        let (client, base) = (self.client.clone(), self.base.borrow().clone());
        Box::pin(async move {
            let asked = client.get(format!("{}/metrics", base?)).timeout(PING_TIMEOUT).send().await.ok()?;
            let mut answer = asked.error_for_status().ok()?;
            let mut text = Vec::new();
            while let Some(piece) = answer.chunk().await.ok()? {
                text.extend_from_slice(&piece);
                if text.len() > MAX_METRICS {
                    return None;
                }
            }
            String::from_utf8(text).ok()
        })
    }

    pub(crate) async fn stop(&self) {
        self.stop.notify_one();
        if let Some(supervisor) = self.supervisor.lock().await.take()
            && let Err(error) = supervisor.await
        {
            tracing::error!(%error, "the supervisor of a model server failed");
        }
        if let Some(follower) = self.follower.lock().await.take() {
            follower.finish().await;
        }
    }
}

/// The client of a model server. Its answer is the caller's, so a redirect is an answer, too.
fn client() -> reqwest::Result<reqwest::Client> {
    // Model servers speak plain HTTP. To read the system's certificates takes longer than the rest of a start.
    reqwest::Client::builder().no_proxy().tls_certs_only([]).redirect(Policy::none()).build()
}

impl Drop for ModelServer {
    /// A server that was not stopped is killed.
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.get_mut() {
            supervisor.abort();
        }
    }
}

/// Why a start failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("it cannot be executed")]
    Spawn(#[from] std::io::Error),
    #[error("it ended with {status}; {}", end_of_log(.log_tail))]
    Exited { status: ExitStatus, log_tail: String },
    #[error("/ping was not healthy within {} seconds; {}", .patience.as_secs(), end_of_log(.log_tail))]
    Unhealthy { patience: Duration, log_tail: String },
}

/// What a message says of the last lines of a program's log.
fn end_of_log(lines: &str) -> String {
    if lines.trim().is_empty() {
        return "it wrote nothing to its log".to_owned();
    }
    format!("the end of its log:\n{lines}")
}

/// A process of a server. What it started is in its group, and is killed when this is dropped.
struct Process {
    child: Child,
    /// The id of its group. It stays known when the process has ended.
    group: Option<u32>,
}

impl Process {
    fn new(child: Child) -> Self {
        let group = child.id();
        Self { child, group }
    }

    /// Asks it to end, and kills it after `patience`.
    async fn stop(mut self, patience: Duration) {
        // One that has ended has no id.
        if self.child.id().is_some() {
            child::stop(&mut self.child, patience).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(group) = self.group {
            child::signal_group(group, libc::SIGKILL);
        }
    }
}

struct Supervisor {
    server: Server,
    place: Place,
    client: reqwest::Client,
    base: watch::Sender<Option<String>>,
}

impl Supervisor {
    /// Starts a process and waits until it is healthy. If another process takes its port first, it is started again on another port.
    async fn launch(&self) -> Result<Process, StartError> {
        for _ in 1..MOST_PORTS {
            let port = free_port().await?;
            let launched = self.launch_at(port).await;
            if !matches!(launched, Err(StartError::Exited { .. })) || !is_taken(port).await {
                return launched;
            }
            tracing::warn!(endpoint = self.server.name, port, "another process took the model server's port");
        }
        self.launch_at(free_port().await?).await
    }

    async fn launch_at(&self, port: u16) -> Result<Process, StartError> {
        let Server { log, startup_timeout: patience, .. } = &self.server;
        let mut program = self.server.program.clone();
        // These override the model's environment.
        program.environment.insert("SAGEMAKER_BIND_TO_PORT".to_owned(), port.to_string());
        program.environment.insert("BIND_HOST".to_owned(), "127.0.0.1".to_owned());
        program.environment.insert(MARK.to_owned(), self.place.mark());
        if self.server.shares_ports {
            let (first, last) = free_ports().await?;
            program.environment.insert("SAGEMAKER_SAFE_PORT_RANGE".to_owned(), format!("{first}-{last}"));
        }
        program.arguments.push("serve".into());
        let before = child::log_len(log);
        let output = child::open_log(log)?;
        let outputs = [output.try_clone()?.into(), output.into()];
        let view = self.server.view.as_ref();
        let mut process =
            Process::new(self.place.spawner.spawn_in(&program, self.place.variables(), outputs, view).await?);
        let base = format!("http://127.0.0.1:{port}");
        let deadline = Instant::now() + *patience;
        while !self.ping(&base).await {
            if let Ok(Some(status)) = process.child.try_wait() {
                return Err(StartError::Exited { status, log_tail: child::log_tail(log, before) });
            }
            if Instant::now() >= deadline {
                process.stop(Duration::ZERO).await;
                return Err(StartError::Unhealthy { patience: *patience, log_tail: child::log_tail(log, before) });
            }
            tokio::time::sleep(STARTING_PING).await;
        }
        self.base.send_replace(Some(base));
        Ok(process)
    }

    async fn ping(&self, base: &str) -> bool {
        let ping = self.client.get(format!("{base}/ping")).timeout(PING_TIMEOUT).send().await;
        ping.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Replaces the process when it ends, and when it no longer answers `/ping`.
    async fn run(self, mut process: Process, stop: Arc<Notify>) {
        loop {
            tokio::select! {
                () = stop.notified() => break,
                why = self.until_unhealthy(&mut process.child) => {
                    let Server { name, log, .. } = &self.server;
                    tracing::error!(endpoint = name, why, log = %log.display(), "the model server is replaced");
                }
            }
            self.base.send_replace(None);
            process.stop(Duration::ZERO).await;
            tokio::select! {
                () = stop.notified() => return,
                launched = self.relaunch() => process = launched,
            }
        }
        self.base.send_replace(None);
        process.stop(STOP_PATIENCE).await;
    }

    /// Starts processes until one is healthy, with increasing pauses.
    async fn relaunch(&self) -> Process {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.launch().await {
                Ok(process) => return process,
                Err(error) => {
                    let why = chain(&error);
                    tracing::error!(endpoint = self.server.name, why, "the model server does not start");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }

    /// Waits until the process ends or is no longer healthy. Returns the reason.
    async fn until_unhealthy(&self, child: &mut Child) -> String {
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

/// A port that is free now, for the server to bind. Another process may bind it first.
async fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port())
}

/// Whether a process has this port.
async fn is_taken(port: u16) -> bool {
    let bound = TcpListener::bind(("127.0.0.1", port)).await;
    bound.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

/// The first and the last of [`SAFE_PORTS`] ports in a row that are free now.
async fn free_ports() -> std::io::Result<(u16, u16)> {
    loop {
        let first = free_port().await?;
        let Some(last) = first.checked_add(SAFE_PORTS - 1) else { continue };
        let mut bound = Vec::new();
        for port in first..=last {
            bound.extend(TcpListener::bind(("127.0.0.1", port)).await.ok());
        }
        if bound.len() == usize::from(SAFE_PORTS) {
            return Ok((first, last));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/invocations", listener.local_addr().unwrap());
        // Nobody listens after the answer, so that a client that follows it fails.
        let server = async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            assert!(connection.read(&mut [0; 1024]).await.unwrap() > 0);
            let answer = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /other\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            connection.write_all(answer).await.unwrap();
        };
        let (answer, ()) = tokio::join!(client().unwrap().get(url).send(), server);
        assert_eq!(answer.unwrap().status(), StatusCode::TEMPORARY_REDIRECT);
    }

    #[test]
    fn an_empty_log_is_said_to_be_empty() {
        let message = |log_tail: &str| {
            StartError::Unhealthy { patience: Duration::from_secs(9), log_tail: log_tail.to_owned() }.to_string()
        };
        assert_eq!(message("\n"), "/ping was not healthy within 9 seconds; it wrote nothing to its log");
        assert_eq!(message("no model"), "/ping was not healthy within 9 seconds; the end of its log:\nno model");
    }
}
