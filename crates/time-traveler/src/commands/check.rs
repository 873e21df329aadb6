//! `check`: does a server keep SageMaker's contract for containers?
//!
//! The contract is that of *Custom Inference Code with Hosting Services* in SageMaker's developer guide, and what asynchronous
//! endpoints refuse beyond it. Any server can be checked, not only this project's.

mod drain;
mod load;
mod probe;
mod refusals;
mod report;
mod serving;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use crate::escape::Shown;
use crate::pictures::sample::SAMPLE;
use crate::pictures::source;
use crate::runtime::runtime;
use probe::{Message, Probe};
use report::Report;

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Address of the server, such as http://127.0.0.1:8080
    url: String,
    /// Process id of the server, which is sent SIGTERM in the end
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pid: Option<u32>,
    /// A request body that the server can serve [default: a built-in portrait]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Content type of the body [default: for a picture, found from its bytes]
    #[arg(long, value_name = "TYPE", requires = "body")]
    content_type: Option<String>,
    /// Content type to ask for
    #[arg(long, value_name = "TYPE", default_value = "*/*")]
    accept: String,
    /// X-Amzn-SageMaker-Custom-Attributes, such as ages=40
    #[arg(long, value_name = "TEXT")]
    custom_attributes: Option<String>,
    /// Number of requests at the same time
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// Seconds that the server may take to listen and to become healthy [default: 60 once it listens]
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    /// Seconds that an answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Print the report as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(check: &Check) -> anyhow::Result<()> {
    let probe = Probe::new(&check.url, message(check)?, Duration::from_secs(check.timeout))?;
    let mut report = Report::new(!check.json);
    runtime()?.block_on(rules(&probe, check, &mut report));
    if check.json {
        print_line!("{}", report.json())?;
    }
    let (failed, rules) = (report.failed(), report.len());
    report.printed()?;
    match failed {
        0 => Ok(()),
        failed => bail!("{} breaks {failed} of {rules} rules", check.url),
    }
}

/// The request that the server should serve.
fn message(check: &Check) -> anyhow::Result<Message> {
    let (body, content_type) = match &check.body {
        None => (SAMPLE.to_vec(), "image/png".to_owned()),
        Some(file) => {
            let body = source::read(file, source::MAX_BYTES)?;
            let guessed = image::guess_format(&body).map(|format| format.to_mime_type().to_owned());
            let content_type = check.content_type.clone().or(guessed.ok());
            let content_type = content_type.with_context(|| {
                format!("the content type of {} is unknown: name it with --content-type", file.shown())
            })?;
            (body, content_type)
        }
    };
    Ok(Message { body, content_type, accept: check.accept.clone(), custom_attributes: check.custom_attributes.clone() })
}

async fn rules(probe: &Probe, check: &Check, report: &mut Report) {
    if !report.rule("healthy", serving::healthy(probe, check.wait.map(Duration::from_secs)).await) {
        return;
    }
    let answer = serving::check(probe, report).await;
    refusals::check(probe, report).await;
    report.rule("after-refusals", serving::serves(probe).await);
    report.rule("hang-up", load::hang_up(probe).await);
    load::check(probe, check.clients.into(), answer.as_ref(), report).await;
    report.rule("after-load", serving::serves(probe).await);
    if let Some(pid) = check.pid {
        drain::check(probe, pid, report).await;
    }
}
