//! `demo`: up on free ports, send, stop.

use std::time::Duration;

use anyhow::Context;
use local_cloud::Conditions;
use pipeline::Status;

use crate::cli::Demo;
use crate::client::{Client, Photo};
use crate::hops::Hops;
use crate::output;
use crate::stack::{Parts, stack};
use crate::up::{runtime, start};

pub(crate) fn run(demo: &Demo) -> anyhow::Result<()> {
    let hops = Hops::default();
    hops.install();
    let photo = Photo::read(&demo.photo, None)?;
    let data = tempfile::tempdir().context("a temporary folder cannot be made")?;
    let stack = stack(&Parts { model: demo.model.as_deref(), ages: demo.ages.clone(), ..Parts::default() })?;
    runtime()?.block_on(async {
        let cloud = start(&stack, data.path(), 0, 0, Conditions::default()).await?;
        let api = format!("http://{}", cloud.api_address());
        let client = Client::new(&api, &api, None).await?;
        let done = send(&hops, &client, &photo, demo).await;
        cloud.stop().await;
        done
    })
}

async fn send(hops: &Hops, client: &Client, photo: &Photo, demo: &Demo) -> anyhow::Result<()> {
    hops.start();
    let put = jiff::Timestamp::now().as_millisecond();
    hops.show("REST API", "PUT", &format!("/images/{}?ages={}, {} bytes", photo.id, demo.ages, photo.bytes.len()));
    let expected = client.upload(photo, Some(&demo.ages)).await?;
    hops.show("HTTP API", "GET", &format!("/jobs/{}?wait=20", photo.id));
    let job = client.wait(&expected, &mut |_| ()).await?;
    hops.show("HTTP API", job.status.as_str(), &format!("revision {}", job.revision));
    if let (Status::Failed, Some(error)) = (job.status, &job.error) {
        anyhow::bail!("{error}");
    }
    let folder = demo.out.clone().unwrap_or_else(|| output::default_folder(&photo.id));
    let files = client.download(&job, &folder).await?;
    hops.show("REST API", "GET", &format!("{} files to {}", files.len(), folder.display()));
    let total = Duration::from_millis(u64::try_from(job.updated_at.as_millis() - put).unwrap_or(0));
    let model = hops.model_seconds() * 1000.0;
    let total = total.as_secs_f64() * 1000.0;
    println!(
        "{} after {total:.0} ms: {model:.0} ms in the model ({}), {:.0} ms in the pipeline",
        job.status.as_str(),
        job.model.as_deref().unwrap_or("unnamed"),
        total - model
    );
    for file in files {
        println!("{}", file.display());
    }
    Ok(())
}
