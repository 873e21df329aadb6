//! An execution environment: one process of a function, and its Runtime API.
//!
//! As on AWS, every environment has its own Runtime API, and handles one invocation at a time. It ends when it was idle for long,
//! when the process exits, and when an invocation times out (*Using the Lambda runtime API*, AWS Lambda Developer Guide).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use uuid::Uuid;

use super::report::Reports;
use super::{MAX_PAYLOAD, Reply};
use crate::child::{self, Spawner};
use crate::clock::now_millis;
use crate::faults::Faults;
use crate::stack::{Code, Function};
use crate::{ACCOUNT, REGION, server};

/// How long a process may take until it asks for its first event.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the environments of all functions share.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) spawner: Spawner,
    /// Region, credentials and endpoint, as AWS sets them.
    pub(crate) environment: BTreeMap<&'static str, String>,
    pub(crate) logs: PathBuf,
    pub(crate) faults: Faults,
}

impl Host {
    pub(crate) fn log(&self, function: &str) -> PathBuf {
        self.logs.join(format!("{function}.log"))
    }
}

/// Why an environment did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvironmentError {
    #[error("Runtime exited with error: {0}")]
    Exited(String),
    #[error("Task timed out after {:.2} seconds", .0.as_secs_f64())]
    TimedOut(Duration),
    #[error("the process did not ask for an event within {} seconds", INIT_TIMEOUT.as_secs())]
    InitTimedOut,
    #[error("the process cannot be started")]
    Start(#[from] std::io::Error),
}

impl EnvironmentError {
    /// Lambda's name of the error.
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Self::Exited(_) => "Runtime.ExitError",
            Self::TimedOut(_) => "Sandbox.Timedout",
            Self::InitTimedOut => "Runtime.InitTimeout",
            Self::Start(_) => "Runtime.InvalidEntrypoint",
        }
    }
}

struct Invocation {
    request_id: String,
    payload: Bytes,
    deadline: i64,
    reply: oneshot::Sender<Reply>,
}

struct RuntimeApi {
    function_arn: String,
    invocations: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    current: Mutex<Option<(String, oneshot::Sender<Reply>)>>,
    started: Instant,
    /// How long the process took to ask for its first event.
    ready: watch::Sender<Option<Duration>>,
}

/// The process of an environment.
enum Process {
    Child(Child),
    Task(JoinHandle<()>),
}

impl Process {
    /// Waits until the process ends. Returns how it ended.
    async fn wait(&mut self) -> std::io::Result<String> {
        match self {
            Self::Child(child) => Ok(child.wait().await?.to_string()),
            Self::Task(task) => Ok(task.await.err().map_or("it returned".to_owned(), |error| error.to_string())),
        }
    }

    fn is_alive(&mut self) -> bool {
        match self {
            Self::Child(child) => matches!(child.try_wait(), Ok(None)),
            Self::Task(task) => !task.is_finished(),
        }
    }

    async fn stop(&mut self, patience: Duration) {
        match self {
            Self::Child(child) => child::stop(child, patience).await,
            Self::Task(task) => {
                task.abort();
                // An aborted task ends with an error.
                let _ = task.await;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Dropping a child kills it.
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

pub(crate) struct Environment {
    process: Process,
    /// The session token of its credentials, which its calls carry.
    token: String,
    /// Notified when a planned fault kills it.
    kill: Arc<Notify>,
    faults: Faults,
    invocations: mpsc::Sender<Invocation>,
    ready: watch::Receiver<Option<Duration>>,
    reports: Option<Reports>,
    server: AbortHandle,
    pub(crate) last_used: Instant,
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.server.abort();
        self.faults.end(&self.token);
    }
}

impl Environment {
    pub(crate) async fn start(function: &Function, host: &Host) -> Result<Self, EnvironmentError> {
        let (invocations, received) = mpsc::channel(1);
        let (ready, is_ready) = watch::channel(None);
        let api = RuntimeApi {
            function_arn: arn(&function.name),
            invocations: tokio::sync::Mutex::new(received),
            current: Mutex::new(None),
            started: Instant::now(),
            ready,
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(server::serve(listener, router(Arc::new(api)), Arc::default())).abort_handle();
        let mut environment = host.environment.clone();
        environment.extend([
            ("AWS_LAMBDA_RUNTIME_API", address.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", function.name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_size.to_string()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name)),
            ("AWS_LAMBDA_LOG_STREAM_NAME", address.port().to_string()),
            ("_HANDLER", "bootstrap".to_owned()),
        ]);
        let token = Uuid::new_v4().simple().to_string();
        environment.insert("AWS_SESSION_TOKEN", token.clone());
        let process = match &function.code {
            Code::Program(program) => {
                let child = host.spawner.spawn(program, environment, &host.log(&function.name)).await;
                Process::Child(child.inspect_err(|_| server.abort())?)
            }
            Code::InProcess(runtime) => {
                let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                Process::Task(tokio::spawn(runtime.start(environment)))
            }
        };
        let reports = match &process {
            Process::Child(child) => {
                child.id().map(|pid| Reports::new(host.log(&function.name), pid, function.memory_size))
            }
            Process::Task(_) => None,
        };
        let (kill, faults) = (host.faults.begin(&token), host.faults.clone());
        let last_used = Instant::now();
        Ok(Self { process, token, kill, faults, invocations, ready: is_ready, reports, server, last_used })
    }

    /// Whether the process still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.process.is_alive()
    }

    /// Has the process handle one event. After an error the environment cannot be used again.
    pub(crate) async fn invoke(
        &mut self,
        request_id: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Reply, EnvironmentError> {
        let init = tokio::time::timeout(INIT_TIMEOUT, self.ready.wait_for(Option::is_some));
        let init = tokio::select! {
            ready = init => ready.map_err(|_| EnvironmentError::InitTimedOut)?.ok().and_then(|ready| *ready),
            status = self.process.wait() => return Err(EnvironmentError::Exited(status?)),
        };
        let start = Instant::now();
        self.faults.invoke(&self.token);
        let (reply, replied) = oneshot::channel();
        let deadline = now_millis() + i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX / 2);
        let invocation = Invocation { request_id: request_id.to_owned(), payload, deadline, reply };
        if self.invocations.send(invocation).await.is_err() {
            return Err(EnvironmentError::Exited(self.process.wait().await?));
        }
        tokio::select! {
            reply = replied => match reply {
                Ok(reply) => {
                    self.last_used = Instant::now();
                    if let Some(reports) = &mut self.reports {
                        reports.write(request_id, &reply, start.elapsed(), init);
                    }
                    Ok(reply)
                }
                Err(_) => Err(EnvironmentError::Exited(self.process.wait().await?)),
            },
            status = self.process.wait() => Err(EnvironmentError::Exited(status?)),
            () = tokio::time::sleep(timeout) => {
                self.process.stop(Duration::ZERO).await;
                Err(EnvironmentError::TimedOut(timeout))
            }
            () = self.kill.notified() => {
                self.process.stop(Duration::ZERO).await;
                Err(EnvironmentError::Exited("killed by a planned fault".to_owned()))
            }
        }
    }

    pub(crate) async fn stop(mut self) {
        self.process.stop(Duration::from_millis(500)).await;
    }
}

pub(crate) fn arn(function: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}")
}

fn router(api: Arc<RuntimeApi>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::max(MAX_PAYLOAD))
        .with_state(api)
}

async fn next(State(api): State<Arc<RuntimeApi>>) -> Response {
    api.ready.send_if_modified(|ready| ready.is_none() && ready.replace(api.started.elapsed()).is_none());
    let Some(invocation) = api.invocations.lock().await.recv().await else { return StatusCode::GONE.into_response() };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", invocation.request_id.clone()),
        ("lambda-runtime-deadline-ms", invocation.deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", api.function_arn.clone()),
        ("lambda-runtime-trace-id", trace_id()),
        ("content-type", "application/json".to_owned()),
    ] {
        if let Ok(value) = value.parse() {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    *api.current.lock().unwrap_or_else(PoisonError::into_inner) = Some((invocation.request_id, invocation.reply));
    (headers, invocation.payload).into_response()
}

fn trace_id() -> String {
    let id = Uuid::new_v4().simple().to_string();
    format!("Root=1-{:08x}-{};Sampled=0", now_millis() / 1000, &id[..24])
}

async fn response(State(api): State<Arc<RuntimeApi>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    api.answer(&id, Reply::Response(body))
}

async fn error(State(api): State<Arc<RuntimeApi>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    api.answer(&id, Reply::Error(body))
}

/// The process exits after this; its log and its exit status have the details.
async fn init_error(State(api): State<Arc<RuntimeApi>>, body: Bytes) -> StatusCode {
    tracing::error!(function = api.function_arn, error = %String::from_utf8_lossy(&body), "initialization failed");
    StatusCode::ACCEPTED
}

impl RuntimeApi {
    fn answer(&self, id: &str, reply: Reply) -> StatusCode {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match current.take() {
            Some((expected, sender)) if expected == id => {
                // The caller may have gone.
                let _ = sender.send(reply);
                StatusCode::ACCEPTED
            }
            other => {
                *current = other;
                StatusCode::BAD_REQUEST
            }
        }
    }
}
