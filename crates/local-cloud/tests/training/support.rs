//! A cloud with an image for training jobs, whose program does what a hyperparameter says.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use local_cloud::{
    Clock, Cloud, Code, Conditions, Function, Image, InProcess, Listeners, Program, RetryPolicy, Rule, Stack,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const ROLE: &str = "arn:aws:iam::000000000000:role/anybody";

fn stack(folder: &Path) -> Stack {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/train.py");
    let environment = BTreeMap::from([("FROM_IMAGE".to_owned(), "image".to_owned())]);
    let program = |path: PathBuf| Program {
        arg0: path.clone().into(),
        path,
        arguments: Vec::new(),
        environment: environment.clone(),
    };
    let image =
        |name: &str, path| Image { repository: name.to_owned(), program: program(path), trains: name != "server" };
    Stack {
        buckets: vec!["bucket".into()],
        images: vec![
            image("trainer", path.clone()),
            image("gone", "/nonexistent/program".into()),
            image("server", path),
        ],
        functions: vec![Function {
            name: "listener".into(),
            code: Code::InProcess(listener(folder.join("events"))),
            timeout: PATIENCE,
            memory_size: 128,
            concurrency: 1,
            provisioned_concurrency: 0,
            retry: RetryPolicy { backoff: Vec::new(), dead_letter_queue: None },
        }],
        rules: vec![Rule {
            name: "jobs".into(),
            pattern: json!({"source": ["aws.sagemaker"], "detail-type": ["SageMaker Training Job State Change"]}),
            functions: vec!["listener".into()],
        }],
        ..Stack::default()
    }
}

/// A function that writes each event to a file.
fn listener(events: PathBuf) -> InProcess {
    InProcess::new(move |environment| {
        let base = format!("http://{}/2018-06-01/runtime/invocation", environment["AWS_LAMBDA_RUNTIME_API"]);
        let events = events.clone();
        Box::pin(async move {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            while let Ok(next) = http.get(format!("{base}/next")).send().await {
                let id = next.headers()["lambda-runtime-aws-request-id"].to_str().unwrap().to_owned();
                let Ok(event) = next.json::<Value>().await else { return };
                let mut file = File::options().create(true).append(true).open(&events).unwrap();
                writeln!(file, "{event}").unwrap();
                drop(http.post(format!("{base}/{id}/response")).body("null").send().await);
            }
        })
    })
}

pub(crate) struct Tested {
    pub(crate) cloud: Cloud,
    http: reqwest::Client,
    pub(crate) clock: Clock,
}

/// The answer of an operation: its output, or the code and the message of its refusal.
pub(crate) type Answer = Result<Value, (String, String)>;

impl Tested {
    pub(crate) async fn start(folder: &Path) -> Self {
        let bind = async || TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let listeners = Listeners { aws: bind().await, api: bind().await };
        let clock = Clock::default();
        let conditions = Conditions { clock: clock.clone(), ..Conditions::default() };
        let cloud = Cloud::start(&stack(folder), &folder.join("data"), listeners, conditions).await.unwrap();
        Self { cloud, http: reqwest::Client::builder().no_proxy().build().unwrap(), clock }
    }

    pub(crate) fn request(&self, service: &str, method: &str, path: &str) -> reqwest::RequestBuilder {
        let scope = format!("AWS4-HMAC-SHA256 Credential=A/20261121/us-east-1/{service}/aws4_request, Signature=0");
        let url = format!("http://{}{path}", self.cloud.aws_address());
        self.http.request(method.parse().unwrap(), url).header("authorization", scope)
    }

    pub(crate) async fn call(&self, operation: &str, input: Value) -> Answer {
        let request = self.request("sagemaker", "POST", "/").header("x-amz-target", format!("SageMaker.{operation}"));
        let answer = request.body(input.to_string()).send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::BAD_REQUEST => {
                let text = |name: &str| body[name].as_str().unwrap().to_owned();
                Err((text("__type"), text("message")))
            }
            _ => panic!("{operation}: {status} {body}"),
        }
    }

    /// Creates a job that runs a script of Python.
    pub(crate) async fn create(&self, name: &str, script: &str, more: Value) {
        self.call("CreateTrainingJob", job(name, script, more)).await.unwrap();
    }

    pub(crate) async fn describe(&self, name: &str) -> Value {
        self.call("DescribeTrainingJob", json!({"TrainingJobName": name})).await.unwrap()
    }

    pub(crate) async fn stop(&self, name: &str) -> Answer {
        self.call("StopTrainingJob", json!({"TrainingJobName": name})).await
    }

    /// The description of a job that has ended.
    pub(crate) async fn ended(&self, name: &str) -> Value {
        eventually(async || {
            let job = self.describe(name).await;
            matches!(job["TrainingJobStatus"].as_str().unwrap(), "Completed" | "Failed" | "Stopped").then_some(job)
        })
        .await
    }

    pub(crate) async fn until(&self, name: &str, secondary: &str) -> Value {
        eventually(async || {
            let job = self.describe(name).await;
            (job["SecondaryStatus"] == secondary).then_some(job)
        })
        .await
    }

    pub(crate) async fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        // The client says nothing of an empty body.
        let request = self.request("s3", "PUT", &format!("/bucket/{key}")).header("content-length", bytes.len());
        let answer = request.body(bytes).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    pub(crate) async fn object(&self, key: &str) -> Option<Vec<u8>> {
        let answer = self.request("s3", "GET", &format!("/bucket/{key}")).send().await.unwrap();
        if answer.status().is_success() { Some(answer.bytes().await.unwrap().to_vec()) } else { None }
    }

    /// The files of a `tar.gz`, by name.
    pub(crate) async fn archive(&self, key: &str) -> BTreeMap<String, String> {
        let bytes = self.object(key).await.unwrap_or_else(|| panic!("{key} is not there"));
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
        let mut files = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), content);
        }
        files
    }
}

/// A request for a job that runs a script. Members of `more` override its own.
pub(crate) fn job(name: &str, script: &str, more: Value) -> Value {
    let mut request = json!({
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": "1.dkr.ecr.x/trainer:1", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "HyperParameters": {"script": script},
    });
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        request[name] = value;
    }
    request
}

pub(crate) fn channel(name: &str, kind: &str, uri: &str, mode: &str) -> Value {
    let data = json!({"S3DataType": kind, "S3Uri": uri});
    json!({"ChannelName": name, "DataSource": {"S3DataSource": data}, "InputMode": mode, "ContentType": "text/plain"})
}

pub(crate) async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it did not happen in time")
}

pub(crate) fn statuses(job: &Value) -> Vec<&str> {
    let transitions = job["SecondaryStatusTransitions"].as_array().unwrap();
    transitions.iter().map(|transition| transition["Status"].as_str().unwrap()).collect()
}

pub(crate) fn log(folder: &Path, name: &str) -> String {
    let logs = std::fs::read_dir(folder.join("data/logs/training").join(name)).unwrap();
    logs.map(|log| std::fs::read_to_string(log.unwrap().path()).unwrap()).collect()
}
