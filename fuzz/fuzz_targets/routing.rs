//! Raw requests to the local cloud. The first byte of the input holds options, and the rest is sent over one
//! connection.
#![no_main]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use http::{Method, StatusCode};
use libfuzzer_sys::fuzz_target;
use local_cloud::{
    Cloud, Code, Conditions, Function, HttpRoute, InProcess, Listeners, Parameters, Refusal, RetryPolicy,
    S3Integration, Stack, Subscription, Table,
};
use pipeline::{Ages, PortraitId};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Option: the request goes to the APIs instead of the AWS endpoint.
const TO_APIS: u8 = 1;
/// Option: a `Content-Length` header with the length of the body is added.
const ADD_LENGTH: u8 = 2;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// The limit of an answer's length, in bytes: more than all data that the small requests can have stored.
const MOST: u64 = 16 << 20;
/// The number of requests to one cloud. Later requests find the data of earlier ones.
const REQUESTS: usize = 2000;
/// The files that the data folder may have.
const KEPT: [&str; 7] = ["dynamodb.db", "journal.db", "lock", "logs", "s3", "sagemaker", "secret-access-key"];

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("there is a runtime")
});
static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

struct Running {
    cloud: Cloud,
    folder: TempDir,
    requests: usize,
}

impl Running {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("there is a folder for files");
        let cloud = RUNTIME.block_on(async {
            let listen = async || TcpListener::bind(("127.0.0.1", 0)).await.expect("there is a free port");
            let listeners = Listeners { aws: listen().await, api: listen().await };
            let started = Cloud::start(&stack(), &folder.path().join("data"), listeners, Conditions::default()).await;
            started.expect("the cloud starts")
        });
        Self { cloud, folder, requests: 0 }
    }

    fn stop(self) {
        RUNTIME.block_on(self.cloud.stop());
    }

    /// Checks that no unexpected files exist.
    fn check(&self) {
        let names = |folder: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(folder).expect("the folder is there");
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(self.folder.path()), ["data"]);
        let data = self.folder.path().join("data");
        let is_kept = |name: &String| KEPT.iter().any(|kept| name.strip_prefix(kept).is_some_and(is_end));
        assert!(names(&data).iter().all(is_kept), "{:?}", names(&data));
        assert_eq!(names(&data.join("s3")), ["blobs"]);
    }
}

/// Whether the rest of a name is empty, or a suffix of SQLite's.
fn is_end(rest: &str) -> bool {
    matches!(rest, "" | "-journal" | "-shm" | "-wal")
}

/// The product's stack without programs. Its functions exist, and end at once.
fn stack() -> Stack {
    let function = |name: &str| Function {
        name: name.to_owned(),
        code: Code::InProcess(InProcess::new(|_| Box::pin(async {}))),
        timeout: Duration::from_secs(1),
        memory_size: 128,
        concurrency: 4,
        provisioned_concurrency: 0,
        retry: RetryPolicy { backoff: Vec::new(), dead_letter_queue: Some("dead-letters".to_owned()) },
    };
    let to_function =
        |method, path: &str| HttpRoute { method, path: path.to_owned(), function: "tracker".to_owned(), redacts: None };
    let to_s3 = |method, path: &str, bucket: &str, key: &str| S3Integration {
        method,
        path: path.to_owned(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        metadata: vec![("ages".to_owned(), "ages".to_owned())],
        fixed_metadata: Vec::new(),
        check_media_type: |media_type| match media_type {
            "image/jpeg" | "image/png" => Ok(()),
            other => Err(Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, body: other.into() }),
        },
        max_body: 4096,
        max_body_code: None,
        validate,
    };
    Stack {
        buckets: vec!["portraits".to_owned(), "time-traveler".to_owned()],
        tables: vec![Table {
            create: serde_json::from_str(include_str!("../../infra/jobs-table.json")).expect("the table is JSON"),
            time_to_live: Some("expiresAt".to_owned()),
        }],
        functions: vec![function("processor"), function("tracker")],
        subscriptions: vec![Subscription { topic: "done".to_owned(), function: "processor".to_owned() }],
        rest_api: vec![
            to_s3(Method::PUT, "/images/{id+}", "portraits", "uploads/{id}"),
            to_s3(Method::GET, "/images/{id}/{revision}/{file}", "time-traveler", "images/{id}/{revision}/{file}"),
        ],
        http_api: vec![
            to_function(Method::GET, "/jobs"),
            to_function(Method::GET, "/jobs/{id}"),
            to_function(Method::DELETE, "/jobs/{id}"),
            to_function(Method::POST, "/uploads/{id}"),
        ],
        ..Stack::default()
    }
}

fn validate(parameters: &Parameters) -> Result<(), Refusal> {
    let id = parameters.path.get("id").is_some_and(|id| id.parse::<PortraitId>().is_ok());
    let ages = parameters.query.get("ages").is_none_or(|ages| ages.parse::<Ages>().is_ok());
    if id && ages { Ok(()) } else { Err(Refusal { status: StatusCode::BAD_REQUEST, body: json!({}) }) }
}

/// Adds a `Content-Length` as the last header of a request.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return bytes.to_vec() };
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    [head, format!("\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn send(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut connection = TcpStream::connect(address).expect("the cloud listens");
    connection.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    // The cloud may refuse a request before it has read all of it.
    let _ = connection.write_all(bytes).and_then(|()| connection.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    match connection.take(MOST + 1).read_to_end(&mut answer) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the answer has not ended after {PATIENCE:?}: {:?}", String::from_utf8_lossy(&answer))
        }
        _ => answer,
    }
}

// A body is as long as its input, and answers may have the data of earlier inputs.
fuzz_target!(init: fuzz::limit_memory(32, 128), |bytes: &[u8]| {
    let Some((&options, bytes)) = bytes.split_first() else { return };
    let mut running = RUNNING.lock().expect("a panic ends the process");
    if let Some(old) = running.take_if(|running| running.requests == REQUESTS) {
        old.stop();
    }
    let running = running.get_or_insert_with(Running::start);
    running.requests += 1;
    let to = if options & TO_APIS == 0 { running.cloud.aws_address() } else { running.cloud.api_address() };
    let answer = send(to, &if options & ADD_LENGTH == 0 { bytes.to_vec() } else { with_length(bytes) });
    let is_answer = answer.is_empty() || answer.starts_with(b"HTTP/1.") || bytes.starts_with(b"PRI * HTTP/2.0");
    assert!(is_answer, "{:?}", String::from_utf8_lossy(&answer));
    assert!(answer.len() as u64 <= MOST, "the answer is too long");
    running.check();
});
