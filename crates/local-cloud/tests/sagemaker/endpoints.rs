//! Endpoints with several variants, and with several containers in a row.

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::cloud::{Tested, eventually};

/// An endpoint `e` of a cloud over a folder.
struct Hosted {
    folder: tempfile::TempDir,
    tested: Tested,
}

impl Hosted {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tested = Tested::start(folder.path(), "batch_model.py").await;
        Self { folder, tested }
    }

    async fn restart(self) -> Self {
        self.tested.cloud.stop().await;
        let tested = Tested::start(self.folder.path(), "batch_model.py").await;
        Self { folder: self.folder, tested }
    }

    async fn call(&self, operation: &str, input: Value) -> Value {
        self.tested.sagemaker(operation, input).await.unwrap()
    }

    /// The message of a refusal.
    async fn refused(&self, operation: &str, input: Value) -> String {
        let (code, message) = self.tested.sagemaker(operation, input).await.unwrap_err();
        assert_eq!(code, "ValidationException", "{message}");
        message
    }

    async fn config(&self, name: &str, variants: &[Value]) {
        self.call("CreateEndpointConfig", json!({"EndpointConfigName": name, "ProductionVariants": variants})).await;
    }

    /// Models `upper` and `length`, and an endpoint whose variants of these names have these weights.
    async fn two_variants(&self, weights: [f64; 2]) {
        for name in ["upper", "length"] {
            let container = json!({"Image": "model", "Environment": {"ANSWER": name}});
            self.call("CreateModel", json!({"ModelName": name, "PrimaryContainer": container})).await;
        }
        self.config("two", &[variant("upper", weights[0]), variant("length", weights[1])]).await;
        self.call("CreateEndpoint", json!({"EndpointName": "e", "EndpointConfigName": "two"})).await;
    }

    async fn weights(&self, desired: Value) -> Result<Value, (String, String)> {
        let input = json!({"EndpointName": "e", "DesiredWeightsAndCapacities": desired});
        self.tested.sagemaker("UpdateEndpointWeightsAndCapacities", input).await
    }

    /// The description of the endpoint, as soon as it has this status.
    async fn until(&self, status: &str) -> Value {
        eventually(async || {
            let described = self.call("DescribeEndpoint", json!({"EndpointName": "e"})).await;
            (described["EndpointStatus"] == status).then_some(described)
        })
        .await
    }

    /// Status, variant and body of an invocation.
    async fn invoke(&self, body: &str, headers: &[(&str, &str)]) -> (StatusCode, String, String) {
        let mut request = self.tested.request("sagemaker", "POST", "/endpoints/e/invocations").body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let variant = answer.headers().get("x-amzn-invoked-production-variant");
        let variant = variant.map_or_else(String::new, |name| name.to_str().unwrap().to_owned());
        (answer.status(), variant, answer.text().await.unwrap())
    }

    /// How many of these requests each variant answers.
    async fn shares(&self, requests: usize) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        for _ in 0..requests {
            let (status, variant, answer) = self.invoke("abc", &[]).await;
            assert_eq!((status, answer.as_str()), (StatusCode::OK, if variant == "upper" { "ABC" } else { "3" }));
            *shares.entry(variant).or_default() += 1;
        }
        shares
    }

    fn notes(&self) -> Vec<String> {
        notes(self.folder.path())
    }
}

/// The requests that model servers have noted since the last time.
fn notes(folder: &Path) -> Vec<String> {
    let path = folder.join("notes");
    let notes = std::fs::read_to_string(&path).unwrap_or_default();
    let _ = std::fs::remove_file(path);
    notes.lines().filter(|line| line.starts_with("request ")).map(str::to_owned).collect()
}

/// A variant of the model of its name.
fn variant(name: &str, weight: f64) -> Value {
    json!({"VariantName": name, "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large",
        "InitialVariantWeight": weight})
}

fn counted(of: &[(&str, usize)]) -> BTreeMap<String, usize> {
    of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Current and desired weight and count of each variant of a description.
fn capacities(described: &Value) -> Vec<[f64; 4]> {
    let variants = described["ProductionVariants"].as_array().unwrap().iter();
    let names = ["CurrentWeight", "DesiredWeight", "CurrentInstanceCount", "DesiredInstanceCount"];
    variants.map(|variant| names.map(|name| variant[name].as_f64().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_to_variants_by_weight_and_by_name_and_weights_survive_a_restart() {
    let hosted = Hosted::start().await;
    hosted.two_variants([3.0, 1.0]).await;
    assert_eq!(capacities(&hosted.until("InService").await), [[3.0, 3.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]);
    assert_eq!(hosted.shares(8).await, counted(&[("upper", 6), ("length", 2)]));
    let named = |name| [("x-amzn-sagemaker-target-variant", name)];
    let (_, variant, answer) = hosted.invoke("abc", &named("length")).await;
    assert_eq!((variant.as_str(), answer.as_str()), ("length", "3"));
    let (status, _, words) = hosted.invoke("abc", &named("other")).await;
    assert!(
        status == StatusCode::BAD_REQUEST && words.contains("no variant other: upper, length would work"),
        "{words}"
    );

    hosted.weights(json!([{"VariantName": "upper", "DesiredWeight": 0}])).await.unwrap();
    let two = json!([{"VariantName": "length", "DesiredWeight": 2.5, "DesiredInstanceCount": 3}]);
    hosted.until("InService").await;
    hosted.weights(two).await.unwrap();
    let changed = [[0.0, 0.0, 1.0, 1.0], [2.5, 2.5, 3.0, 3.0]];
    assert_eq!(capacities(&hosted.until("InService").await), changed);
    assert_eq!(hosted.shares(3).await, counted(&[("length", 3)]));
    assert_eq!(hosted.invoke("abc", &named("upper")).await.2, "ABC", "a variant without weight answers by its name");
    hosted.weights(json!([{"VariantName": "length", "DesiredWeight": 0}])).await.unwrap();
    hosted.until("InService").await;
    let (status, _, words) = hosted.invoke("abc", &[]).await;
    assert!(status == StatusCode::BAD_REQUEST && words.contains("has the weight 0"), "{words}");
    hosted.weights(json!([{"VariantName": "upper", "DesiredWeight": 4}])).await.unwrap();

    // The process ends before or after the weights are in effect.
    let hosted = hosted.restart().await;
    assert_eq!(capacities(&hosted.until("InService").await), [[4.0, 4.0, 1.0, 1.0], [0.0, 0.0, 3.0, 3.0]]);
    assert_eq!(hosted.shares(2).await, counted(&[("upper", 2)]));
    hosted.tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_retains_weights_if_it_is_asked_to_and_a_failing_variant_fails_all() {
    let hosted = Hosted::start().await;
    hosted.two_variants([1.0, 1.0]).await;
    hosted.until("InService").await;
    hosted.weights(json!([{"VariantName": "upper", "DesiredWeight": 7, "DesiredInstanceCount": 2}])).await.unwrap();
    hosted.until("InService").await;
    let update = |more: Value| {
        let mut input = json!({"EndpointName": "e", "EndpointConfigName": "two"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let excluded = json!([{"VariantPropertyType": "DesiredInstanceCount"}]);
    let retain = json!({"RetainAllVariantProperties": true, "ExcludeRetainedVariantProperties": excluded});
    hosted.call("UpdateEndpoint", update(retain)).await;
    assert_eq!(capacities(&hosted.until("InService").await)[0], [7.0, 7.0, 1.0, 1.0]);
    hosted.call("UpdateEndpoint", update(json!({}))).await;
    assert_eq!(capacities(&hosted.until("InService").await)[0], [1.0, 1.0, 1.0, 1.0]);

    for (desired, words) in [
        (json!([{"VariantName": "other", "DesiredWeight": 1}]), "Could not find variant \"other\""),
        (json!([{"VariantName": "upper", "DesiredWeight": -1}]), "desiredWeight"),
        (json!([{"VariantName": "upper", "DesiredInstanceCount": -1}]), "desiredInstanceCount"),
        (json!([{"VariantName": "upper", "ServerlessUpdateConfig": {}}]), "serverlessUpdateConfig is not supported"),
        (json!([]), "desiredWeightsAndCapacities"),
    ] {
        let (_, message) = hosted.weights(desired).await.unwrap_err();
        assert!(message.contains(words), "{message}");
    }

    hosted.weights(json!([{"VariantName": "upper", "DesiredInstanceCount": 0}])).await.unwrap();
    assert_eq!(capacities(&hosted.until("InService").await)[0], [1.0, 1.0, 0.0, 0.0]);

    // One variant of two does not start: the endpoint stays as it was, and no server of the update is left.
    let exits = json!({"Image": "model", "Environment": {"EXIT": "no such weights"}});
    hosted.call("CreateModel", json!({"ModelName": "exits", "PrimaryContainer": exits})).await;
    hosted.config("exits", &[variant("upper", 1.0), variant("exits", 1.0)]).await;
    hosted.call("UpdateEndpoint", json!({"EndpointName": "e", "EndpointConfigName": "exits"})).await;
    let described = hosted.until("InService").await;
    let reason = described["FailureReason"].as_str().unwrap();
    let words = "The primary container for production variant exits did not pass the ping health check";
    assert!(reason.starts_with(words) && reason.ends_with("no such weights"), "{reason}");
    assert_eq!(described["EndpointConfigName"], "two");
    assert_eq!(hosted.shares(4).await, counted(&[("upper", 2), ("length", 2)]));
    hosted.tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_passes_through_the_containers_of_a_pipeline() {
    let hosted = Hosted::start().await;
    let of = |answer: &str| json!({"Image": "model", "Environment": {"ANSWER": answer, "PRINT": answer}});
    let mut last = of("env");
    last["ContainerHostname"] = json!("last");
    let model = json!({"ModelName": "row", "Containers": [of("sum"), last]});
    hosted.call("CreateModel", model).await;
    let described = hosted.call("DescribeModel", json!({"ModelName": "row"})).await;
    assert_eq!(described["Containers"][1]["ContainerHostname"], "last", "{described}");
    hosted.config("row", &[variant("row", 1.0)]).await;
    hosted.call("CreateEndpoint", json!({"EndpointName": "e", "EndpointConfigName": "row"})).await;
    let described = hosted.until("InService").await;
    assert_eq!(described["ProductionVariants"][0]["DeployedImages"].as_array().unwrap().len(), 2);

    let headers = [("content-type", "text/plain"), ("accept", "application/json")];
    let (status, _, answer) = hosted.invoke("1,2\n3,4", &headers).await;
    assert_eq!(status, StatusCode::OK);
    let sent = [r"request text/plain */* b'1,2\n3,4'", r"request text/csv application/json b'3.0\n7.0'"];
    assert_eq!(hosted.notes(), sent, "the last container gets the answer of the first, its media type, and Accept");
    let environment: BTreeMap<String, String> = serde_json::from_str(&answer).unwrap();
    let own: u16 = environment["SAGEMAKER_BIND_TO_PORT"].parse().unwrap();
    let (first, last) = environment["SAGEMAKER_SAFE_PORT_RANGE"].split_once('-').unwrap();
    let (first, last): (u16, u16) = (first.parse().unwrap(), last.parse().unwrap());
    assert!(first < last && !(first..=last).contains(&own), "{environment:?}");

    let (status, _, words) = hosted.invoke("bad,1", &headers).await;
    let error: Value = serde_json::from_str(&words).unwrap();
    let said = "Received client error (400) from container-1 with message \"no bad words\nhere\"";
    assert_eq!((status, &error["Message"]), (StatusCode::FAILED_DEPENDENCY, &json!(said)), "{words}");
    assert_eq!(hosted.notes().len(), 1, "an error is the end");
    let group = json!({"logGroupName": "/aws/sagemaker/Endpoints/e"});
    let streams = eventually(async || {
        let streams = hosted.tested.logs("DescribeLogStreams", group.clone()).await.ok()?;
        let names: Vec<String> = streams["logStreams"]
            .as_array()
            .unwrap()
            .iter()
            .map(|stream| stream["logStreamName"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
            .collect();
        (names.len() == 2).then_some(names)
    })
    .await;
    assert_eq!(streams, ["container-1", "last"]);
    let logs = hosted.folder.path().join("data/logs/endpoints/e");
    assert_eq!(std::fs::read_to_string(logs.join("row.last.log")).unwrap(), "env\n");

    let hosted = hosted.restart().await;
    hosted.until("InService").await;
    assert_eq!(hosted.invoke("1,2", &headers).await.0, StatusCode::OK);
    hosted.tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serverless_variant_takes_as_many_requests_as_its_concurrency() {
    let hosted = Hosted::start().await;
    let container = json!({"Image": "model"});
    hosted.call("CreateModel", json!({"ModelName": "m", "PrimaryContainer": container})).await;
    let serverless = json!({"MemorySizeInMB": 1024, "MaxConcurrency": 1});
    hosted.config("c", &[json!({"VariantName": "v", "ModelName": "m", "ServerlessConfig": serverless})]).await;
    hosted.call("CreateEndpoint", json!({"EndpointName": "e", "EndpointConfigName": "c"})).await;
    let described = hosted.until("InService").await;
    assert_eq!(described["ProductionVariants"][0]["CurrentServerlessConfig"], serverless);
    let held = hosted.invoke("wait", &[]);
    let other = async {
        // The first one is under way as soon as the server has noted it.
        eventually(async || {
            std::fs::read_to_string(hosted.folder.path().join("notes")).ok()?.contains("b'wait'").then_some(())
        })
        .await;
        let refused = hosted.invoke("more", &[]).await;
        std::fs::write(hosted.folder.path().join("notes.go"), "").unwrap();
        refused
    };
    let (held, (status, _, words)) = tokio::join!(held, other);
    assert_eq!((held.0, held.2.as_str()), (StatusCode::OK, "WAIT"));
    assert!(status == StatusCode::BAD_REQUEST && words.contains("ThrottlingException"), "{words}");
    assert_eq!(hosted.invoke("more", &[]).await.2, "MORE");

    let row = json!([{"Image": "model"}, {"Image": "model"}]);
    hosted.call("CreateModel", json!({"ModelName": "row", "Containers": row})).await;
    let variant = json!({"VariantName": "v", "ModelName": "row", "ServerlessConfig": serverless});
    let words =
        hosted.refused("CreateEndpointConfig", json!({"EndpointConfigName": "x", "ProductionVariants": [variant]}));
    assert!(words.await.contains("cannot have a model with several Containers"));
    hosted.tested.cloud.stop().await;
}
