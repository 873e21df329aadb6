//! `check`: does a server keep SageMaker's contract for containers?
//!
//! The contract is that of *Custom Inference Code with Hosting Services* in SageMaker's developer guide, and what its asynchronous
//! endpoints are known to refuse beyond that. Any server will do, ours or not.

mod drain;
mod load;
mod probe;
mod refusals;
mod report;

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, TRANSFER_ENCODING};

use crate::cli::Check;
use crate::up::runtime;
use probe::{Answer, Probe};
use report::Report;

/// How long SageMaker waits for an answer of `/ping`.
const PING: Duration = Duration::from_secs(2);
/// The most that an answer's headers may take, in bytes: beyond, asynchronous endpoints refuse it.
const HEADERS: usize = 4096;

pub(crate) fn run(check: &Check) -> anyhow::Result<()> {
    let probe = Probe::new(check)?;
    let report = runtime()?.block_on(all(&probe, check));
    if check.json {
        println!("{}", report.json());
    }
    match report.failed() {
        0 => Ok(()),
        failed => bail!("{} breaks {failed} of {} rules", check.url, report.len()),
    }
}

async fn all(probe: &Probe, check: &Check) -> Report {
    let mut report = Report::new(!check.json);
    if !report.rule("healthy", healthy(probe, Duration::from_secs(check.wait)).await) {
        return report;
    }
    report.rule("ping-time", ping_time(probe).await);
    let answer = probe.invoke().await;
    report.rule("invocation", invocation(&answer));
    if let Ok(answer) = answer.as_ref().map_err(drop).and_then(|answer| answer.succeeded().ok_or(())) {
        report.rule("content-length", content_length(answer));
        report.rule("headers", headers(answer));
        report.rule("content-type", content_type(answer, &probe.accept));
    }
    refusals::check(probe, &mut report).await;
    report.rule("after-refusals", serves(probe).await);
    report.rule("hang-up", load::hang_up(probe).await);
    load::check(probe, check.clients, answer.ok().as_ref(), &mut report).await;
    report.rule("after-load", serves(probe).await);
    if let Some(pid) = check.pid {
        drain::check(probe, pid, &mut report).await;
    }
    report
}

/// `/ping` says 200 in the end.
async fn healthy(probe: &Probe, patience: Duration) -> Result<String, String> {
    let start = Instant::now();
    let mut before = None;
    loop {
        let seen = match probe.ping().await {
            Ok(answer) if answer.status == StatusCode::OK => {
                let before = before.map_or_else(String::new, |before: String| format!("; before, {before}"));
                return Ok(format!("200 after {:.1} s{before}", start.elapsed().as_secs_f64()));
            }
            Ok(answer) => answer.brief(),
            Err(error) => error,
        };
        if start.elapsed() >= patience {
            return Err(format!(
                "{seen} for {} s: 200 is needed before anything else can be looked at",
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
        None => Err(format!("{seen}: 200 is needed, since /ping said that the server is healthy")),
    }
}

fn content_length(answer: &Answer) -> Result<String, String> {
    if let Some(encoding) = answer.headers.get(TRANSFER_ENCODING) {
        return Err(format!(
            "Transfer-Encoding: {}: asynchronous endpoints need Content-Length",
            String::from_utf8_lossy(encoding.as_bytes())
        ));
    }
    match answer.content_length() {
        Some(length) if length == answer.body.len() => Ok(format!("{length} bytes, as they came")),
        Some(length) => Err(format!("{length}, but {} bytes came", answer.body.len())),
        None => Err("none: asynchronous endpoints need it".to_owned()),
    }
}

fn headers(answer: &Answer) -> Result<String, String> {
    // Name, colon, blank, value, end of line.
    let bytes: usize = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let seen = format!("{bytes} bytes");
    if bytes < HEADERS { Ok(seen) } else { Err(format!("{seen}: less than {HEADERS} are needed")) }
}

/// The answer says what it is, and it is what was asked for.
fn content_type(answer: &Answer, accept: &str) -> Result<String, String> {
    let Some(found) = answer.header(CONTENT_TYPE) else {
        return Err("none: the output's type would be lost".to_owned());
    };
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (wanted, got) = (essence(accept), essence(&found));
    let fits = match wanted.split_once('/') {
        Some(("*", "*")) => true,
        Some((kind, "*")) => got.split('/').next() == Some(kind),
        _ => wanted == got,
    };
    if fits { Ok(found) } else { Err(format!("{found}, where Accept: {accept} was sent")) }
}

/// It is as healthy as in the beginning, and shows it.
async fn serves(probe: &Probe) -> Result<String, String> {
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

/// What to send where nothing is named.
pub(crate) fn body(check: &Check) -> anyhow::Result<(Vec<u8>, String)> {
    let Some(file) = &check.body else {
        return Ok((crate::bench::SAMPLE.to_vec(), "image/png".to_owned()));
    };
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let guessed = image::guess_format(&bytes).map(|format| format.to_mime_type().to_owned());
    let content_type = check.content_type.clone().or(guessed.ok());
    let content_type =
        content_type.with_context(|| format!("what is {}? --content-type would tell", file.display()))?;
    Ok((bytes, content_type))
}
