//! The resources of a cloud, declared as a template would declare them.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The resources of a cloud.
#[derive(Clone, Debug, Default)]
pub struct Stack {
    /// S3 buckets.
    pub buckets: Vec<String>,
    /// S3 event notifications to functions.
    pub notifications: Vec<BucketNotification>,
    /// Objects that are deleted when they are old enough.
    pub expirations: Vec<Expiration>,
    /// DynamoDB tables.
    pub tables: Vec<Table>,
    /// What the metrics say of the tables' items.
    pub measures: Vec<Measures>,
    /// Lambda functions.
    pub functions: Vec<Function>,
    /// EventBridge rules.
    pub rules: Vec<Rule>,
    /// EventBridge schedules.
    pub schedules: Vec<Schedule>,
    /// SNS subscriptions. A topic exists if something subscribes to it.
    pub subscriptions: Vec<Subscription>,
    /// The images that models and training jobs can name.
    pub images: Vec<Image>,
    /// SageMaker endpoints that exist from the start.
    pub endpoints: Vec<Endpoint>,
    /// Routes of the REST API, proxied to S3.
    pub rest_api: Vec<S3Integration>,
    /// Routes of the HTTP API, proxied to functions.
    pub http_api: Vec<HttpRoute>,
    /// The authorizer of all routes of both APIs; `None`: they are open.
    pub authorizer: Option<Authorizer>,
    /// A web site at the address of both APIs, as CloudFront would serve it from a bucket.
    pub site: Vec<StaticFile>,
}

/// An authorizer of bearer tokens, as Amazon Cognito's is. The tokens are those of [`Tokens`](crate::Tokens) with the same data folder.
///
/// A function gets the claims of a token in `requestContext.authorizer.jwt.claims`.
#[derive(Clone, Debug)]
pub struct Authorizer {
    /// The name, in braces, by which keys of the REST API's integrations take the caller from the token. No client can set it.
    pub name: String,
    /// How the subject of a token is written in such keys.
    pub spelling: fn(&str) -> String,
}

/// A file of a web site.
#[derive(Clone, Debug)]
pub struct StaticFile {
    /// The path: `/`, `/app.js`.
    pub path: String,
    /// The headers of the answer, its `Content-Type` among them.
    pub headers: HeaderMap,
    /// The content.
    pub body: Bytes,
}

/// What a lifecycle rule of S3 would delete, chosen by the ends of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiration {
    /// The bucket.
    pub bucket: String,
    /// The beginning of the keys.
    pub prefix: String,
    /// The end of the keys.
    pub suffix: String,
    /// The age from which an object is deleted: within a tenth of it, and within ten minutes.
    pub after: Duration,
}

/// A DynamoDB table, given as the inputs of AWS's operations.
#[derive(Clone, Debug)]
pub struct Table {
    /// The input of `CreateTable`.
    pub create: Value,
    /// The attribute that `UpdateTimeToLive` names.
    pub time_to_live: Option<String>,
}

/// What the metrics say of a table's items. All attributes are strings. The names of metrics are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measures {
    /// The table.
    pub table: String,
    /// The attribute by whose value items are counted, such as `status`. It is the label of the numbers.
    pub attribute: String,
    /// Its values. Items with others are not counted.
    pub values: Vec<String>,
    /// The values of items that wait for something.
    pub waiting: Vec<String>,
    /// The attribute with the moment since when an item has waited, as in RFC 3339.
    pub moment: String,
    /// Name and help of the gauge of items by value.
    pub items: (String, String),
    /// Name, without `_total`, and help of the counter of items that came to have a value.
    pub changes: (String, String),
    /// Name, without `_seconds`, and help of the gauge of how long the oldest item has waited; 0 where none does.
    pub oldest: (String, String),
}

/// An S3 event notification: created objects invoke a function, with an event in S3's format.
#[derive(Clone, Debug)]
pub struct BucketNotification {
    /// The bucket.
    pub bucket: String,
    /// The prefix of the keys.
    pub prefix: String,
    /// The function.
    pub function: String,
}

/// A program to run as a child process.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Program {
    /// The file to execute.
    pub path: PathBuf,
    /// Its `argv[0]`: one file may hold several programs.
    pub arg0: OsString,
    /// Its arguments. A program that stands for an image gets one more, as its container would: `serve` or `train`.
    pub arguments: Vec<OsString>,
    /// Its environment, beside the variables that AWS sets. The child inherits only `RUST_LOG`, `RUST_BACKTRACE` and the
    /// temporary folder.
    pub environment: BTreeMap<String, String>,
}

/// The code of a function.
#[derive(Clone, Debug)]
pub enum Code {
    /// A child process.
    Program(Program),
    /// A task of this process: cheap where a test starts many environments.
    InProcess(InProcess),
}

/// A function's runtime as a task. It gets the variables that AWS sets, with the address of the Runtime API, where it asks for
/// events and answers them. It is dropped to kill it.
#[derive(Clone)]
pub struct InProcess(Arc<Runtime>);

type Runtime = dyn Fn(BTreeMap<String, String>) -> BoxFuture<'static, ()> + Send + Sync;

impl InProcess {
    /// A runtime. `start` is called for each execution environment.
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
    /// Its code.
    pub code: Code,
    /// The longest one invocation may take.
    pub timeout: Duration,
    /// Its memory on AWS in MB. Here the function reads the figure in its environment; nothing enforces it.
    pub memory_size: u32,
    /// The most concurrent execution environments.
    pub concurrency: usize,
    /// Execution environments that are started with the cloud.
    pub provisioned_concurrency: usize,
    /// How failed asynchronous invocations are retried.
    pub retry: RetryPolicy,
}

/// How failed asynchronous invocations are retried.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// The delay before each retry. AWS: one minute, then two.
    pub backoff: Vec<Duration>,
    /// The queue for events whose every attempt failed.
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

/// An EventBridge schedule: it invokes a function at a steady rate.
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

/// An image of a model server or of a training program, and the program that runs in place of its container.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Image {
    /// The repository's name: the last part of an image's URI, without tag and digest.
    pub repository: String,
    /// The program, with the variables that the image would set.
    pub program: Program,
    /// Whether training jobs may name it. Such a job can name any program of this machine instead (`ContainerEntrypoint`).
    /// So every client of the AWS endpoint can run programs as this user.
    pub trains: bool,
}

/// A SageMaker endpoint of one instance.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name, which its model and its endpoint configuration share.
    pub name: String,
    /// The model's image, by the name of its repository.
    pub image: String,
    /// The model's environment, which overrides the image's.
    pub environment: BTreeMap<String, String>,
    /// How long the server may take until its first healthy `/ping`.
    pub startup_timeout: Duration,
    /// The most concurrent asynchronous invocations of the instance.
    pub max_concurrent_invocations_per_instance: usize,
    /// The `s3://` location of outputs.
    pub s3_output_path: String,
    /// The `s3://` location of failures.
    pub s3_failure_path: String,
    /// The topic of notices of success.
    pub success_topic: Option<String>,
    /// The topic of notices of failure.
    pub error_topic: Option<String>,
}

/// A REST API route with an S3 proxy integration.
#[derive(Clone, Debug)]
pub struct S3Integration {
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for one segment and `{name+}` for the rest of the path.
    pub path: String,
    /// The bucket.
    pub bucket: String,
    /// The key, with names of the path in braces.
    pub key: String,
    /// Query parameters that become metadata of the object: `(parameter, metadata name)`.
    pub metadata: Vec<(String, String)>,
    /// Metadata that every object gets: `(metadata name, value)`.
    pub fixed_metadata: Vec<(String, String)>,
    /// Metadata that gets the id of the request, which is also in the access log and in the answer.
    pub request_metadata: Option<String>,
    /// Refuses bodies of a wrong media type, which is given as the client wrote it. A body without a media type is taken.
    pub check_media_type: fn(&str) -> Result<(), Refusal>,
    /// The largest body, in bytes.
    pub max_body: u64,
    /// The `code` in the refusal of a larger body; without it, the refusal has a message only.
    pub max_body_code: Option<String>,
    /// Refuses requests that must not reach S3.
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
    /// A name in the path. When the function answers 204, No Content, to a DELETE, the name's value is redacted from all logs.
    pub redacts: Option<String>,
}

/// The parameters of a request: names of its path, and its query.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// The names in the route's path, decoded.
    pub path: BTreeMap<String, String>,
    /// The query, decoded. The values of a repeated parameter are joined by a comma.
    pub query: BTreeMap<String, String>,
}

/// The answer to a request that goes no further.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// The JSON body.
    pub body: Value,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, axum::Json(self.body)).into_response()
    }
}

/// Why a [`Stack`] cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// Something invokes a function that is not declared.
    #[error("there is no function {0}")]
    NoSuchFunction(String),
    /// The event pattern of a rule is not supported.
    #[error("the pattern of rule {rule}: {problem}")]
    Pattern {
        /// The rule's name.
        rule: String,
        /// The part of the pattern, and what would work.
        problem: String,
    },
    /// The declaration of a table is not an input of AWS's operations.
    #[error("the declaration of the table {table} cannot be read")]
    Table {
        /// The table's name.
        table: String,
        /// The parser's error.
        #[source]
        source: serde_json::Error,
    },
    /// The name of an endpoint does not satisfy SageMaker's pattern.
    #[error("{0:?} cannot be an endpoint's name: letters, digits and inner hyphens would work, 63 at most")]
    EndpointName(String),
    /// An endpoint names an image that is not declared.
    #[error("the endpoint {endpoint} cannot be made")]
    Endpoint {
        /// The endpoint's name.
        endpoint: String,
        /// The image, and those that are declared.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}
