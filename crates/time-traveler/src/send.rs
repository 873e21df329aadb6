//! `send`: PUT, wait, GET, against any deployment.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use pipeline::{JobView, Status};
use serde_json::json;

use crate::cli::{Send, usage_error};
use crate::client::{Client, Photo};
use crate::output;
use crate::up::runtime;

pub(crate) fn run(send: Send) -> anyhow::Result<()> {
    if send.photos.len() > 1 && send.id.is_some() {
        usage_error("--id names one portrait, not several");
    }
    // Every file is looked at before anything is sent.
    let photos: Vec<Photo> =
        send.photos.iter().map(|path| Photo::read(path, send.id.clone())).collect::<anyhow::Result<_>>()?;
    for (n, photo) in photos.iter().enumerate() {
        if let Some(other) = photos[..n].iter().position(|other| other.id == photo.id) {
            let (one, two) = (send.photos[other].display(), send.photos[n].display());
            usage_error(&format!(
                "{one} and {two} would both be portrait {}: send them one by one, with --id",
                photo.id
            ));
        }
    }
    runtime()?.block_on(async {
        let jobs_api = send.jobs_api.as_deref().unwrap_or(&send.api);
        let client = Client::new(&send.api, jobs_api, send.sign.as_deref()).await?;
        let mut sent = Vec::new();
        let mut failed = Vec::new();
        for photo in &photos {
            match send_one(&client, photo, &send, photos.len() > 1).await {
                Ok((job, files)) => {
                    if let Some(error) = &job.error {
                        failed.push(format!("{}: {error}", photo.id));
                    } else if job.status == Status::Cancelled {
                        failed.push(format!("{}: the job was cancelled", photo.id));
                    }
                    sent.push((job, files));
                }
                Err(error) => failed.push(format!("{}: {error:#}", photo.id)),
            }
        }
        report(&sent, send.json)?;
        if failed.is_empty() { Ok(()) } else { anyhow::bail!("{}", failed.join("\n       ")) }
    })
}

async fn send_one(
    client: &Client,
    photo: &Photo,
    send: &Send,
    several: bool,
) -> anyhow::Result<(JobView, Vec<PathBuf>)> {
    let progress = Progress::new(photo.id.as_str());
    progress.show("uploading");
    let expected = client.upload(photo, send.ages.as_ref()).await?;
    progress.show("waiting");
    let job = client.wait(&expected, &mut |job| progress.show(job.status.as_str())).await?;
    let folder = match &send.out {
        Some(folder) if several => folder.join(photo.id.as_str()),
        Some(folder) => folder.clone(),
        None => output::default_folder(&photo.id),
    };
    let files = if job.status == Status::Success { client.download(&job, &folder).await? } else { Vec::new() };
    progress.finish();
    Ok((job, files))
}

fn report(sent: &[(JobView, Vec<PathBuf>)], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let jobs: Result<Vec<_>, serde_json::Error> = sent
            .iter()
            .map(|(job, files)| {
                let mut line = serde_json::to_value(job)?;
                line["files"] = json!(files);
                Ok(line)
            })
            .collect();
        println!("{}", json!({"jobs": jobs.context("the jobs cannot be written as JSON")?}));
        return Ok(());
    }
    for (job, files) in sent {
        let model = job.model.as_deref().map(|model| format!(" ({model})")).unwrap_or_default();
        println!("{} {}{model}", job.id, job.status.as_str());
        for file in files {
            println!("  {}", file.display());
        }
    }
    Ok(())
}

/// A spinner on a terminal, plain lines elsewhere.
struct Progress {
    id: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(id: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.set_prefix(id.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { id: id.to_owned(), bar }
    }

    fn show(&self, state: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(state.to_owned()),
            None => eprintln!("{}: {state}", self.id),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
