//! Lambda and SageMaker over plain HTTP, with programs whose behaviour the input chooses.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use local_cloud::{
    Clock, Cloud, Code, Conditions, Endpoint, Function, Image, Listeners, Program, RetryPolicy, Stack, Subscription,
};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(60);

fn program(name: &str, environment: &[(&str, PathBuf)]) -> Program {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name);
    // The programs need curl and python3.
    let search = std::env::var("PATH").unwrap();
    let own = environment.iter().map(|(name, path)| ((*name).to_owned(), path.display().to_string()));
    let environment: BTreeMap<_, _> = own.chain([("PATH".to_owned(), search)]).collect();
    Program { arg0: path.clone().into(), path, arguments: Vec::new(), environment }
}

struct Tested {
    cloud: Cloud,
    clock: Clock,
    http: reqwest::Client,
    folder: tempfile::TempDir,
}

impl Tested {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let function = Function {
            name: "f".into(),
            code: Code::Program(program("function.sh", &[("EVENTS", folder.path().join("events"))])),
            timeout: Duration::from_secs(2),
            concurrency: 2,
            memory_size: 1024,
            provisioned_concurrency: 0,
            retry: RetryPolicy { backoff: vec![Duration::from_millis(10); 2], dead_letter_queue: Some("dead".into()) },
        };
        let endpoint = Endpoint {
            name: "e".into(),
            image: "model".into(),
            environment: BTreeMap::new(),
            startup_timeout: PATIENCE,
            max_concurrent_invocations_per_instance: 2,
            s3_output_path: "s3://bucket/out".into(),
            s3_failure_path: "s3://bucket/failed".into(),
            success_topic: Some("done".into()),
            error_topic: Some("done".into()),
        };
        let stack = Stack {
            buckets: vec!["bucket".into()],
            functions: vec![function],
            images: vec![Image {
                repository: "model".into(),
                program: program("model.py", &[("DIED", folder.path().join("died"))]),
                trains: false,
            }],
            endpoints: vec![endpoint],
            subscriptions: vec![Subscription { topic: "done".into(), function: "f".into() }],
            ..Stack::default()
        };
        let bind = async || TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let listeners = Listeners { aws: bind().await, api: bind().await };
        let conditions = Conditions::default();
        let clock = conditions.clock.clone();
        let cloud = Cloud::start(&stack, &folder.path().join("data"), listeners, conditions).await.unwrap();
        Self { cloud, clock, http: reqwest::Client::builder().no_proxy().build().unwrap(), folder }
    }

    fn request(&self, service: &str, method: &str, path: &str) -> reqwest::RequestBuilder {
        let scope = format!("AWS4-HMAC-SHA256 Credential=A/20261121/us-east-1/{service}/aws4_request, Signature=0");
        let url = format!("http://{}{path}", self.cloud.aws_address());
        self.http.request(method.parse().unwrap(), url).header("authorization", scope)
    }

    async fn invoke(&self, kind: &str, event: &Value) -> Response {
        let request = self.request("lambda", "POST", "/2015-03-31/functions/f/invocations");
        request.header("x-amz-invocation-type", kind).json(event).send().await.unwrap()
    }

    /// The events that the function received and that contain `word`, each with its request id.
    fn received(&self, word: &str) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.folder.path().join("events")).unwrap_or_default();
        let pair = |line: &str| line.split_once(' ').map(|(id, event)| (id.to_owned(), event.to_owned()));
        text.lines().filter_map(pair).filter(|(_, event)| event.contains(word)).collect()
    }

    async fn invoke_async(&self, body: &'static str, headers: &[(&str, &str)]) -> (String, String) {
        let mut request = self.request("sagemaker", "POST", "/endpoints/e/async-invocations").body(body);
        for (name, value) in headers {
            request = request.header(format!("x-amzn-sagemaker-{name}"), *value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{}", answer.text().await.unwrap());
        let location = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        (location("x-amzn-sagemaker-outputlocation"), location("x-amzn-sagemaker-failurelocation"))
    }

    /// The content of an object, as soon as it exists.
    async fn object(&self, location: &str) -> String {
        let path = location.strip_prefix("s3:/").unwrap();
        eventually(async || {
            let answer = self.request("s3", "GET", path).send().await.unwrap();
            if answer.status().is_success() { Some(answer.text().await.unwrap()) } else { None }
        })
        .await
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

#[tokio::test(flavor = "multi_thread")]
async fn functions_answer_fail_exit_and_time_out() {
    let tested = Tested::start().await;
    let answer = tested.invoke("RequestResponse", &json!({"n": 1})).await;
    assert!(!answer.headers().contains_key("x-amz-function-error"));
    let first: Value = answer.json().await.unwrap();
    let second: Value = tested.invoke("RequestResponse", &json!({"n": 2})).await.json().await.unwrap();
    assert_eq!((&first["event"]["n"], &second["event"]["n"]), (&json!(1), &json!(2)));
    assert_eq!(first["pid"], second["pid"], "a warm process was not reused");

    for (word, error_type) in [("fail", "Asked"), ("exit", "Runtime.ExitError"), ("sleep", "Sandbox.Timedout")] {
        let answer = tested.invoke("RequestResponse", &json!({"do": word})).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["x-amz-function-error"], "Unhandled");
        let error: Value = answer.json().await.unwrap();
        assert_eq!(error["errorType"], error_type, "{error}");
    }
    let after: Value = tested.invoke("RequestResponse", &json!({"n": 3})).await.json().await.unwrap();
    assert_ne!(after["pid"], first["pid"], "a process that timed out was reused");
    let no_json = tested.request("lambda", "POST", "/2015-03-31/functions/f/invocations").body("{");
    assert_eq!(no_json.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_has_one_version_and_no_log_in_its_answers() {
    let tested = Tested::start().await;
    let invoke = async |query: &str, log: &str| {
        let path = format!("/2015-03-31/functions/f/invocations{query}");
        let request = tested.request("lambda", "POST", &path).header("x-amz-log-type", log);
        request.json(&json!({"n": 1})).send().await.unwrap()
    };
    assert_eq!(invoke("?Qualifier=%24LATEST", "None").await.status(), StatusCode::OK);
    let other = invoke("?Qualifier=7", "None").await;
    assert_eq!(
        (other.status(), &other.headers()["x-amzn-errortype"]),
        (StatusCode::NOT_FOUND, &"ResourceNotFoundException".parse().unwrap())
    );
    assert!(other.text().await.unwrap().contains("function:f:7"));
    let log = invoke("", "Tail").await;
    assert_eq!(log.status(), StatusCode::NOT_IMPLEMENTED);
    assert!(log.text().await.unwrap().contains("LogType=Tail"));
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_scale_out_to_their_limit() {
    let tested = Tested::start().await;
    let sleeping = json!({"do": "sleep"});
    // Two endless invocations take both environments. The third runs when one of them has timed out.
    let (a, b, c) =
        tokio::join!(tested.invoke("RequestResponse", &sleeping), tested.invoke("RequestResponse", &sleeping), async {
            eventually(async || (tested.received("sleep").len() == 2).then_some(())).await;
            tested.invoke("RequestResponse", &json!({"n": 1})).await
        });
    assert!(a.headers().contains_key("x-amz-function-error") && b.headers().contains_key("x-amz-function-error"));
    assert_eq!(c.json::<Value>().await.unwrap()["event"]["n"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_events_are_retried_twice_and_then_sent_to_the_dead_letter_queue() {
    let tested = Tested::start().await;
    assert_eq!(tested.invoke("Event", &json!({"do": "fail"})).await.status(), StatusCode::ACCEPTED);
    let sqs = |action: &str| {
        let request = tested.request("sqs", "POST", "/").header("x-amz-target", format!("AmazonSQS.{action}"));
        request.json(&json!({"QueueUrl": "http://x/0/dead"}))
    };
    let messages = eventually(async || {
        let answer: Value = sqs("ReceiveMessage").send().await.unwrap().json().await.unwrap();
        answer.get("Messages").cloned()
    })
    .await;
    assert_eq!(messages[0]["Body"], r#"{"do":"fail"}"#);
    let tries = tested.received("fail");
    assert_eq!(tries.len(), 3, "{tries:?}");
    assert!(tries.iter().all(|(id, _)| *id == tries[0].0), "the request id changed: {tries:?}");
    let unknown = sqs("PurgeQueue").send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn invocations_end_in_an_output_or_a_failure_and_a_notice() {
    let tested = Tested::start().await;
    let headers = [("inference-id", "good"), ("custom-attributes", "size=7")];
    let (output, _) = tested.invoke_async("hello", &headers).await;
    assert_eq!(tested.object(&output).await, "hello size=7");
    // The custom attributes of the answer are metadata of its output.
    let head = tested.request("s3", "HEAD", output.strip_prefix("s3:/").unwrap()).send().await.unwrap();
    assert_eq!(head.headers()["x-amz-meta-x-amzn-sagemaker-custom-attributes"], "engine=test");
    let (_, failure) = tested.invoke_async("refuse", &[("inference-id", "bad")]).await;
    assert_eq!(tested.object(&failure).await, r#"{"code":"REFUSED"}"#);

    let notice = async |id: &str| -> Value {
        let word = format!("inferenceId\\\":\\\"{id}");
        let event = eventually(async || tested.received(&word).pop()).await.1;
        let event: Value = serde_json::from_str(&event).unwrap();
        assert_eq!(event["Records"][0]["EventSource"], "aws:sns");
        serde_json::from_str(event["Records"][0]["Sns"]["Message"].as_str().unwrap()).unwrap()
    };
    let good = notice("good").await;
    assert_eq!((&good["invocationStatus"], &good["eventName"]), (&json!("Completed"), &json!("InferenceResult")));
    let response = json!({"contentType": "text/plain; model=test", "outputLocation": output});
    assert_eq!(good["responseParameters"], response);
    let bad = notice("bad").await;
    assert_eq!(bad["invocationStatus"], "Failed");
    assert!(bad["failureReason"].as_str().unwrap().contains("client error (400)"), "{bad}");
    assert_eq!(bad["responseParameters"]["failureLocation"], json!(failure));
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_dying_and_slow_model_servers_are_handled() {
    let tested = Tested::start().await;
    let (busy, _) = tested.invoke_async("busy", &[]).await;
    let (dies_once, _) = tested.invoke_async("die once", &[]).await;
    assert_eq!(tested.object(&busy).await, "busy");
    assert_eq!(tested.object(&dies_once).await, "die once");
    let (_, dies) = tested.invoke_async("die always", &[]).await;
    assert!(tested.object(&dies).await.contains("connection"));
    let (_, slow) = tested.invoke_async("sleep", &[("invocationtimeoutseconds", "1")]).await;
    assert!(tested.object(&slow).await.contains("timed out after 1 seconds"));
    let (after, _) = tested.invoke_async("hello", &[]).await;
    assert_eq!(tested.object(&after).await, "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_gets_no_more_requests_than_its_concurrency() {
    let tested = Tested::start().await;
    let mut counts = Vec::new();
    for _ in 0..6 {
        counts.push(tested.invoke_async("count", &[]).await.0);
    }
    let mut most = 0;
    for location in counts {
        most = most.max(tested.object(&location).await.parse().unwrap());
    }
    assert_eq!(most, 2);
    // Both places are taken for longer than the time to live of a third request.
    tested.invoke_async("sleep", &[("invocationtimeoutseconds", "3")]).await;
    tested.invoke_async("sleep", &[("invocationtimeoutseconds", "3")]).await;
    let (_, expired) = tested.invoke_async("hello", &[("requestttlseconds", "60")]).await;
    tested.clock.advance(Duration::from_secs(61));
    assert!(tested.object(&expired).await.contains("expired after 60 seconds"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_limited() {
    let tested = Tested::start().await;
    let send = async |path: &str, size: usize| {
        tested.request("sagemaker", "POST", path).body(vec![b'x'; size]).send().await.unwrap().status()
    };
    assert_eq!(send("/endpoints/e/async-invocations", 128_000).await, StatusCode::ACCEPTED);
    assert_eq!(send("/endpoints/e/async-invocations", 128_001).await, StatusCode::BAD_REQUEST);
    assert_eq!(send("/endpoints/e/invocations", 128_001).await, StatusCode::OK);
    assert_eq!(send("/endpoints/none/invocations", 1).await, StatusCode::BAD_REQUEST);
    assert_eq!(send("/endpoints/e/anything", 1).await, StatusCode::NOT_IMPLEMENTED);
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_sagemaker_refuses_is_a_failure_in_its_words() {
    let tested = Tested::start().await;
    for (word, said) in [
        ("no length", "The response from container primary did not specify the required Content-Length header"),
        ("chunks", "The response from container primary did not specify the required Content-Length header"),
        (
            "long headers",
            "Response received from the primary container has headers with length greater than 4096 bytes.",
        ),
        ("long attributes", "The CustomAttributes of the response have 1025 characters"),
    ] {
        let (_, failure) = tested.invoke_async(word, &[]).await;
        let reason = tested.object(&failure).await;
        assert!(reason.starts_with(said), "{word}: {reason}");
    }
    // A real-time endpoint takes chunks.
    let real_time = |body: &'static str| tested.request("sagemaker", "POST", "/endpoints/e/invocations").body(body);
    let chunks = real_time("chunks").send().await.unwrap();
    assert_eq!((chunks.status(), chunks.text().await.unwrap().as_str()), (StatusCode::OK, "chunks"));
    let long = real_time("long attributes").send().await.unwrap();
    assert_eq!(
        (long.status(), &long.headers()["x-amzn-errortype"]),
        (StatusCode::FAILED_DEPENDENCY, &"ModelError".parse().unwrap())
    );
    let error: Value = long.json().await.unwrap();
    assert!(error["Message"].as_str().unwrap().contains("1025 characters"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_an_invocation_are_held_to_the_api_reference() {
    let tested = Tested::start().await;
    let send = async |kind: &str, body: &'static str, headers: &[(&str, &[u8])]| {
        let mut request = tested.request("sagemaker", "POST", &format!("/endpoints/e/{kind}")).body(body);
        for (name, value) in headers {
            let value = reqwest::header::HeaderValue::from_bytes(value).unwrap();
            request = request.header(format!("x-amzn-sagemaker-{name}"), value);
        }
        let answer = request.send().await.unwrap();
        let kind = answer.headers().get("x-amzn-errortype").map(|kind| kind.to_str().unwrap().to_owned());
        (answer.status().as_u16(), kind, answer.text().await.unwrap())
    };
    let long = vec![b'x'; 1025];
    for (name, value, said) in [
        ("inference-id", "Zoë".as_bytes(), "inferenceId"),
        ("custom-attributes", &long, "customAttributes"),
        ("custom-attributes", "ü".as_bytes(), "customAttributes"),
        ("target-variant", b"other", "has no variant other"),
        ("target-model", b"a.tar.gz", "is not a multi-model endpoint"),
        ("session-id", b"NEW_SESSION", "keeps no sessions"),
    ] {
        let (status, kind, words) = send("invocations", "hello", &[(name, value)]).await;
        assert_eq!((status, kind.as_deref()), (400, Some("ValidationError")), "{name}: {words}");
        assert!(words.contains(said), "{name}: {words}");
        if ["inference-id", "custom-attributes"].contains(&name) {
            let (status, kind, words) = send("async-invocations", "hello", &[(name, value)]).await;
            assert_eq!((status, kind.as_deref()), (400, Some("ValidationError")), "{name}: {words}");
        }
    }
    let spaced: &[(&str, &[u8])] = &[("inference-id", b"ada lovelace"), ("target-variant", b"primary")];
    assert_eq!(send("invocations", "inference id", spaced).await, (200, None, "ada lovelace".to_owned()));
    for (name, value) in
        [("filename", &b"../../x"[..]), ("requestttlseconds", b"59"), ("s3outputpathextension", b"s3://b/k")]
    {
        assert_eq!(send("async-invocations", "hello", &[(name, value)]).await.0, 400, "{name}");
    }
    let both: &[(&str, &[u8])] = &[("inputlocation", b"s3://bucket/k")];
    assert!(send("async-invocations", "hello", both).await.2.contains("mutually exclusive"));

    // As boto3 sends it, and as UTF-8.
    for (key, location) in [("k\u{e9}", &b"s3://bucket/k\xe9"[..]), ("日本", "s3://bucket/日本".as_bytes())] {
        let stored = tested.request("s3", "PUT", &format!("/bucket/{key}")).body("hello").send().await.unwrap();
        assert_eq!(stored.status(), StatusCode::OK);
        let named: &[(&str, &[u8])] = &[("inputlocation", location), ("filename", b"answer.txt")];
        assert_eq!(send("async-invocations", "", named).await.0, 202, "{key}");
        assert_eq!(tested.object("s3://bucket/out/answer.txt").await, "hello");
        tested.request("s3", "DELETE", "/bucket/out/answer.txt").send().await.unwrap();
    }
}
