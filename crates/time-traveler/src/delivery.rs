//! Photographs on their way through a pipeline, several at the same time.

use std::path::{Path, PathBuf};

use anyhow::Context;
use futures::future::join_all;
use pipeline::{Ages, JobView, PortraitId, Status};
use tokio::sync::Semaphore;

use crate::cli::usage_error;
use crate::client::{Client, Photo};
use crate::{animation, output, panels};

/// Photographs that are uploaded at the same time.
const UPLOADS: usize = 4;
/// Jobs whose pictures are fetched at the same time: each needs as much memory as its strip has bytes.
const FETCHES: usize = 2;

/// Reads photographs, and refuses those that would be the same portrait. Every file is looked at before anything is sent.
pub(crate) fn read(paths: &[PathBuf], id: Option<&PortraitId>) -> anyhow::Result<Vec<Photo>> {
    let photos: Vec<Photo> = paths.iter().map(|path| Photo::read(path, id.cloned())).collect::<anyhow::Result<_>>()?;
    for (n, photo) in photos.iter().enumerate() {
        if let Some(other) = photos[..n].iter().position(|other| other.id == photo.id) {
            let (one, two) = (paths[other].display(), paths[n].display());
            usage_error(&format!(
                "{one} and {two} would both be portrait {}: send them one by one, with send --id",
                photo.id
            ));
        }
    }
    Ok(photos)
}

/// What is wanted of every photograph.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) ages: Option<&'a Ages>,
    pub(crate) out: Option<&'a Path>,
    pub(crate) animation: bool,
}

/// How far a photograph has come.
pub(crate) enum Step<'a> {
    /// It is sent, so many bytes.
    Uploading { bytes: usize },
    /// It has arrived; its job is asked for from now on.
    Uploaded,
    /// Its job was seen.
    Seen(&'a JobView),
    /// Its pictures are fetched.
    Fetching,
    /// They are there.
    Fetched { files: usize, folder: &'a Path },
    /// There will be none.
    Failed(&'a str),
}

/// What became of a photograph.
pub(crate) struct Delivered {
    pub(crate) job: JobView,
    /// The panels in the job's order, then the strip; none if the job did not succeed.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) animation: Option<PathBuf>,
}

impl Delivered {
    /// The panels: all files but the strip.
    pub(crate) fn panels(&self) -> &[PathBuf] {
        self.files.split_last().map_or(&[], |(_, panels)| panels)
    }

    /// Why there are no pictures.
    pub(crate) fn failure(&self) -> Option<String> {
        match (&self.job.error, self.job.status) {
            (Some(error), _) => Some(error.to_string()),
            (None, Status::Cancelled) => Some("the job was cancelled".to_owned()),
            _ => None,
        }
    }
}

/// Sends photographs and waits for all of them; the answers are in their order. `told` hears of the steps of each, by its number.
pub(crate) async fn deliver(
    client: &Client,
    photos: Vec<Photo>,
    order: Order<'_>,
    told: &impl Fn(usize, Step<'_>),
) -> Vec<anyhow::Result<Delivered>> {
    let several = photos.len() > 1;
    let (uploads, fetches) = (Semaphore::new(UPLOADS), Semaphore::new(FETCHES));
    let ways = photos.into_iter().enumerate().map(|(n, photo)| {
        let (uploads, fetches) = (&uploads, &fetches);
        async move {
            let told = |step: Step<'_>| told(n, step);
            let folder = folder(&photo.id, order.out, several);
            let done = deliver_one(client, photo, order, &folder, (uploads, fetches), &told).await;
            match &done {
                Err(error) => told(Step::Failed(&format!("{error:#}"))),
                Ok(delivered) => match delivered.failure() {
                    Some(failure) => told(Step::Failed(&failure)),
                    None => {
                        let files = delivered.files.len() + usize::from(delivered.animation.is_some());
                        told(Step::Fetched { files, folder: &folder });
                    }
                },
            }
            done
        }
    });
    join_all(ways).await
}

async fn deliver_one(
    client: &Client,
    photo: Photo,
    order: Order<'_>,
    folder: &Path,
    (uploads, fetches): (&Semaphore, &Semaphore),
    told: &impl Fn(Step<'_>),
) -> anyhow::Result<Delivered> {
    let uploading = uploads.acquire().await?;
    told(Step::Uploading { bytes: photo.bytes.len() });
    let expected = client.upload(&photo, order.ages).await?;
    drop((uploading, photo));
    told(Step::Uploaded);
    let job = client.wait(&expected, &mut |job| told(Step::Seen(job))).await?;
    let mut delivered = Delivered { job, files: Vec::new(), animation: None };
    if delivered.job.status == Status::Success {
        let _fetching = fetches.acquire().await?;
        told(Step::Fetching);
        delivered.files = client.download(&delivered.job, folder).await?;
        if order.animation {
            delivered.animation = Some(animate(&delivered, folder).await?);
        }
    }
    Ok(delivered)
}

/// `--out` itself for one portrait, a folder below it for each of several.
fn folder(id: &PortraitId, out: Option<&Path>, several: bool) -> PathBuf {
    match out {
        Some(out) if several => out.join(id.as_str()),
        Some(out) => out.to_owned(),
        None => output::default_folder(id),
    }
}

/// Makes the animation of pictures that were fetched, on a thread that may be busy.
async fn animate(delivered: &Delivered, folder: &Path) -> anyhow::Result<PathBuf> {
    let ages = delivered.job.ages.clone().map(Vec::from).unwrap_or_default();
    let (files, folder) = (delivered.panels().to_vec(), folder.to_owned());
    let work = move || animation::write(&folder, &panels::read(&files)?, &ages);
    tokio::task::spawn_blocking(work).await.context("the animation broke off")?
}
