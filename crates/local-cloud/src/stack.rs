//! What there is to be, as a template would say it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::gateway::{Parameters, Refusal};

/// Everything a cloud is to hold.
#[derive(Clone, Debug, Default)]
pub struct Stack {
    /// S3 buckets.
    pub buckets: Vec<String>,
    /// S3's own event notifications to functions.
    pub notifications: Vec<BucketNotification>,
    /// DynamoDB tables.
    pub tables: Vec<Table>,
    /// Lambda functions.
    pub functions: Vec<Function>,
    /// EventBridge rules.
    pub rules: Vec<Rule>,
    /// EventBridge schedules.
    pub schedules: Vec<Schedule>,
    /// SNS subscriptions; a topic exists where something subscribes to it.
    pub subscriptions: Vec<Subscription>,
    /// The images that models can be made of.
    pub images: Vec<Image>,
    /// SageMaker endpoints that are there from the start.
    pub endpoints: Vec<Endpoint>,
    /// The REST API's routes, proxied to S3.
    pub rest_api: Vec<S3Integration>,
    /// The HTTP API's routes, proxied to functions.
    pub http_api: Vec<HttpRoute>,
    /// A web site at the address of both APIs, as a bucket behind CloudFront would serve it.
    pub site: Vec<StaticFile>,
}

/// A file of a web site.
#[derive(Clone, Debug)]
pub struct StaticFile {
    /// The path: `/`, `/app.js`.
    pub path: String,
    /// The headers to send it with, its `Content-Type` among them.
    pub headers: HeaderMap,
    /// What is in it.
    pub body: Bytes,
}

/// A DynamoDB table, by the inputs of AWS's own operations.
#[derive(Clone, Debug)]
pub struct Table {
    /// Input of `CreateTable`.
    pub create: Value,
    /// The attribute of `UpdateTimeToLive`.
    pub time_to_live: Option<String>,
}

/// S3 tells a function about created objects, in S3's own format.
#[derive(Clone, Debug)]
pub struct BucketNotification {
    /// The bucket.
    pub bucket: String,
    /// Only keys that begin so.
    pub prefix: String,
    /// The function.
    pub function: String,
}

/// A program to run as a child process.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file to execute.
    pub path: PathBuf,
    /// What it sees as its own name: one file may hold several programs.
    pub arg0: OsString,
    /// Its environment, beside what AWS itself sets. Nothing is inherited but `RUST_LOG`, `RUST_BACKTRACE` and the
    /// temporary folder.
    pub environment: BTreeMap<String, String>,
}

/// What an execution environment of a function runs.
#[derive(Clone, Debug)]
pub enum Code {
    /// A child process.
    Program(Program),
    /// A task of this process, which many environments cost little.
    InProcess(InProcess),
}

/// A function's runtime as a task: given the variables that AWS sets, among them the address of the Runtime API, it asks that for
/// events and answers them, until it is dropped, which is its death.
#[derive(Clone)]
pub struct InProcess(Arc<Runtime>);

type Runtime = dyn Fn(BTreeMap<String, String>) -> BoxFuture<'static, ()> + Send + Sync;

impl InProcess {
    /// A runtime that `start` makes for each execution environment.
    pub fn new(start: impl Fn(BTreeMap<String, String>) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(start))
    }

    pub(crate) fn start(&self, environment: BTreeMap<String, String>) -> BoxFuture<'static, ()> {
        (self.0)(environment)
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("InProcess")
    }
}

/// A Lambda function on a custom runtime.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What to run.
    pub code: Code,
    /// The longest one invocation may take.
    pub timeout: Duration,
    /// Megabytes of memory that it would have on AWS; here it is told of them, not held to them.
    pub memory_size: u32,
    /// The most execution environments at once.
    pub concurrency: usize,
    /// Execution environments that are there from the start.
    pub provisioned_concurrency: usize,
    /// What happens to asynchronous invocations that fail.
    pub retry: RetryPolicy,
}

/// What happens to asynchronous invocations that fail.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// How long to wait before each retry; AWS: one minute, then two.
    pub backoff: Vec<Duration>,
    /// The queue for events that failed every time.
    pub dead_letter_queue: Option<String>,
}

/// An EventBridge rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// The event pattern: lists of exact values and `{"prefix"}`.
    pub pattern: Value,
    /// The functions it invokes.
    pub functions: Vec<String>,
}

/// A function invoked at a steady rate.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// The time between two invocations.
    pub rate: Duration,
    /// The function.
    pub function: String,
}

/// A function subscribed to an SNS topic.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The topic's name.
    pub topic: String,
    /// The function.
    pub function: String,
}

/// An image of a model server, and what runs in place of a container.
#[derive(Clone, Debug)]
pub struct Image {
    /// The repository's name: the last part of an image's URI, without tag and digest.
    pub repository: String,
    /// The program, with the variables that the image itself would set.
    pub program: Program,
}

/// A SageMaker endpoint of one instance.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name; its model and its endpoint configuration are called so too.
    pub name: String,
    /// The model's image, by the name of its repository.
    pub image: String,
    /// The model's environment, on top of the image's.
    pub environment: BTreeMap<String, String>,
    /// How long the server may take until its first healthy `/ping`.
    pub startup_timeout: Duration,
    /// How many asynchronous invocations the instance gets at once.
    pub max_concurrent_invocations_per_instance: usize,
    /// `s3://` location under which outputs are written.
    pub s3_output_path: String,
    /// `s3://` location under which failures are written.
    pub s3_failure_path: String,
    /// The topic told of successes.
    pub success_topic: Option<String>,
    /// The topic told of failures.
    pub error_topic: Option<String>,
}

/// A REST API route with an S3 proxy integration.
#[derive(Clone, Debug)]
pub struct S3Integration {
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for one segment and `{name+}` for all the rest.
    pub path: String,
    /// The bucket.
    pub bucket: String,
    /// The key, with the path's names in braces.
    pub key: String,
    /// Query parameters that become object metadata: `(parameter, metadata name)`.
    pub metadata: Vec<(String, String)>,
    /// The media types a body may have; a body without one is taken.
    pub media_types: Vec<String>,
    /// The largest body, in bytes.
    pub max_body: u64,
    /// Refuses what must not reach S3.
    pub validate: fn(&Parameters) -> Result<(), Refusal>,
}

/// An HTTP API route to a function, payload format 2.0.
#[derive(Clone, Debug)]
pub struct HttpRoute {
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for one segment.
    pub path: String,
    /// The function.
    pub function: String,
}
