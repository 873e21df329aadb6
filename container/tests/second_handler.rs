//! Another model behind the same server, over real HTTP.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod line_lengths;

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use container::Settings;
use line_lengths::Lengths;
use reqwest::{Client, RequestBuilder};
use tokio::net::TcpListener;

/// The server's address, once it is ready, and the folder of its files.
async fn start() -> (String, tempfile::TempDir) {
    let (url, folder) = loading(None).await;
    ready(&url).await;
    (url, folder)
}

async fn ready(url: &str) {
    while get(url, "/ping").await.0 != 200 {
        tokio::task::yield_now().await;
    }
}

/// A server that loads its model until `loaded` ends.
async fn loading(loaded: Option<Receiver<()>>) -> (String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handler = Lengths { folder: folder.path().to_owned(), loaded: Mutex::new(loaded) };
    tokio::spawn(container::serve(listener, Settings::default(), handler, std::future::pending()));
    (url, folder)
}

async fn get(url: &str, path: &str) -> (u16, String, String) {
    answer(Client::builder().no_proxy().build().unwrap().get(format!("{url}{path}"))).await
}

fn invoke(url: &str, content_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    let client = Client::builder().no_proxy().build().unwrap();
    client.post(format!("{url}/invocations")).header("content-type", content_type).body(body)
}

/// Status, `Content-Type` and body.
async fn answer(request: RequestBuilder) -> (u16, String, String) {
    let response = request.send().await.unwrap();
    let content_type = response.headers().get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
    (response.status().as_u16(), content_type, response.text().await.unwrap())
}

fn json(body: &str) -> (u16, String, String) {
    (200, "application/json".to_owned(), body.to_owned())
}

#[tokio::test]
async fn is_not_healthy_before_the_model_is_loaded() {
    let (load, loaded) = channel();
    let (url, _folder) = loading(Some(loaded)).await;
    let (status, _, message) = get(&url, "/ping").await;
    assert!(status == 503 && message.contains("being loaded"), "{status}: {message}");
    let response = invoke(&url, "text/plain", "x").send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    drop(load);
    ready(&url).await;
    assert_eq!(answer(invoke(&url, "text/plain", "x")).await, json(r#"{"lengths":[1]}"#));
}

#[tokio::test]
async fn its_own_media_types_and_parameters() {
    let (url, folder) = start().await;
    assert_eq!(answer(invoke(&url, "text/plain", "to\nbe\nor not")).await, json(r#"{"lengths":[2,2,6]}"#));
    let top = invoke(&url, "text/plain; charset=utf-8", "a\nlong\nway").header("accept", "application/json; top=2");
    assert_eq!(answer(top).await, json(r#"{"lengths":[4,3]}"#));
    std::fs::write(folder.path().join("one"), "first\n").unwrap();
    std::fs::write(folder.path().join("two"), "second\nthird").unwrap();
    assert_eq!(answer(invoke(&url, "text/x-files", "one\ntwo")).await, json(r#"{"lengths":[5,6,5]}"#));
}

#[tokio::test]
async fn its_own_codes_and_its_own_format_of_refusals() {
    let (url, folder) = start().await;
    std::fs::write(folder.path().join("large"), vec![b'x'; 1001]).unwrap();
    let accept = |accept| invoke(&url, "text/plain", "x").header("accept", accept);
    for (request, status, reason) in [
        (invoke(&url, "image/png", "x"), 415, "NO_TEXT: image/png is no text"),
        (accept("text/html"), 406, "NO_JSON: application/json would work"),
        (invoke(&url, "text/plain", vec![0xff]), 400, "NO_TEXT: invalid utf-8 sequence of 1 bytes from index 0"),
        (invoke(&url, "text/x-files", "absent"), 400, "NO_FILE: absent cannot be read"),
        // The server's own reasons have its codes and words, in the handler's format.
        (invoke(&url, "text/plain", ""), 400, "EMPTY_BODY: the request has no body"),
        (
            invoke(&url, "text/plain", vec![b'x'; 1001]),
            413,
            "BODY_TOO_LARGE: the body has more than 1000 bytes: at most 1000 work",
        ),
        (
            invoke(&url, "text/x-files", "large"),
            413,
            "BODY_TOO_LARGE: the body has more than 1000 bytes: at most 1000 work",
        ),
    ] {
        let expected = serde_json::json!({"reason": reason}).to_string();
        assert_eq!(answer(request).await, (status, "application/problem+json".to_owned(), expected));
    }
    assert_eq!(get(&url, "/ping").await.0, 200);
}

#[tokio::test]
async fn its_own_metrics_and_execution_parameters() {
    let (url, folder) = start().await;
    std::fs::write(folder.path().join("one"), "first").unwrap();
    assert_eq!(answer(invoke(&url, "text/x-files", "one")).await.0, 200);
    let (_, _, metrics) = get(&url, "/metrics").await;
    for line in [
        "lengths_requests_total{code=\"200\"} 1\n",
        "lengths_pass_requests_count 1\n",
        "lengths_stage_seconds_count{stage=\"fetch\"} 1\n",
        "lengths_stage_seconds_count{stage=\"count\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    let expected = r#"{"BatchStrategy":"MULTI_RECORD","MaxConcurrentTransforms":17,"MaxPayloadInMB":1}"#;
    assert_eq!(get(&url, "/execution-parameters").await, json(expected));
}
