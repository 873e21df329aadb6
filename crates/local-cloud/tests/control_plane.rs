//! SageMaker's control plane over plain HTTP, with a model server whose behaviour the input chooses.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use local_cloud::{
    Cloud, Code, Conditions, Endpoint, Function, Image, InProcess, Listeners, Program, RetryPolicy, Stack, Subscription,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(60);

fn stack(folder: &Path) -> Stack {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/model.py");
    let environment = BTreeMap::from([
        ("PATH".to_owned(), std::env::var("PATH").unwrap()),
        ("DIED".to_owned(), folder.join("died").display().to_string()),
        ("FROM_IMAGE".to_owned(), "image".to_owned()),
        ("FROM_BOTH".to_owned(), "image".to_owned()),
    ]);
    let program = Program { arg0: path.clone().into(), path, arguments: Vec::new(), environment };
    Stack {
        buckets: vec!["bucket".into()],
        images: vec![Image { repository: "model".into(), program, trains: false }],
        endpoints: vec![Endpoint {
            name: "own".into(),
            image: "model".into(),
            environment: BTreeMap::new(),
            startup_timeout: PATIENCE,
            max_concurrent_invocations_per_instance: 2,
            s3_output_path: "s3://bucket/out".into(),
            s3_failure_path: "s3://bucket/failed".into(),
            success_topic: None,
            error_topic: None,
        }],
        functions: vec![Function {
            name: "listener".into(),
            code: Code::InProcess(listener(folder.join("notices"))),
            timeout: PATIENCE,
            memory_size: 128,
            concurrency: 1,
            provisioned_concurrency: 0,
            retry: RetryPolicy { backoff: Vec::new(), dead_letter_queue: None },
        }],
        subscriptions: vec![Subscription { topic: "done".into(), function: "listener".into() }],
        ..Stack::default()
    }
}

/// A function that writes each notice to a file.
fn listener(notices: PathBuf) -> InProcess {
    InProcess::new(move |environment| {
        let base = format!("http://{}/2018-06-01/runtime/invocation", environment["AWS_LAMBDA_RUNTIME_API"]);
        let notices = notices.clone();
        Box::pin(async move {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            while let Ok(next) = http.get(format!("{base}/next")).send().await {
                let id = next.headers()["lambda-runtime-aws-request-id"].to_str().unwrap().to_owned();
                let Ok(event) = next.json::<Value>().await else { return };
                let mut file = File::options().create(true).append(true).open(&notices).unwrap();
                writeln!(file, "{}", event["Records"][0]["Sns"]["Message"].as_str().unwrap()).unwrap();
                drop(http.post(format!("{base}/{id}/response")).body("null").send().await);
            }
        })
    })
}

struct Tested {
    cloud: Cloud,
    http: reqwest::Client,
}

/// The answer of an operation: its output, or the message of its refusal.
type Answer = Result<Value, String>;

impl Tested {
    async fn start(folder: &Path) -> Self {
        let bind = async || TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let listeners = Listeners { aws: bind().await, api: bind().await };
        let cloud = Cloud::start(&stack(folder), &folder.join("data"), listeners, Conditions::default()).await.unwrap();
        Self { cloud, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    fn request(&self, service: &str, method: &str, path: &str) -> reqwest::RequestBuilder {
        let scope = format!("AWS4-HMAC-SHA256 Credential=A/20261121/us-east-1/{service}/aws4_request, Signature=0");
        let url = format!("http://{}{path}", self.cloud.aws_address());
        self.http.request(method.parse().unwrap(), url).header("authorization", scope)
    }

    async fn call(&self, operation: &str, input: Value) -> Answer {
        let request = self.request("sagemaker", "POST", "/").header("x-amz-target", format!("SageMaker.{operation}"));
        let answer = request.body(input.to_string()).send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::BAD_REQUEST if body["__type"] == "ValidationException" => {
                Err(body["message"].as_str().unwrap().to_owned())
            }
            _ => panic!("{operation}: {status} {body}"),
        }
    }

    async fn model(&self, name: &str, container: Value) {
        self.call("CreateModel", json!({"ModelName": name, "PrimaryContainer": container})).await.unwrap();
    }

    /// Creates a configuration with the name of its model.
    async fn config(&self, name: &str, most: Option<u64>) {
        let variant =
            json!({"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.x"});
        let mut config = json!({"EndpointConfigName": name, "ProductionVariants": [variant]});
        if let Some(most) = most {
            config["AsyncInferenceConfig"] = json!({
                "ClientConfig": {"MaxConcurrentInvocationsPerInstance": most},
                "OutputConfig": {"S3OutputPath": "s3://bucket/out", "S3FailurePath": "s3://bucket/failed"},
            });
        }
        self.call("CreateEndpointConfig", config).await.unwrap();
    }

    async fn endpoint(&self, operation: &str, name: &str, config: &str) -> Answer {
        self.call(operation, json!({"EndpointName": name, "EndpointConfigName": config})).await
    }

    async fn describe(&self, name: &str) -> Answer {
        self.call("DescribeEndpoint", json!({"EndpointName": name})).await
    }

    /// The description of the endpoint, as soon as it has this status.
    async fn until(&self, name: &str, status: &str) -> Value {
        eventually(async || {
            let described = self.describe(name).await.unwrap();
            let is = described["EndpointStatus"].as_str().unwrap();
            assert!(is == status || !matches!(is, "InService" | "Failed"), "{described}");
            (is == status).then_some(described)
        })
        .await
    }

    async fn invoke(&self, name: &str, body: &'static str) -> (StatusCode, String) {
        let path = format!("/endpoints/{name}/invocations");
        let answer = self.request("sagemaker", "POST", &path).body(body).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// The locations of output and failure, or the refusal of the request.
    async fn invoke_async(&self, name: &str, body: &'static str) -> Result<(String, String), String> {
        let path = format!("/endpoints/{name}/async-invocations");
        let answer = self.request("sagemaker", "POST", &path).body(body).send().await.unwrap();
        if answer.status() != StatusCode::ACCEPTED {
            return Err(answer.text().await.unwrap());
        }
        let location = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        Ok((location("x-amzn-sagemaker-outputlocation"), location("x-amzn-sagemaker-failurelocation")))
    }

    async fn object(&self, location: &str) -> Option<String> {
        let answer = self.request("s3", "GET", location.strip_prefix("s3:/").unwrap()).send().await.unwrap();
        if answer.status().is_success() { Some(answer.text().await.unwrap()) } else { None }
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) {
        let answer = self.request("s3", "PUT", &format!("/bucket/{key}")).body(bytes).send().await.unwrap();
        assert!(answer.status().is_success());
    }
}

async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
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

fn archive(file: &str, content: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, file, content.as_bytes()).unwrap();
    let mut encoder = builder.into_inner().unwrap();
    encoder.flush().unwrap();
    encoder.finish().unwrap()
}

/// The number of folders of models' files.
fn folders(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("data/sagemaker")).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_has_its_models_files_and_environment() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    tested.put("model.tar.gz", archive("a/words", "from the archive")).await;
    let environment = json!({"FROM_BOTH": "model", "BIND_HOST": "0.0.0.0", "SM_MODEL_DIR": "/nowhere"});
    let container =
        json!({"Image": "1.dkr.ecr.x/model:2", "ModelDataUrl": "s3://bucket/model.tar.gz", "Environment": environment});
    tested.model("m", container).await;
    tested.config("m", None).await;
    let created = tested.endpoint("CreateEndpoint", "Talk", "m").await.unwrap();
    assert_eq!(created["EndpointArn"], "arn:aws:sagemaker:us-east-1:000000000000:endpoint/talk");
    let described = tested.until("Talk", "InService").await;
    assert_eq!(described["ProductionVariants"][0]["VariantName"], "AllTraffic");
    assert_eq!(described["EndpointConfigName"], "m");
    assert_eq!(tested.invoke("Talk", "file a/words").await.1, "from the archive");
    for (name, value) in [("FROM_IMAGE", "image"), ("FROM_BOTH", "model"), ("BIND_HOST", "127.0.0.1")] {
        assert_eq!(tested.invoke("talk", format!("env {name}").leak()).await.1, value, "{name}");
    }
    let refused = tested.invoke_async("Talk", "hello").await.unwrap_err();
    assert!(refused.contains("is not an asynchronous endpoint"), "{refused}");
    // The endpoint does not need its configuration and its model any more.
    tested.call("DeleteEndpointConfig", json!({"EndpointConfigName": "m"})).await.unwrap();
    tested.call("DeleteModel", json!({"ModelName": "m"})).await.unwrap();
    assert_eq!(tested.invoke("Talk", "hello").await.1, "hello");
    assert_eq!(folders(folder.path()), 1);
    tested.cloud.stop().await;

    let tested = Tested::start(folder.path()).await;
    tested.until("Talk", "InService").await;
    assert_eq!(tested.invoke("Talk", "file a/words").await.1, "from the archive");
    tested.call("DeleteEndpoint", json!({"EndpointName": "Talk"})).await.unwrap();
    assert_eq!(tested.invoke("Talk", "hello").await.0, StatusCode::BAD_REQUEST);
    let words = eventually(async || tested.describe("Talk").await.err()).await;
    assert_eq!(words, "Could not find endpoint \"arn:aws:sagemaker:us-east-1:000000000000:endpoint/talk\".");
    eventually(async || (folders(folder.path()) == 0).then_some(())).await;
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_keeps_running_and_queued_requests() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    for name in ["one", "two", "bad"] {
        let fails = if name == "bad" { json!({"EXIT": "no such weights"}) } else { json!({"SPEAKER": name}) };
        tested.model(name, json!({"Image": "model", "Environment": fails})).await;
        tested.config(name, Some(1)).await;
    }
    tested.endpoint("CreateEndpoint", "e", "one").await.unwrap();
    tested.until("e", "InService").await;
    // One request runs, and waits for a file. The next one is queued.
    let gate = folder.path().join("gate");
    let (held, _) = tested.invoke_async("e", format!("wait {}", gate.display()).leak()).await.unwrap();
    eventually(async || (tested.invoke("e", "at once").await.1 == "2").then_some(())).await;
    let (queued, _) = tested.invoke_async("e", "env SPEAKER").await.unwrap();

    tested.endpoint("UpdateEndpoint", "e", "bad").await.unwrap();
    let back = tested.until("e", "InService").await;
    let reason = back["FailureReason"].as_str().unwrap();
    assert!(reason.contains("did not pass the ping health check") && reason.ends_with("no such weights"), "{reason}");
    assert_eq!(back["EndpointConfigName"], "one");

    tested.endpoint("UpdateEndpoint", "e", "two").await.unwrap();
    let updated = tested.until("e", "InService").await;
    assert_eq!((&updated["EndpointConfigName"], &updated["FailureReason"]), (&json!("two"), &Value::Null));
    assert_eq!(tested.invoke("e", "env SPEAKER").await.1, "two");
    // The new server handles the queue while the old one still works.
    assert_eq!(eventually(async || tested.object(&queued).await).await, "two");
    assert_eq!((tested.object(&held).await, folders(folder.path())), (None, 2));
    std::fs::write(&gate, "").unwrap();
    assert_eq!(eventually(async || tested.object(&held).await).await, "waited");
    eventually(async || (folders(folder.path()) == 1).then_some(())).await;
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_drops_the_requests_and_the_files_of_the_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    tested.model("m", json!({"Image": "model"})).await;
    tested.config("m", Some(1)).await;
    tested.endpoint("CreateEndpoint", "e", "m").await.unwrap();
    let early = tested.call("DeleteEndpoint", json!({"EndpointName": "e"})).await;
    assert!(early.unwrap_err().starts_with("Cannot update in-progress endpoint"));
    tested.until("e", "InService").await;
    let mut locations = Vec::new();
    for body in ["sleep", "hello"] {
        let (output, failure) = tested.invoke_async("e", body).await.unwrap();
        locations.extend([output, failure]);
    }
    eventually(async || (tested.invoke("e", "at once").await.1 == "2").then_some(())).await;
    tested.call("DeleteEndpoint", json!({"EndpointName": "e"})).await.unwrap();
    let again = tested.call("DeleteEndpoint", json!({"EndpointName": "e"})).await;
    assert!(again.is_err(), "{again:?}");
    eventually(async || tested.describe("e").await.err()).await;
    assert_eq!(tested.cloud.backlog().unwrap().ready, 0, "its requests are dropped");
    // A new endpoint of that name does not get its requests.
    tested.endpoint("CreateEndpoint", "e", "m").await.unwrap();
    tested.until("e", "InService").await;
    let (output, _) = tested.invoke_async("e", "hello").await.unwrap();
    assert_eq!(eventually(async || tested.object(&output).await).await, "hello");
    for location in locations {
        assert_eq!(tested.object(&location).await, None, "{location}");
    }
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_reasons_and_requests_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    tested.put("none.tar.gz", b"no archive".to_vec()).await;
    let data = |key: &str| json!({"Image": "model", "ModelDataUrl": format!("s3://bucket/{key}")});
    for (name, container, words) in [
        (
            "image",
            json!({"Image": "1.dkr.ecr.x/other:1"}),
            "\"1.dkr.ecr.x/other:1\" does not exist here: there is model",
        ),
        ("missing", data("gone.tar.gz"), "from URL \"s3://bucket/gone.tar.gz\": there is no object gone.tar.gz"),
        ("archive", data("none.tar.gz"), "\"s3://bucket/none.tar.gz\". Please ensure that the object located"),
    ] {
        tested.model(name, container).await;
        tested.config(name, None).await;
        tested.endpoint("CreateEndpoint", name, name).await.unwrap();
        let reason = tested.until(name, "Failed").await["FailureReason"].as_str().unwrap().to_owned();
        assert!(reason.contains(words), "{reason}");
    }
    let refused = tested.endpoint("UpdateEndpoint", "image", "missing").await.unwrap_err();
    assert!(refused.starts_with("Cannot update failed endpoint"), "{refused}");
    assert_eq!(folders(folder.path()), 0);

    tested.model("m", json!({"Image": "model"})).await;
    tested.config("m", Some(1)).await;
    tested.endpoint("CreateEndpoint", "e", "m").await.unwrap();
    tested.until("e", "InService").await;
    let gate = folder.path().join("gate");
    let (held, _) = tested.invoke_async("e", format!("wait {}", gate.display()).leak()).await.unwrap();
    let (queued, _) = tested.invoke_async("e", "hello").await.unwrap();
    tested.cloud.stop().await;
    std::fs::write(&gate, "").unwrap();

    let tested = Tested::start(folder.path()).await;
    assert_eq!(eventually(async || tested.object(&held).await).await, "waited");
    assert_eq!(eventually(async || tested.object(&queued).await).await, "hello");
    tested.until("e", "InService").await;
    let failed = tested.call("ListEndpoints", json!({"StatusEquals": "Failed", "SortBy": "Name"})).await.unwrap();
    let names: Vec<_> = failed["Endpoints"].as_array().unwrap().iter().map(|one| &one["EndpointName"]).collect();
    assert_eq!(names, ["missing", "image", "archive"], "an endpoint that never served was tried again");
    tested.call("DeleteEndpoint", json!({"EndpointName": "image"})).await.unwrap();
    eventually(async || tested.describe("image").await.err()).await;
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_resumes_deployments_updates_and_removals() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    tested.put("model.tar.gz", archive("words", "unpacked")).await;
    for name in ["one", "two"] {
        tested.model(name, json!({"Image": "model", "ModelDataUrl": "s3://bucket/model.tar.gz"})).await;
        tested.config(name, Some(1)).await;
    }
    tested.endpoint("CreateEndpoint", "e", "one").await.unwrap();
    tested.cloud.stop().await;

    let tested = Tested::start(folder.path()).await;
    assert_eq!(tested.until("e", "InService").await["EndpointConfigName"], "one");
    assert_eq!(tested.invoke("e", "file words").await.1, "unpacked");
    tested.endpoint("UpdateEndpoint", "e", "two").await.unwrap();
    tested.cloud.stop().await;

    let tested = Tested::start(folder.path()).await;
    assert_eq!(tested.until("e", "InService").await["EndpointConfigName"], "two");
    assert_eq!(tested.invoke("e", "file words").await.1, "unpacked");
    eventually(async || (folders(folder.path()) == 1).then_some(())).await;
    tested.call("DeleteEndpoint", json!({"EndpointName": "e"})).await.unwrap();
    tested.cloud.stop().await;

    let tested = Tested::start(folder.path()).await;
    eventually(async || tested.describe("e").await.err()).await;
    eventually(async || (folders(folder.path()) == 0).then_some(())).await;
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_resources_of_the_stack_are_described_and_cannot_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    let own = tested.describe("own").await.unwrap();
    assert_eq!((&own["EndpointStatus"], &own["EndpointConfigName"]), (&json!("InService"), &json!("own")));
    let config = tested.call("DescribeEndpointConfig", json!({"EndpointConfigName": "own"})).await.unwrap();
    assert_eq!(config["AsyncInferenceConfig"]["OutputConfig"]["S3OutputPath"], "s3://bucket/out");
    let model = tested.call("DescribeModel", json!({"ModelName": "own"})).await.unwrap();
    let image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/model:latest";
    assert_eq!(model["PrimaryContainer"]["Image"], image);
    assert_eq!(tested.call("ListModels", json!({})).await.unwrap()["Models"][0]["ModelArn"], model["ModelArn"]);
    for (operation, input) in [
        ("DeleteEndpoint", json!({"EndpointName": "own"})),
        ("UpdateEndpoint", json!({"EndpointName": "own", "EndpointConfigName": "own"})),
        ("DeleteEndpointConfig", json!({"EndpointConfigName": "own"})),
        ("DeleteModel", json!({"ModelName": "own"})),
    ] {
        let words = tested.call(operation, input).await.unwrap_err();
        assert!(words.contains("belongs to the local cloud's own stack"), "{operation}: {words}");
    }
    for (operation, input) in [
        ("CreateModel", json!({"ModelName": "OWN", "PrimaryContainer": {"Image": "i"}})),
        ("CreateEndpoint", json!({"EndpointName": "Own", "EndpointConfigName": "own"})),
    ] {
        let words = tested.call(operation, input).await.unwrap_err();
        assert!(words.starts_with("Cannot create already existing") && words.ends_with("/own\"."), "{words}");
    }
    let created = own["CreationTime"].clone();
    tested.cloud.stop().await;
    let tested = Tested::start(folder.path()).await;
    assert_eq!(tested.describe("own").await.unwrap()["CreationTime"], created);
    let unknown =
        tested.request("sagemaker", "POST", "/").header("x-amz-target", "SageMaker.CreateHyperParameterTuningJob");
    assert_eq!(unknown.body("{}").send().await.unwrap().status(), StatusCode::NOT_IMPLEMENTED);
    tested.cloud.stop().await;
}

#[tokio::test]
async fn topics_are_tested_when_an_endpoint_is_created_or_updated() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    let notices = async |count: usize| {
        let text = eventually(async || {
            let text = std::fs::read_to_string(folder.path().join("notices")).unwrap_or_default();
            (text.lines().count() >= count).then_some(text)
        });
        let text = text.await;
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let test = json!({"eventVersion": "1.0", "eventSource": "aws:sagemaker", "eventName": "TestNotification"});
    tested.model("m", json!({"Image": "model"})).await;
    let variant = json!({"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.x"});
    let topics = json!({"SuccessTopic": "arn:aws:sns:us-east-1:000000000000:done"});
    let (out, failed) = ("s3://bucket/out", "s3://bucket/failed");
    let output = json!({"S3OutputPath": out, "S3FailurePath": failed, "NotificationConfig": topics});
    let config = json!({"EndpointConfigName": "c", "ProductionVariants": [variant],
        "AsyncInferenceConfig": {"OutputConfig": output}});
    tested.call("CreateEndpointConfig", config).await.unwrap();
    tested.endpoint("CreateEndpoint", "e", "c").await.unwrap();
    assert_eq!(notices(1).await, vec![test.clone(); 1]);
    tested.until("e", "InService").await;
    tested.endpoint("UpdateEndpoint", "e", "c").await.unwrap();
    assert_eq!(notices(2).await, vec![test; 2]);
    tested.until("e", "InService").await;
    tested.invoke_async("e", "hello").await.unwrap();
    assert_eq!(notices(3).await[2]["eventName"], "InferenceResult");
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_finds_the_world_that_a_container_has() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    tested.put("model.tar.gz", archive("weights", "of the model")).await;
    let environment = json!({"OWN": "client"});
    tested
        .model("m", json!({"Image": "model", "ModelDataUrl": "s3://bucket/model.tar.gz", "Environment": environment}))
        .await;
    tested.config("m", None).await;
    tested.endpoint("CreateEndpoint", "e", "m").await.unwrap();
    tested.until("e", "InService").await;
    let says = async |words| tested.invoke("e", words).await.1;
    assert_eq!(says("arguments").await, "serve");
    assert_eq!(says("env AWS_ENDPOINT_URL").await, format!("http://{}", tested.cloud.aws_address()));
    assert_eq!(says("env AWS_REGION").await, "us-east-1");
    assert_eq!((says("env OWN").await.as_str(), says("env AWS_SECRET_ACCESS_KEY").await.len()), ("client", 64));
    assert!(!says("env PATH").await.is_empty());
    if says("read /proc/self/mounts").await.contains("/opt/ml/model") {
        assert_eq!(says("read /opt/ml/model/weights").await, "of the model");
    } else {
        println!("this system gives a child no view of its own");
    }
    let refused = json!({"Image": "model", "Environment": {"LD_PRELOAD": "/tmp/x.so"}});
    let words = tested.call("CreateModel", json!({"ModelName": "n", "PrimaryContainer": refused})).await.unwrap_err();
    assert!(words.contains("LD_PRELOAD"), "{words}");
    // What the server says of its answer reaches the client unchanged.
    let answer = tested.request("sagemaker", "POST", "/endpoints/e/invocations").body("hello").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain; model=test");
    assert_eq!(answer.headers()["x-amzn-sagemaker-custom-attributes"], "engine=test");
    tested.cloud.stop().await;
}
