//! A cloud with one image, and requests to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use local_cloud::{Cloud, Conditions, Image, Listeners, Program, Stack};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Tested {
    pub(crate) cloud: Cloud,
    http: reqwest::Client,
}

impl Tested {
    /// A cloud over `folder`, with an image `model` that runs the program of this name.
    pub(crate) async fn start(folder: &Path, program: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(program);
        let environment = BTreeMap::from([
            ("PATH".to_owned(), std::env::var("PATH").unwrap()),
            ("NOTES".to_owned(), folder.join("notes").display().to_string()),
        ]);
        let program = Program { arg0: path.clone().into(), path, arguments: Vec::new(), environment };
        let stack = Stack {
            buckets: vec!["bucket".into()],
            images: vec![Image { repository: "model".into(), program, trains: true }],
            ..Stack::default()
        };
        let bind = async || TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let listeners = Listeners { aws: bind().await, api: bind().await };
        let cloud = Cloud::start(&stack, &folder.join("data"), listeners, Conditions::default()).await.unwrap();
        Self { cloud, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    pub(crate) fn request(&self, service: &str, method: &str, path: &str) -> reqwest::RequestBuilder {
        let scope = format!("AWS4-HMAC-SHA256 Credential=A/20261121/us-east-1/{service}/aws4_request, Signature=0");
        let url = format!("http://{}{path}", self.cloud.aws_address());
        self.http.request(method.parse().unwrap(), url).header("authorization", scope)
    }

    /// The output of an operation of a JSON protocol, or code and message of its refusal.
    pub(crate) async fn json(&self, service: &str, target: &str, input: &Value) -> Result<Value, (String, String)> {
        let request = self.request(service, "POST", "/").header("x-amz-target", target);
        let answer = request.body(input.to_string()).send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        if status == StatusCode::OK { Ok(body) } else { Err((text("__type"), text("message"))) }
    }

    pub(crate) async fn sagemaker(&self, operation: &str, input: Value) -> Result<Value, (String, String)> {
        self.json("sagemaker", &format!("SageMaker.{operation}"), &input).await
    }

    pub(crate) async fn logs(&self, operation: &str, input: Value) -> Result<Value, (String, String)> {
        self.json("logs", &format!("Logs_20140328.{operation}"), &input).await
    }

    /// Status and body of an operation of the Query protocol.
    pub(crate) async fn query(&self, service: &str, fields: &[(&str, &str)]) -> (StatusCode, String) {
        // The fields of the tests need no escape.
        let body = fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let request = self.request(service, "POST", "/").header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(body).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// Creates a model of the image `model`, and an endpoint of that name.
    pub(crate) async fn endpoint(&self, name: &str, environment: Value) {
        let container = json!({"Image": "model", "Environment": environment});
        self.sagemaker("CreateModel", json!({"ModelName": name, "PrimaryContainer": container})).await.unwrap();
        let variant = json!({"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1,
            "InstanceType": "ml.m5.large"});
        let config = json!({"EndpointConfigName": name, "ProductionVariants": [variant]});
        self.sagemaker("CreateEndpointConfig", config).await.unwrap();
        let endpoint = json!({"EndpointName": name, "EndpointConfigName": name});
        self.sagemaker("CreateEndpoint", endpoint).await.unwrap();
    }
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
