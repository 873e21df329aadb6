//! `send`: upload portraits to a running pipeline, wait, fetch the pictures.

use std::path::PathBuf;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{Args, Error};
use pipeline::{Ages, PortraitId};
use serde_json::json;

use crate::client::delivery::{self, Delivered, Order};
use crate::client::{ApiAddresses, Client};
use crate::escape::{self, Shown};
use crate::pictures::panels;
use crate::runtime::runtime;
use crate::terminal::contact_sheet;
use crate::terminal::status_lines::StatusLines;
use crate::terminal::view::{Show, View};

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// JPEG, PNG or WebP pictures; one that cannot be sent keeps no other back
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    #[command(flatten)]
    apis: ApiAddresses,
    /// Id of the portrait, for one picture [default: from the file's name]
    #[arg(long)]
    id: Option<PortraitId>,
    /// Ages to make [default: the pipeline's]
    #[arg(long)]
    ages: Option<Ages>,
    /// Folder for the pictures, with one folder in it for each of several portraits [default: out/{id}]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    view: View,
    /// Print the jobs as one line of JSON
    #[arg(long, conflicts_with = "show")]
    json: bool,
}

pub(crate) fn run(send: &Send) -> anyhow::Result<()> {
    if send.photos.len() > 1 && send.id.is_some() {
        return Err(Error::raw(ErrorKind::ArgumentConflict, "--id names one portrait, not several").into());
    }
    let (photos, refused) = delivery::read(&send.photos, send.id.as_ref())?;
    let ids: Vec<PortraitId> = photos.iter().map(|photo| photo.id.clone()).collect();
    let answers = runtime()?.block_on(async {
        let client = Client::new(&send.apis).await?;
        let order = Order {
            ages: send.ages.as_ref(),
            out: send.out.as_deref(),
            animation: !send.view.no_animation,
            several: send.photos.len() > 1,
        };
        let lines = StatusLines::of(&ids);
        let answers = delivery::deliver(&client, photos, order, &|n, step| lines.show(n, &step)).await;
        lines.end();
        anyhow::Ok(answers)
    })?;
    let (delivered, failed) = sort(&ids, answers);
    let failed = [refused, failed].concat();
    if send.json {
        print_json(&delivered)?;
    } else {
        print(&delivered, send.view.show)?;
    }
    if failed.is_empty() { Ok(()) } else { anyhow::bail!("{}", failed.join("\n")) }
}

/// Splits answers into jobs, failed ones included, and reasons of failures, both in the order of the photographs.
pub(crate) fn sort(ids: &[PortraitId], answers: Vec<anyhow::Result<Delivered>>) -> (Vec<Delivered>, Vec<String>) {
    let mut delivered = Vec::new();
    let mut failed = Vec::new();
    for (id, answer) in ids.iter().zip(answers) {
        match answer {
            Ok(one) => {
                failed.extend(one.failure().map(|failure| format!("{id}: {failure}")));
                delivered.push(one);
            }
            Err(error) => failed.push(format!("{id}: {}", escape::line(&format!("{error:#}")))),
        }
    }
    (delivered, failed)
}

fn print_json(delivered: &[Delivered]) -> anyhow::Result<()> {
    let jobs: Result<Vec<_>, serde_json::Error> = delivered
        .iter()
        .map(|Delivered { job, files, animation }| {
            let mut line = serde_json::to_value(job)?;
            line["files"] = json!(files);
            line["animation"] = json!(animation);
            Ok(line)
        })
        .collect();
    print_line!("{}", json!({"jobs": jobs.context("the jobs cannot be written as JSON")?}))
}

/// Prints each job and its files, and shows its pictures.
pub(crate) fn print(delivered: &[Delivered], show: Option<Show>) -> anyhow::Result<()> {
    for one in delivered {
        let model = one.job.model.as_deref().map(|model| format!(" ({})", escape::line(model))).unwrap_or_default();
        print_line!("{} {}{model}", one.job.id, one.job.status.as_str())?;
        for file in one.files.iter().chain(&one.animation) {
            print_line!("  {}", file.shown())?;
        }
        if let (Some(show), false) = (show, one.files.is_empty()) {
            contact_sheet::show(&panels::read(one.panels())?, show.forced())?;
        }
    }
    Ok(())
}
