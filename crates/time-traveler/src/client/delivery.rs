//! Sending several photographs through a pipeline at the same time.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Error;
use clap::error::ErrorKind;
use futures::future::join_all;
use pipeline::{Ages, JobView, PortraitId, Status};
use tokio::sync::Semaphore;

use super::answer::shown;
use super::{Client, Photo};
use crate::escape::Shown;
use crate::pictures::output_folder::{self, ANIMATION, OutputFolder, STRIP};
use crate::pictures::{animation, panels, portrait_name};

/// Uploads at the same time.
const UPLOADS: usize = 4;
/// Jobs whose pictures are fetched at the same time. Each needs the memory of its strip.
const FETCHES: usize = 2;

/// Reads all photographs before any is sent, and says which id each took that is not its file's name. Beside the photographs stand the
/// reasons why others cannot be sent.
///
/// # Errors
/// Where no file can be sent, or two files would get the same id (a usage error).
pub(crate) fn read(paths: &[PathBuf], id: Option<&PortraitId>) -> anyhow::Result<(Vec<Photo>, Vec<String>)> {
    let (mut photos, mut sent, mut refused) = (Vec::<Photo>::new(), Vec::new(), Vec::new());
    for path in paths {
        match Photo::read(path, id.cloned()) {
            Ok(photo) => {
                photos.push(photo);
                sent.push(path);
            }
            Err(error) => refused.push(format!("{error:#}")),
        }
    }
    ensure!(!photos.is_empty(), "{}", refused.join("\n"));
    let paths = sent;
    for (n, photo) in photos.iter().enumerate() {
        if let Some(other) = photos[..n].iter().position(|other| other.id == photo.id) {
            let (one, two) = (paths[other].shown(), paths[n].shown());
            let message =
                format!("{one} and {two} would both be portrait {}: send them one by one, with send --id", photo.id);
            return Err(Error::raw(ErrorKind::ArgumentConflict, message).into());
        }
    }
    for (path, photo) in paths.into_iter().zip(&photos) {
        if id.is_none() && !portrait_name::is_id(path, &photo.id) {
            note!("{} is portrait {}", path.shown(), photo.id);
        }
    }
    Ok((photos, refused))
}

/// What to make of each photograph.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) ages: Option<&'a Ages>,
    pub(crate) out: Option<&'a Path>,
    pub(crate) animation: bool,
    /// Each portrait has a folder of its own in `out`: several were named.
    pub(crate) several: bool,
}

/// How far a photograph has come.
pub(crate) enum Step<'a> {
    /// The id has this job, of another photograph or other ages, which the upload is about to replace.
    Replacing(&'a JobView),
    /// Its upload has begun.
    Uploading { bytes: usize },
    /// It has been uploaded; its job is next.
    Uploaded,
    /// The API returned its job.
    Seen(&'a JobView),
    /// The download of its pictures has begun.
    Fetching,
    /// Its pictures have been written.
    Fetched { files: usize, folder: &'a Path },
    /// There are no pictures, for this reason.
    Failed(&'a str),
}

/// The final job of a photograph, and its pictures.
pub(crate) struct Delivered {
    pub(crate) job: JobView,
    /// The panels in the job's order, then the strip, if it was still kept. Empty if the job did not succeed.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) animation: Option<PathBuf>,
}

impl Delivered {
    /// All files but the strip.
    pub(crate) fn panels(&self) -> &[PathBuf] {
        match self.files.split_last() {
            Some((last, panels)) if last.ends_with(STRIP) => panels,
            _ => &self.files,
        }
    }

    /// Why there are no pictures.
    pub(crate) fn failure(&self) -> Option<String> {
        match (&self.job.error, self.job.status) {
            (Some(error), _) => Some(format!("{}: {}", error.code, shown(&error.message))),
            (None, Status::Cancelled) => Some("the job was cancelled".to_owned()),
            _ => None,
        }
    }
}

/// Sends photographs and waits for all of them. Results have the order of the photographs. `on_step` is called with each step of
/// each photograph, by its number.
pub(crate) async fn deliver(
    client: &Client,
    photos: Vec<Photo>,
    order: Order<'_>,
    on_step: &impl Fn(usize, Step<'_>),
) -> Vec<anyhow::Result<Delivered>> {
    let several = order.several;
    let (uploads, fetches) = (Semaphore::new(UPLOADS), Semaphore::new(FETCHES));
    let ways = photos.into_iter().enumerate().map(|(n, photo)| {
        let (uploads, fetches) = (&uploads, &fetches);
        async move {
            let on_step = |step: Step<'_>| on_step(n, step);
            let folder = folder(&photo.id, order.out, several);
            let done = deliver_one(client, photo, order, &folder, (uploads, fetches), &on_step).await;
            match &done {
                Err(error) => on_step(Step::Failed(&format!("{error:#}"))),
                Ok(delivered) => match delivered.failure() {
                    Some(failure) => on_step(Step::Failed(&failure)),
                    None => {
                        let files = delivered.files.len() + usize::from(delivered.animation.is_some());
                        on_step(Step::Fetched { files, folder: &folder });
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
    on_step: &impl Fn(Step<'_>),
) -> anyhow::Result<Delivered> {
    let uploading = uploads.acquire().await?;
    let before = client.job(&photo.id, 0).await?;
    let ages = match order.ages {
        Some(ages) => ages.clone(),
        // By its named ages, this upload's job differs from one that was made with other ages.
        None => client.default_ages(&photo.id).await?,
    };
    let is_same = |job: &JobView| job.etag == photo.etag() && job.ages.as_ref() == Some(&ages);
    if let Some(job) = before.as_ref().filter(|job| !is_same(job)) {
        on_step(Step::Replacing(job));
    }
    on_step(Step::Uploading { bytes: photo.bytes.len() });
    let expected = client.put(&photo, &ages, before).await?;
    drop((uploading, photo));
    on_step(Step::Uploaded);
    let job = client.wait(&expected, &mut |job| on_step(Step::Seen(job))).await?;
    let mut delivered = Delivered { job, files: Vec::new(), animation: None };
    if delivered.job.status == Status::Success {
        let _fetching = fetches.acquire().await?;
        on_step(Step::Fetching);
        let files = client.download(&delivered.job).await?;
        if !files.iter().any(|(name, _)| name == STRIP) {
            note!("{}: the strip is no longer kept, the pictures are", delivered.job.id);
        }
        let animated = order.animation.then(|| ages.into());
        let folder = folder.to_owned();
        let written = tokio::task::spawn_blocking(move || write(&folder, &files, animated)).await;
        (delivered.files, delivered.animation) = written.context("the writing was aborted")??;
    }
    Ok(delivered)
}

/// The folder of a portrait: `--out` for a single portrait, a folder in it for each of several.
fn folder(id: &PortraitId, out: Option<&Path>, several: bool) -> PathBuf {
    match out {
        Some(out) if several => out.join(id.as_str()),
        Some(out) => out.to_owned(),
        None => output_folder::default_folder(id),
    }
}

/// Writes the panels and the strip, and the animation of these ages, into the folder of a portrait.
fn write(
    folder: &Path,
    files: &[(String, Vec<u8>)],
    animated: Option<Vec<u8>>,
) -> anyhow::Result<(Vec<PathBuf>, Option<PathBuf>)> {
    let names = files.iter().map(|(name, _)| name.as_str());
    let mut output = OutputFolder::open(folder, names.chain(animated.as_ref().map(|_| ANIMATION)))?;
    let written = files.iter().map(|(name, bytes)| output.write(name, bytes)).collect::<anyhow::Result<_>>()?;
    let animation = match (animated, files.split_last()) {
        (Some(ages), Some((last, others))) => {
            let panels = if last.0 == STRIP { others } else { files };
            Some(output.write(ANIMATION, &animation::make(&panels::decode(panels)?, &ages)?)?)
        }
        _ => None,
    };
    output.finish()?;
    Ok((written, animation))
}
