//! `send`: PUT, wait, GET, against any deployment.

use anyhow::Context;
use pipeline::PortraitId;
use serde_json::json;

use crate::cli::{Send, Show, usage_error};
use crate::client::Client;
use crate::delivery::{self, Delivered, Order};
use crate::lines::Lines;
use crate::up::runtime;
use crate::{panels, sheet};

pub(crate) fn run(send: Send) -> anyhow::Result<()> {
    if send.photos.len() > 1 && send.id.is_some() {
        usage_error("--id names one portrait, not several");
    }
    let photos = delivery::read(&send.photos, send.id.as_ref())?;
    let ids: Vec<PortraitId> = photos.iter().map(|photo| photo.id.clone()).collect();
    let answers = runtime()?.block_on(async {
        let jobs_api = send.jobs_api.as_deref().unwrap_or(&send.api);
        let client = Client::new(&send.api, jobs_api, send.sign.as_deref()).await?;
        let order = Order { ages: send.ages.as_ref(), out: send.out.as_deref(), animation: !send.view.no_animation };
        let lines = Lines::of(&ids);
        let answers = delivery::deliver(&client, photos, order, &|n, step| lines.tell(n, &step)).await;
        lines.end();
        anyhow::Ok(answers)
    })?;
    let (delivered, failed) = sort(&ids, answers);
    if send.json {
        print_json(&delivered)?;
    } else {
        print(&delivered, send.view.show)?;
    }
    if failed.is_empty() { Ok(()) } else { anyhow::bail!("{}", failed.join("\n       ")) }
}

/// The jobs that there are, failed ones included, and every reason of a failure, both in the order of the photographs.
pub(crate) fn sort(ids: &[PortraitId], answers: Vec<anyhow::Result<Delivered>>) -> (Vec<Delivered>, Vec<String>) {
    let mut delivered = Vec::new();
    let mut failed = Vec::new();
    for (id, answer) in ids.iter().zip(answers) {
        match answer {
            Ok(one) => {
                failed.extend(one.failure().map(|failure| format!("{id}: {failure}")));
                delivered.push(one);
            }
            Err(error) => failed.push(format!("{id}: {error:#}")),
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
    println!("{}", json!({"jobs": jobs.context("the jobs cannot be written as JSON")?}));
    Ok(())
}

/// Lists every job with its files, and shows its pictures.
pub(crate) fn print(delivered: &[Delivered], show: Option<Show>) -> anyhow::Result<()> {
    for one in delivered {
        let model = one.job.model.as_deref().map(|model| format!(" ({model})")).unwrap_or_default();
        println!("{} {}{model}", one.job.id, one.job.status.as_str());
        for file in one.files.iter().chain(&one.animation) {
            println!("  {}", file.display());
        }
        if let (Some(show), false) = (show, one.files.is_empty()) {
            sheet::show(&panels::read(one.panels())?, show.forced())?;
        }
    }
    Ok(())
}
