//! The jobs that a damaged data folder has lost.

use std::collections::HashSet;

use anyhow::Context;
use local_cloud::Cloud;
use pipeline::{JobView, PortraitId, PortraitKey, Status, keys};
use reqwest::Url;
use serde::Deserialize;

use super::{INPUT_BUCKET, OUTPUT_BUCKET};

/// A page of the list of jobs.
#[derive(Deserialize)]
struct Page {
    jobs: Vec<JobView>,
    #[serde(default)]
    cursor: Option<String>,
}

/// The portraits whose job has succeeded, whose pictures are gone, and whose photograph is gone too, so that nothing makes them again.
///
/// # Errors
/// The jobs or the objects cannot be read.
pub(crate) async fn lost_jobs(cloud: &Cloud) -> anyhow::Result<Vec<PortraitId>> {
    let pictures: HashSet<String> = cloud.keys(OUTPUT_BUCKET, "images/")?.into_iter().collect();
    let uploads: HashSet<String> = cloud.keys(INPUT_BUCKET, keys::UPLOADS)?.into_iter().collect();
    let client =
        reqwest::Client::builder().no_proxy().tls_certs_only([]).build().context("the HTTP client cannot start")?;
    let (mut lost, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut url = Url::parse(&format!("http://{}/jobs?limit=100", cloud.api_address()))?;
        url.query_pairs_mut().extend_pairs(cursor.iter().map(|cursor| ("cursor", cursor)));
        let page = client.get(url).send().await;
        let page: Page = page
            .and_then(reqwest::Response::error_for_status)
            .context("the jobs cannot be listed")?
            .json()
            .await
            .context("the list of jobs cannot be read")?;
        let is_lost = |job: &JobView| {
            job.status == Status::Success
                && !uploads.contains(&keys::upload(&PortraitKey::from(job.id.clone())))
                && job.images.iter().any(|image| !pictures.contains(image.path.trim_start_matches('/')))
        };
        lost.extend(page.jobs.into_iter().filter(is_lost).map(|job| job.id));
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(lost);
        }
    }
}
