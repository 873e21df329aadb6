//! One request at a time: health, an invocation, and the headers of its answer.

use std::time::{Duration, Instant};

use local_cloud::container_contract;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, TRANSFER_ENCODING};

use super::probe::{Answer, NO_CONNECTION, Probe};
use super::report::Report;

/// How long SageMaker waits for an answer of `/ping`.
pub(super) const PING: Duration = Duration::from_secs(2);

/// Checks the answers of a healthy server. Returns the answer to an invocation.
pub(super) async fn check(probe: &Probe, report: &mut Report) -> Option<Answer> {
    report.rule("ping-time", ping_time(probe).await);
    let answer = probe.invoke().await;
    report.rule("invocation", invocation(&answer));
    let answer = answer.ok()?;
    if let Some(answer) = answer.succeeded() {
        report.rule("content-length", content_length(answer));
        report.rule("headers", headers(answer));
        report.rule("custom-attributes", custom_attributes(answer));
        report.rule("content-type", content_type(answer, &probe.message.accept));
    }
    Some(answer)
}

/// How long a server that listens may take to become healthy, by default.
const PATIENCE: Duration = Duration::from_secs(60);

/// `/ping` answers 200 within `patience`. By default, only a server that listens is waited for. An answer that no container gives ends
/// the wait: another program listens there.
pub(super) async fn healthy(probe: &Probe, patience: Option<Duration>) -> Result<String, String> {
    let start = Instant::now();
    let waits = patience.is_some();
    let patience = patience.unwrap_or(PATIENCE);
    let mut before = None;
    loop {
        let seen = match probe.ping().await {
            Ok(answer) if answer.status == StatusCode::OK => {
                let before = before.map_or_else(String::new, |before: String| format!("; before, {before}"));
                return Ok(format!("200 after {:.1} s{before}", start.elapsed().as_secs_f64()));
            }
            // A container that starts says so by an error of the server's.
            Ok(answer) if !answer.status.is_server_error() => {
                let seen = answer.brief();
                return Err(format!("{seen}: no container answers here, whose /ping says 200, or 503 while it starts"));
            }
            Ok(answer) => answer.brief(),
            Err(error) if !waits && error.starts_with(NO_CONNECTION) => {
                return Err(format!("{error}: start the server first, or wait for it with --wait 60"));
            }
            Err(error) => error,
        };
        if start.elapsed() >= patience {
            return Err(format!(
                "{seen} for {} s: 200 is needed before anything else can be checked",
                patience.as_secs()
            ));
        }
        before = Some(seen);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ping_time(probe: &Probe) -> Result<String, String> {
    let mut longest = Duration::ZERO;
    for _ in 0..5 {
        longest = longest.max(probe.ping().await?.elapsed);
    }
    let seen = format!("at most {:.0} ms", longest.as_secs_f64() * 1e3);
    if longest < PING { Ok(seen) } else { Err(format!("{seen}: less than {} s are needed", PING.as_secs())) }
}

fn invocation(answer: &Result<Answer, String>) -> Result<String, String> {
    let answer = answer.as_ref().map_err(Clone::clone)?;
    let seen = format!("{} in {:.2} s", answer.brief(), answer.elapsed.as_secs_f64());
    match answer.succeeded() {
        Some(_) => Ok(seen),
        None => Err(format!("{seen}: 200 is needed, since /ping reports a healthy server")),
    }
}

fn content_length(answer: &Answer) -> Result<String, String> {
    let length = container_contract::content_length(&answer.headers).map_err(|error| {
        let encoding = answer.header(TRANSFER_ENCODING);
        let seen = encoding.map_or_else(|| "none".to_owned(), |encoding| format!("Transfer-Encoding: {encoding}"));
        format!("{seen}: asynchronous endpoints say \"{error}\"")
    })?;
    match u64::try_from(answer.body.len()) {
        Ok(bytes) if bytes == length => Ok(format!("{length}, the length of the body")),
        _ => Err(format!("{length}, but the body has {} bytes", answer.body.len())),
    }
}

fn headers(answer: &Answer) -> Result<String, String> {
    match container_contract::header_bytes(&answer.headers) {
        Ok(bytes) => Ok(format!("{bytes} bytes")),
        Err(error) => Err(format!("asynchronous endpoints say \"{error}\"")),
    }
}

/// What the answer hands back to the caller of `InvokeEndpoint`.
fn custom_attributes(answer: &Answer) -> Result<String, String> {
    let found = container_contract::custom_attributes(&answer.headers).map_err(|error| error.to_string())?;
    Ok(found.map_or_else(|| "none, as the container likes".to_owned(), |text| format!("{} characters", text.len())))
}

/// The answer has a content type, and the one that was asked for.
fn content_type(answer: &Answer, accept: &str) -> Result<String, String> {
    let Some(found) = answer.header(CONTENT_TYPE) else {
        return Err("none: clients need it".to_owned());
    };
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (wanted, got) = (essence(accept), essence(&found));
    let fits = match wanted.split_once('/') {
        Some(("*", "*")) => true,
        Some((kind, "*")) => got.split('/').next() == Some(kind),
        _ => wanted == got,
    };
    if fits { Ok(found) } else { Err(format!("{found}, but the request had Accept: {accept}")) }
}

/// The server is healthy and serves an invocation.
pub(super) async fn serves(probe: &Probe) -> Result<String, String> {
    let ping = probe.ping().await?;
    if ping.status != StatusCode::OK {
        return Err(format!("/ping: {}", ping.brief()));
    }
    let answer = probe.invoke().await?;
    match answer.succeeded() {
        Some(_) => Ok("200 from /ping and /invocations".to_owned()),
        None => Err(format!("/ping: 200, /invocations: {}", answer.brief())),
    }
}
