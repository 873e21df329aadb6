use std::error::Error;
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::{Body, Client, RequestBuilder, StatusCode, Url};

use crate::check::body;
use crate::cli::Check;

/// A server, and what is sent to it.
pub(super) struct Probe {
    client: Client,
    url: Url,
    pub(super) body: Vec<u8>,
    pub(super) content_type: String,
    pub(super) accept: String,
    custom_attributes: Option<String>,
}

/// What came back, whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) elapsed: Duration,
}

impl Probe {
    pub(super) fn new(check: &Check) -> anyhow::Result<Self> {
        let (body, content_type) = body(check)?;
        let url = check.url.parse::<Url>().ok().filter(|url| url.scheme() == "http" && url.has_host());
        let url = url.with_context(|| format!("{:?} is no address: http://127.0.0.1:8080 would be one", check.url))?;
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(check.timeout))
            // What comes of a connection that the server has just closed would tell nothing of the request.
            .pool_max_idle_per_host(0)
            .build()?;
        let (accept, custom_attributes) = (check.accept.clone(), check.custom_attributes.clone());
        Ok(Self { client, url, body, content_type, accept, custom_attributes })
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

    /// What should work.
    pub(super) async fn invoke(&self) -> Result<Answer, String> {
        self.invoke_with(self.body.clone(), &self.content_type, &self.accept).await
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
        if let Some(attributes) = &self.custom_attributes {
            request = request.header("X-Amzn-SageMaker-Custom-Attributes", attributes);
        }
        answer(request).await
    }

    /// The head of a valid request, for who hangs up before its end.
    pub(super) fn head(&self) -> String {
        format!(
            "POST /invocations HTTP/1.1\r\nHost: {}\r\nContent-Type: {}\r\nAccept: {}\r\nContent-Length: {}\r\n\r\n",
            self.authority(),
            self.content_type,
            self.accept,
            self.body.len(),
        )
    }
}

async fn answer(request: RequestBuilder) -> Result<Answer, String> {
    let start = Instant::now();
    let response = request.send().await.map_err(|error| chain(&error))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(|error| format!("{status}, and then {}", chain(&error)))?;
    Ok(Answer { status, headers, body: body.into(), elapsed: start.elapsed() })
}

/// An error with all that caused it.
fn chain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    let kind = if error.is_connect() { "no connection" } else { "the connection broke" };
    causes.last().map_or_else(|| format!("{kind}: {error}"), |last| format!("{kind}: {last}"))
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

    /// The status, and what it says in words or how much it is.
    pub(super) fn brief(&self) -> String {
        let status = self.status.as_u16();
        match std::str::from_utf8(&self.body) {
            _ if self.body.is_empty() => status.to_string(),
            Ok(text) if text.len() < 2000 => format!("{status} {}", text.chars().take(160).collect::<String>()),
            _ => format!("{status}, {} bytes", self.body.len()),
        }
    }
}
