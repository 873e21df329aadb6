//! Model servers as processes: how they start, how they end, and what their answers become.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use local_cloud::{Cloud, Conditions, Endpoint, Image, Listeners, Program, Stack};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::cloud::{Tested, eventually};

/// The path of a program of these tests, from the folder of the others.
fn program(name: &str) -> String {
    format!("../sagemaker/programs/{name}")
}

/// The description of the endpoint `e`, as soon as it serves or has failed.
async fn settled(tested: &Tested) -> Value {
    eventually(async || {
        let described = tested.sagemaker("DescribeEndpoint", json!({"EndpointName": "e"})).await.unwrap();
        (described["EndpointStatus"] != "Creating").then_some(described)
    })
    .await
}

async fn invoke(tested: &Tested, body: &'static str) -> (StatusCode, String) {
    let answer = tested.request("sagemaker", "POST", "/endpoints/e/invocations").body(body).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_starts_ends_with_its_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path(), &program("script.sh")).await;
    tested.endpoint("e", json!({"ANSWER": "env"})).await;
    assert_eq!(settled(&tested).await["EndpointStatus"], "InService");
    let (_, environment) = invoke(&tested, "x").await;
    let environment: BTreeMap<String, String> = serde_json::from_str(&environment).unwrap();
    let port: u16 = environment["SAGEMAKER_BIND_TO_PORT"].parse().unwrap();
    TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tested.sagemaker("DeleteEndpoint", json!({"EndpointName": "e"})).await.unwrap();
    eventually(async || TcpStream::connect(("127.0.0.1", port)).await.err()).await;
    tested.cloud.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_start_kills_what_model_servers_of_a_killed_cloud_have_left() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("data/sagemaker");
    let left = |models: &Path| {
        std::process::Command::new("sleep").arg("600").env("LOCAL_CLOUD_SERVERS", models).spawn().unwrap()
    };
    let (mut own, mut other) = (left(&models), left(&folder.path().join("other/sagemaker")));
    let tested = Tested::start(folder.path(), "batch_model.py").await;
    eventually(async || own.try_wait().unwrap()).await;
    assert_eq!(other.try_wait().unwrap(), None);
    other.kill().unwrap();
    other.wait().unwrap();
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_port_is_taken_is_started_on_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path(), &program("outrun.py")).await;
    tested.endpoint("e", json!({})).await;
    let described = settled(&tested).await;
    // The process that has the first port ends.
    std::fs::write(folder.path().join("notes.go"), "").unwrap();
    assert_eq!(described["EndpointStatus"], "InService", "{described}");
    assert!(folder.path().join("notes.taken").exists());
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_an_error_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path(), "batch_model.py").await;
    tested.endpoint("e", json!({})).await;
    assert_eq!(settled(&tested).await["EndpointStatus"], "InService");
    let (status, words) = invoke(&tested, "die").await;
    let error: Value = serde_json::from_str(&words).unwrap();
    assert_eq!((status, &error["OriginalStatusCode"]), (StatusCode::FAILED_DEPENDENCY, &json!(0)), "{words}");
    let said = "Received server error (0) from primary with message \"the connection to the model server broke\"";
    assert_eq!(error["Message"], said);
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_the_stack_may_call_aws_while_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sagemaker/programs/asks.py");
    let environment = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]);
    let program = Program { arg0: path.clone().into(), path, arguments: Vec::new(), environment };
    let endpoint = |name: &str, environment: BTreeMap<String, String>| Endpoint {
        name: name.into(),
        image: "model".into(),
        environment,
        startup_timeout: Duration::from_secs(60),
        max_concurrent_invocations_per_instance: 1,
        s3_output_path: "s3://bucket/out".into(),
        s3_failure_path: "s3://bucket/failed".into(),
        success_topic: None,
        error_topic: None,
    };
    let stack = |endpoints: Vec<Endpoint>| Stack {
        buckets: vec!["bucket".into()],
        images: vec![Image { repository: "model".into(), program: program.clone(), trains: false }],
        endpoints,
        ..Stack::default()
    };
    let start = async |stack: Stack| {
        let bind = async || TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let listeners = Listeners { aws: bind().await, api: bind().await };
        Cloud::start(&stack, &folder.path().join("data"), listeners, Conditions::default()).await
    };
    start(stack(vec![endpoint("asks", BTreeMap::new())])).await.unwrap().stop().await;

    // A failure fails the start, stops what was started, and gives the data folder back.
    let fails = BTreeMap::from([("EXIT".to_owned(), "no weights".to_owned())]);
    let Err(error) = start(stack(vec![endpoint("asks", BTreeMap::new()), endpoint("fails", fails)])).await else {
        panic!("the start succeeded");
    };
    assert_eq!(error.to_string(), "the model server of endpoint fails did not start");
    start(stack(Vec::new())).await.unwrap().stop().await;
}

/// An asynchronous endpoint `e`, whose outputs and failures go to these paths.
async fn asynchronous(tested: &Tested, output: &str, failure: &str) {
    let container = json!({"Image": "model"});
    tested.sagemaker("CreateModel", json!({"ModelName": "e", "PrimaryContainer": container})).await.unwrap();
    let variant = json!({"VariantName": "v", "ModelName": "e", "InitialInstanceCount": 1, "InstanceType": "ml.x"});
    let paths = json!({"S3OutputPath": output, "S3FailurePath": failure});
    let config = json!({"EndpointConfigName": "e", "ProductionVariants": [variant],
        "AsyncInferenceConfig": {"OutputConfig": paths}});
    tested.sagemaker("CreateEndpointConfig", config).await.unwrap();
    let endpoint = json!({"EndpointName": "e", "EndpointConfigName": "e"});
    tested.sagemaker("CreateEndpoint", endpoint).await.unwrap();
    assert_eq!(settled(tested).await["EndpointStatus"], "InService");
}

/// The path of the failure object of a new asynchronous invocation.
async fn invoke_async(tested: &Tested, headers: &[(&str, &str)]) -> String {
    let mut request = tested.request("sagemaker", "POST", "/endpoints/e/async-invocations").body("hello");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    answer.headers()["x-amzn-sagemaker-failurelocation"].to_str().unwrap().replacen("s3:/", "", 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_without_a_bucket_is_a_failure() {
    for (failure, is_there) in [("s3://bucket/failed", true), ("s3://missing/failed", false)] {
        let folder = tempfile::tempdir().unwrap();
        let tested = Tested::start(folder.path(), "batch_model.py").await;
        asynchronous(&tested, "s3://missing/out", failure).await;
        let object = invoke_async(&tested, &[]).await;
        // The request has left its queue, though nobody makes the bucket.
        eventually(async || (tested.cloud.backlog().unwrap().ready == 0).then_some(())).await;
        let answer = tested.request("s3", "GET", &object).send().await.unwrap();
        assert_eq!(answer.status().is_success(), is_there, "{object}");
        let words = answer.text().await.unwrap();
        assert!(!is_there || words.starts_with("the output s3://missing/out/"), "{words}");
        tested.cloud.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_does_not_keep_a_request_beyond_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path(), &program("busy.py")).await;
    asynchronous(&tested, "s3://bucket/out", "s3://bucket/failed").await;
    let before = tested.cloud.backlog().unwrap();
    assert_eq!((before.ready, before.waiting), (0, 0));
    let start = std::time::SystemTime::now();
    invoke_async(&tested, &[("x-amzn-sagemaker-requestttlseconds", "60")]).await;
    // The server asks for an hour.
    let next = eventually(async || tested.cloud.backlog().unwrap().next).await;
    let waits = Duration::from_millis(u64::try_from(next).unwrap())
        .saturating_sub(start.duration_since(std::time::UNIX_EPOCH).unwrap());
    assert!((1..120).contains(&waits.as_secs()), "{waits:?}");
    tested.cloud.stop().await;
}
