//! A cloud that is asked what it implements.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use local_cloud::{Cloud, Conditions, Endpoint, Image, Listeners, Program, Stack};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::names::{Member, Operation};

/// Values of members of S3: whatever its type, one of them can be read.
const VALUES: [&str; 5] = ["x", "true", "1", "Wed, 21 Oct 2015 07:28:00 GMT", "2030-01-01T00:00:00Z"];

pub(crate) struct Probe {
    cloud: Cloud,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Probe {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/model.py");
        let environment = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]);
        let program = Program { arg0: path.clone().into(), path, arguments: Vec::new(), environment };
        let endpoint = Endpoint {
            name: "own".into(),
            image: "model".into(),
            environment: BTreeMap::new(),
            startup_timeout: Duration::from_secs(60),
            max_concurrent_invocations_per_instance: 1,
            s3_output_path: "s3://bucket/out".into(),
            s3_failure_path: "s3://bucket/failed".into(),
            success_topic: None,
            error_topic: None,
        };
        let stack = Stack {
            buckets: vec!["bucket".into()],
            images: vec![Image { repository: "model".into(), program, trains: true }],
            endpoints: vec![endpoint],
            ..Stack::default()
        };
        let bind = async || TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let listeners = Listeners { aws: bind().await, api: bind().await };
        let cloud = Cloud::start(&stack, &folder.path().join("data"), listeners, Conditions::default()).await.unwrap();
        let probe = Self { cloud, http: reqwest::Client::builder().no_proxy().build().unwrap(), _folder: folder };
        for key in ["key", "data/rows.csv"] {
            let put = probe.request("s3", "PUT", &format!("/bucket/{key}")).body("1,2\n").send().await.unwrap();
            assert_eq!(put.status(), StatusCode::OK);
        }
        probe
    }

    pub(crate) async fn stop(self) {
        self.cloud.stop().await;
    }

    fn request(&self, service: &str, method: &str, path: &str) -> RequestBuilder {
        let scope = format!("AWS4-HMAC-SHA256 Credential=A/20261121/us-east-1/{service}/aws4_request, Signature=0");
        let url = format!("http://{}{path}", self.cloud.aws_address());
        self.http.request(method.parse().unwrap(), url).header("authorization", scope)
    }

    /// Whether a service of a JSON protocol has an operation.
    pub(crate) async fn has_target(&self, service: &str, prefix: &str, operation: &Operation) -> bool {
        let target = format!("{prefix}.{}", operation.name);
        let request = self.request(service, "POST", "/").header("x-amz-target", target).body("{}");
        request.send().await.unwrap().status() != StatusCode::NOT_IMPLEMENTED
    }

    /// Whether a service of the Query protocol has an operation.
    pub(crate) async fn has_action(&self, service: &str, operation: &Operation) -> bool {
        let request = self.request(service, "POST", "/").header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(format!("Action={}", operation.name)).send().await.unwrap();
        answer.status() != StatusCode::NOT_IMPLEMENTED
    }

    /// Whether a service of the REST-JSON protocol has an operation.
    pub(crate) async fn has_path(&self, service: &str, operation: &Operation) -> bool {
        let (method, path) = operation.http.unwrap();
        let names = ["{FunctionName}", "{EndpointName}"];
        let path = names.iter().fold(path.to_owned(), |path, name| path.replace(name, "own"));
        let answer = self.request(service, method, &path).body("{}").send().await.unwrap();
        answer.status() != StatusCode::NOT_IMPLEMENTED
    }

    /// The members that an operation of SageMaker refuses by name, beside an input that it takes.
    pub(crate) async fn refused_by_sagemaker(&self, operation: &Operation, input: &Value) -> Vec<&'static str> {
        let call = async |input: &Value| {
            let target = format!("SageMaker.{}", operation.name);
            let request = self.request("sagemaker", "POST", "/").header("x-amz-target", target);
            let answer = request.body(input.to_string()).send().await.unwrap();
            (answer.status(), answer.json::<Value>().await.unwrap()["message"].as_str().unwrap_or_default().to_owned())
        };
        let (status, words) = call(input).await;
        let is_read = status == StatusCode::OK || words.starts_with("Could not find") || words.contains("not found");
        assert!(is_read, "{}: {words}", operation.name);
        let mut refused = Vec::new();
        for Member { name, .. } in operation.members.iter().filter(|member| input.get(member.name).is_none()) {
            let mut with = input.clone();
            with[*name] = json!({"OfProbe": "x"});
            let mut letters = name.chars();
            let first = letters.next().map(|letter| letter.to_ascii_lowercase());
            let at: String = first.into_iter().chain(letters).collect();
            if call(&with).await.1.starts_with(&format!("{at} is not supported by the local cloud")) {
                refused.push(*name);
            }
        }
        refused
    }

    /// The members that an invocation refuses by name.
    pub(crate) async fn refused_by_runtime(&self) -> Vec<&'static str> {
        let mut refused = Vec::new();
        for (member, header, value) in [
            ("EnableExplanations", "enable-explanations", "`true`"),
            ("InferenceComponentName", "inference-component", "a"),
            ("PrefixAwareId", "prefix-aware-id", "a"),
            ("SessionId", "session-id", "NEW_SESSION"),
            ("TargetContainerHostname", "target-container-hostname", "a"),
            ("TargetModel", "target-model", "a.tar.gz"),
        ] {
            let request = self.request("sagemaker", "POST", "/endpoints/own/invocations").body("hello");
            let answer = request.header(format!("x-amzn-sagemaker-{header}"), value).send().await.unwrap();
            if answer.status() != StatusCode::OK {
                refused.push(member);
            }
        }
        refused
    }

    /// The members that an operation of S3 refuses by name.
    pub(crate) async fn refused_by_s3(&self, operation: &Operation) -> Vec<&'static str> {
        let mut refused = Vec::new();
        let (required, optional): (Vec<_>, Vec<_>) = operation.members.iter().partition(|member| member.is_required);
        for member in optional.into_iter().filter(|member| member.name != "ContentLength") {
            let name = member.place.map_or(member.name, |(_, name)| name);
            for value in VALUES {
                let with: Vec<_> =
                    required.iter().map(|member| (*member, specimen(member))).chain([(member, value)]).collect();
                let request = self.s3(operation, &with);
                let answer = request.send().await.unwrap().text().await.unwrap();
                if answer.contains(&format!("{name} is not implemented by the local cloud")) {
                    refused.push(member.name);
                    break;
                }
            }
        }
        refused
    }

    /// A request that is this operation, with these members.
    fn s3(&self, operation: &Operation, members: &[(&Member, &str)]) -> RequestBuilder {
        let (method, path) = operation.http.unwrap();
        let (bucket, key) = match operation.name {
            "DeleteBucket" => ("nothing", "key"),
            "CreateBucket" => ("another", "key"),
            name if name.starts_with("Delete") => ("bucket", "gone"),
            _ => ("bucket", "key"),
        };
        let mut path = path.replace("{Bucket}", bucket).replace("{Key+}", key);
        for (member, value) in members {
            if let Some(("querystring", name)) = member.place {
                let value = value.replace(' ', "%20").replace(',', "%2C").replace(':', "%3A");
                path += &format!("{}{name}={value}", if path.contains('?') { '&' } else { '?' });
            }
        }
        let mut request = self.request("s3", method, &path);
        for (member, value) in members {
            if let Some(("header", name)) = member.place {
                request = request.header(name, *value);
            }
        }
        let body = match operation.name {
            "DeleteObjects" => "<Delete><Object><Key>gone</Key></Object></Delete>",
            "CompleteMultipartUpload" => {
                "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"x\"</ETag></Part></CompleteMultipartUpload>"
            }
            _ => "",
        };
        // The client says nothing of an empty body.
        let request = if body.is_empty() { request.header("content-length", "0") } else { request };
        request.body(body)
    }
}

/// The value of a required member.
fn specimen(member: &Member) -> &'static str {
    match member.name {
        "CopySource" => "/bucket/key",
        "PartNumber" => "1",
        "ObjectAttributes" => "ETag",
        _ => "x",
    }
}
