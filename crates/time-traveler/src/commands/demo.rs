//! `demo`: start the pipeline on free ports, send portraits, stop.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Context;
use clap::Args;
use local_cloud::{Conditions, Durability};
use pipeline::{Ages, PortraitId};

use super::send;
use crate::client::delivery::{self, Delivered, Order, Step};
use crate::client::{ApiAddresses, Client, Photo};
use crate::escape::{self, Shown};
use crate::models::ModelFolder;
use crate::runtime::runtime;
use crate::stack::local::start;
use crate::stack::{Parts, stack};
use crate::terminal::hop_log::HopLog;
use crate::terminal::view::View;

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// JPEG, PNG or WebP pictures [default: a built-in portrait]
    #[arg(value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// Folder for the pictures, with one folder in it for each of several portraits [default: out/{id}]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    model: ModelFolder,
    /// Ages to make
    #[arg(long, default_value_t)]
    ages: Ages,
    #[command(flatten)]
    view: View,
}

pub(crate) fn run(demo: &Demo) -> anyhow::Result<()> {
    let hops = HopLog::default();
    hops.install();
    let (photos, refused) = match &demo.photos[..] {
        [] => (vec![Photo::sample()], Vec::new()),
        paths => delivery::read(paths, None)?,
    };
    demo.model.engine()?;
    let data = tempfile::tempdir().context("a temporary folder cannot be created")?;
    let stack = stack(&Parts { model: demo.model.folder.as_deref(), ages: demo.ages.clone(), ..Parts::default() })?;
    runtime()?.block_on(async {
        // The folder does not survive the process.
        let conditions = Conditions { durability: Durability::Kill, ..Conditions::default() };
        let cloud = start(&stack, data.path(), 0, 0, conditions).await?;
        let client = Client::new(&ApiAddresses::local(cloud.api_address())).await?;
        let done = send(&hops, &client, (photos, refused), demo).await;
        cloud.stop().await;
        done
    })
}

async fn send(
    hops: &HopLog,
    client: &Client,
    (photos, refused): (Vec<Photo>, Vec<String>),
    demo: &Demo,
) -> anyhow::Result<()> {
    hops.start();
    let (put, seen) = (now(), AtomicI64::new(0));
    let ids: Vec<PortraitId> = photos.iter().map(|photo| photo.id.clone()).collect();
    let order = Order {
        ages: Some(&demo.ages),
        out: demo.out.as_deref(),
        animation: !demo.view.no_animation,
        several: demo.photos.len() > 1,
    };
    let on_step = |n: usize, step: Step<'_>| {
        let id = &ids[n];
        match step {
            Step::Uploading { bytes } => {
                hops.show("REST API", "PUT", &format!("/images/{id}?ages={}, {bytes} bytes", demo.ages));
            }
            Step::Uploaded => hops.show("HTTP API", "GET", &format!("/jobs/{id}?wait=1")),
            Step::Seen(job) if job.status.is_final() => {
                seen.fetch_max(now(), Ordering::Relaxed);
                hops.show("HTTP API", job.status.as_str(), &format!("revision {}", job.revision));
            }
            Step::Replacing(_) | Step::Seen(_) | Step::Fetching | Step::Failed(_) => {}
            Step::Fetched { files, folder } => {
                hops.show("REST API", "GET", &format!("{files} files to {}", folder.shown()));
            }
        }
    };
    let answers = delivery::deliver(client, photos, order, &on_step).await;
    let (delivered, failed) = send::sort(&ids, answers);
    let last = delivered.iter().map(|one| one.job.updated_at.as_millis()).max().unwrap_or(put);
    send::print(&delivered, demo.view.show)?;
    summarize(hops, &delivered, last - put, seen.into_inner() - last)?;
    let failed = [refused, failed].concat();
    if failed.is_empty() { Ok(()) } else { anyhow::bail!("{}", failed.join("\n")) }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Prints where the time went, from the first upload until the last job was final: `total` milliseconds. It was seen `late`
/// milliseconds later.
fn summarize(hops: &HopLog, delivered: &[Delivered], total: i64, late: i64) -> anyhow::Result<()> {
    let done: Vec<&Delivered> = delivered.iter().filter(|one| one.failure().is_none()).collect();
    let [first, others @ ..] = &done[..] else { return Ok(()) };
    let model = hops.model_seconds() * 1000.0;
    let engine = escape::line(first.job.model.as_deref().unwrap_or("unnamed"));
    if others.is_empty() {
        let pipeline = total as f64 - model;
        print_line!(
            "SUCCESS after {total} ms: {model:.0} ms in the model ({engine}), {pipeline:.0} ms in the pipeline; seen {late} ms later"
        )
    } else {
        // The pipeline works on one portrait while the model works on another, so the rest is not the pipeline's time.
        print_line!("{} portraits after {total} ms: {model:.0} ms in the model ({engine}), all together", done.len())
    }
}
