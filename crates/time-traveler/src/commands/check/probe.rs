//! Requests to the checked server.

use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::redirect::Policy;
use reqwest::{Body, Client, RequestBuilder, StatusCode, Url};

/// The checked server, and a request that it should serve.
pub(super) struct Probe {
    client: Client,
    url: Url,
    pub(super) message: Message,
}

/// A request for an invocation.
pub(super) struct Message {
    pub(super) body: Vec<u8>,
    pub(super) content_type: String,
    pub(super) accept: String,
    pub(super) custom_attributes: Option<String>,
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) elapsed: Duration,
}

impl Probe {
    /// `timeout` holds for each answer.
    pub(super) fn new(url: &str, message: Message, timeout: Duration) -> anyhow::Result<Self> {
        let parsed = url.parse::<Url>().ok().filter(|url| url.scheme() == "http" && url.has_host());
        let url = parsed.with_context(|| format!("{url:?} is no address: http://127.0.0.1:8080 would be one"))?;
        let client = Client::builder()
            .no_proxy()
            // SageMaker follows none either.
            .redirect(Policy::none())
            .timeout(timeout)
            // An idle connection that the server closes would fail a request through no fault of the server.
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { client, url, message })
    }

    /// `host:port`.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.url.host_str().unwrap_or_default(), self.url.port_or_known_default().unwrap_or_default())
    }

    pub(super) async fn ping(&self) -> Result<Answer, String> {
        self.get("/ping").await
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, String> {
        let mut url = self.url.clone();
        url.set_path(path);
        answer(self.client.get(url)).await
    }

    /// Sends the request that the server should serve.
    pub(super) async fn invoke(&self) -> Result<Answer, String> {
        let Message { body, content_type, accept, .. } = &self.message;
        self.invoke_with(body.clone(), content_type, accept).await
    }

    pub(super) async fn invoke_with(
        &self,
        body: impl Into<Body>,
        content_type: &str,
        accept: &str,
    ) -> Result<Answer, String> {
        let mut url = self.url.clone();
        url.set_path("/invocations");
        let mut request = self.client.post(url).header(CONTENT_TYPE, content_type).header(ACCEPT, accept).body(body);
        if let Some(attributes) = &self.message.custom_attributes {
            request = request.header("X-Amzn-SageMaker-Custom-Attributes", attributes);
        }
        answer(request).await
    }

    /// The head of a valid request, for clients that hang up.
    pub(super) fn head(&self) -> String {
        let Message { body, content_type, accept, .. } = &self.message;
        format!(
            "POST /invocations HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nAccept: {accept}\r\nContent-Length: {}\r\n\r\n",
            self.authority(),
            body.len(),
        )
    }
}

/// Begins the reason of a request that found nobody who listens.
pub(super) const NO_CONNECTION: &str = "no connection";

async fn answer(request: RequestBuilder) -> Result<Answer, String> {
    let start = Instant::now();
    let response = request.send().await.map_err(cause)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(|error| format!("{status}, then {}", cause(error)))?;
    Ok(Answer { status, headers, body: body.into(), elapsed: start.elapsed() })
}

/// The kind of a failure and its root cause: reqwest's own messages repeat the address.
fn cause(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let kind = if error.is_connect() { NO_CONNECTION } else { "the connection broke" };
    format!("{kind}: {}", anyhow::Error::from(error).root_cause())
}

impl Answer {
    pub(super) fn succeeded(&self) -> Option<&Self> {
        (self.status == StatusCode::OK).then_some(self)
    }

    pub(super) fn header(&self, name: HeaderName) -> Option<String> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    pub(super) fn content_length(&self) -> Option<usize> {
        self.header(CONTENT_LENGTH)?.parse().ok()
    }

    /// The status, and the beginning of a short text or the length of another body.
    pub(super) fn brief(&self) -> String {
        let status = self.status.as_u16();
        match std::str::from_utf8(&self.body) {
            _ if self.body.is_empty() => status.to_string(),
            Ok(text) if text.len() < 2000 => format!("{status} {}", text.chars().take(160).collect::<String>()),
            _ => format!("{status}, {} bytes", self.body.len()),
        }
    }
}
