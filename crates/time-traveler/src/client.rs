//! A client of both APIs of a deployment, on this machine or on AWS.

mod answer;
mod api;
mod authorization;
pub(crate) mod aws;
pub(crate) mod delivery;
mod expected;
mod photo;
mod signature;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use pipeline::{Ages, ImageType, JobView, MAX_PUT_BYTES, PortraitId, Status, strip};
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Deserialize;

use crate::escape;
use crate::pictures::output_folder::STRIP;
use answer::{good, limited};
use api::{Api, is_local, parsed};
use authorization::Tokens;
use expected::{Expected, Seen};
pub(crate) use photo::Photo;

/// Seconds of a request for a job in progress. The API answers earlier if the job ends.
const WAIT: u64 = 20;
/// Seconds of a request for a job that has not begun, short enough to show when it begins.
const SHORT_WAIT: u64 = 1;
/// How long the answer to a request for a job may take beyond its wait.
const ANSWER: Duration = Duration::from_secs(40);
/// Requests for a job that may fail in a row, since the job goes on meanwhile.
const FAILURES: u32 = 5;
/// How long the id may belong to the job of another upload, or to none any more, before this upload counts as replaced or deleted.
const REPLACED: Duration = Duration::from_secs(10);
/// How long an upload's job may take to appear. Lambda repeats a failed event after a minute, and again after two.
const ARRIVAL: Duration = Duration::from_secs(240);
/// Bytes of a range request: API Gateway answers with 10 MB at most, and strips are larger.
const PART: usize = 8 << 20;

/// The limits of answers, in bytes. A job's may hold a long error message.
const JOB: usize = 1 << 20;
const PRESIGNED: usize = 64 << 10;
/// A panel as PNG has 3 MB of pixels at most.
const PANEL: usize = 16 << 20;
/// The header of a `.npy` file, whatever program wrote it.
const NPY_HEADER: usize = 70_000;

/// Where both APIs are, and how requests to them are signed.
#[derive(Debug, Args)]
pub(crate) struct ApiAddresses {
    /// Address of the REST API, which serves pictures. Requests to API Gateway's own addresses are signed with AWS credentials,
    /// unless `TIME_TRAVELER_TOKEN` holds a bearer token
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    api: String,
    /// Address of the HTTP API, which serves jobs [default: the REST API's]. At another host, its bearer token is that in
    /// `TIME_TRAVELER_JOBS_TOKEN`
    #[arg(long, value_name = "URL")]
    jobs_api: Option<String>,
    /// Sign all requests, for this AWS region
    #[arg(long, value_name = "REGION")]
    sign: Option<String>,
}

impl ApiAddresses {
    /// Both APIs of a local cloud.
    pub(crate) fn local(address: SocketAddr) -> Self {
        Self { api: format!("http://{address}"), jobs_api: None, sign: None }
    }
}

/// The answer of `POST /uploads/{id}`.
#[derive(Debug, Deserialize)]
struct PresignedUpload {
    url: String,
    headers: std::collections::HashMap<String, String>,
    /// The ages that the job will have. Deployments of earlier versions name none.
    ages: Option<Ages>,
}

pub(crate) struct Client {
    /// The REST API: pictures.
    images: Api,
    /// The HTTP API: jobs.
    jobs: Api,
}

impl Client {
    /// # Errors
    /// Where an address is no URL, the environment lacks a token or credentials, or one of them would be readable on its way.
    pub(crate) async fn new(addresses: &ApiAddresses) -> anyhow::Result<Self> {
        let sign = addresses.sign.as_deref();
        let images = parsed("--api", &addresses.api)?;
        let jobs = match &addresses.jobs_api {
            Some(address) => parsed("--jobs-api", address)?,
            None => images.clone(),
        };
        let tokens = Tokens::of_environment(&images, &jobs)?;
        Ok(Self {
            images: Api::new("--api", images, tokens.images, sign).await?,
            jobs: Api::new("--jobs-api", jobs, tokens.jobs, sign).await?,
        })
    }

    /// The ages that an upload gets if it names none.
    ///
    /// # Errors
    /// Where the deployment does not say so.
    pub(crate) async fn default_ages(&self, id: &PortraitId) -> anyhow::Result<Ages> {
        // Deployments on AWS sign no upload without a length.
        let ages = self.presign(id, Some("length=1")).await?.ages;
        ages.context("this deployment does not say which ages it makes by default: --ages 20,40,60,80 would work")
    }

    /// Uploads a picture with these ages, or the deployment's own.
    pub(crate) async fn upload(&self, photo: &Photo, ages: Option<&Ages>) -> anyhow::Result<Expected> {
        let before = self.job(&photo.id, 0).await?;
        let ages = match ages {
            Some(ages) => ages.clone(),
            None => self.default_ages(&photo.id).await?,
        };
        self.put(photo, &ages, before).await
    }

    /// Uploads a picture to the REST API, or by a presigned URL if it is too large for that. `before` is the id's job until now.
    pub(crate) async fn put(&self, photo: &Photo, ages: &Ages, before: Option<JobView>) -> anyhow::Result<Expected> {
        let answer = if photo.bytes.len() as u64 <= MAX_PUT_BYTES {
            let mut url = self.images.at(&format!("/images/{}", photo.id))?;
            url.set_query(Some(&query(ages)));
            good(self.images.send(put(self.images.http.put(url), photo)).await?).await?
        } else {
            // The URL takes this photograph's length and type only. Deployments of earlier versions pass over both.
            let body = format!("length={}&type={}", photo.bytes.len(), photo.media_type.as_str());
            let signed = self.presign(&photo.id, Some(&format!("{}&{body}", query(ages)))).await?;
            let to = Url::parse(&signed.url).context("the presigned upload leads to no URL")?;
            // The photograph goes wherever the answer says, so the way there has to be private.
            let is_private = to.scheme() == "https" || (is_local(&to) && self.jobs.is_local);
            ensure!(is_private, "the presigned upload leads to {}, and https would work", host(&to));
            let mut request = put(api::http(&to)?.put(to), photo);
            // The type is there already.
            for (name, value) in signed.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-type")) {
                request = request.header(name, value);
            }
            good(request.send().await.context("S3 cannot be reached")?).await?
        };
        let etag = answer
            .headers()
            .get(ETAG)
            .and_then(|etag| etag.to_str().ok())
            .context("the answer to the upload has no ETag")?;
        Ok(Expected::new(photo.id.clone(), etag, ages, before))
    }

    async fn presign(&self, id: &PortraitId, query: Option<&str>) -> anyhow::Result<PresignedUpload> {
        let mut url = self.jobs.at(&format!("/uploads/{id}"))?;
        url.set_query(query);
        let answer = good(self.jobs.send(self.jobs.http.post(url)).await?).await?;
        let body = limited(answer, PRESIGNED, "the presigned upload").await?;
        serde_json::from_slice(&body).context("the presigned upload cannot be read")
    }

    /// The job of a portrait; `None` if there is none. The API may hold the request for `wait` seconds.
    pub(crate) async fn job(&self, id: &PortraitId, wait: u64) -> anyhow::Result<Option<JobView>> {
        let mut url = self.jobs.at(&format!("/jobs/{id}"))?;
        url.set_query(Some(&format!("wait={wait}")));
        let get = self.jobs.http.get(url).timeout(Duration::from_secs(wait) + ANSWER);
        let answer = self.jobs.send(get).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let body = limited(good(answer).await?, JOB, "the job").await?;
        Ok(Some(serde_json::from_slice(&body).context("the job cannot be read")?))
    }

    /// Waits until the job of an upload is final, and calls `seen` with each state on the way.
    pub(crate) async fn wait(&self, expected: &Expected, seen: &mut impl FnMut(&JobView)) -> anyhow::Result<JobView> {
        let id = &expected.id;
        let start = Instant::now();
        let mut failures = 0;
        let mut begun = false;
        // Since when the id has had another job, or none any more.
        let mut other: Option<Instant> = None;
        let mut wait = SHORT_WAIT;
        let mut pause = Duration::from_millis(20);
        loop {
            match self.job(id, wait).await {
                Ok(found) => {
                    failures = 0;
                    match expected.compare(found.as_ref()) {
                        Seen::Own(job) => {
                            seen(job);
                            wait = if job.status == Status::Processing { WAIT } else { SHORT_WAIT };
                            if job.status.is_final() {
                                return Ok(job.clone());
                            }
                            (begun, other) = (true, None);
                            continue;
                        }
                        // Of the same photograph and ages. Whether this upload joined it before it ended, or starts it anew, shows soon.
                        Seen::Ended(job) => {
                            if other.get_or_insert_with(Instant::now).elapsed() > REPLACED {
                                seen(job);
                                return Ok(job.clone());
                            }
                        }
                        // The job of a simultaneous upload may be there for a moment, until this upload's event has arrived.
                        Seen::Newer => {
                            if begun || other.get_or_insert_with(Instant::now).elapsed() > REPLACED {
                                bail!("a newer upload under the id {id} took the place of this one");
                            }
                        }
                        Seen::Nothing if begun => {
                            if other.get_or_insert_with(Instant::now).elapsed() > REPLACED {
                                bail!("there is no job {id} any more: was it deleted?");
                            }
                        }
                        Seen::Nothing | Seen::Earlier => {
                            if start.elapsed() > ARRIVAL {
                                bail!(
                                    "the upload under the id {id} has started no job within {} s: its event may wait \
                                     in the dead-letter queue, which `redrive` empties",
                                    ARRIVAL.as_secs()
                                );
                            }
                        }
                    }
                }
                Err(error) if failures == FAILURES => return Err(error),
                Err(_) => failures += 1,
            }
            // The API returns an earlier, final job at once. Without a pause, this would be a busy loop.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Fetches a file of the REST API in parts. It has at most `limit` bytes.
    async fn fetch(&self, path: &str, limit: usize) -> anyhow::Result<Vec<u8>> {
        let kept = self.fetch_if_kept(path, limit).await?;
        kept.with_context(|| format!("{} is not there", escape::line(path)))
    }

    /// As [`fetch`](Self::fetch); `None` if the file is not there.
    async fn fetch_if_kept(&self, path: &str, limit: usize) -> anyhow::Result<Option<Vec<u8>>> {
        let url = self.images.at(path)?;
        let path = escape::line(path);
        let mut bytes = Vec::new();
        loop {
            let range = format!("bytes={}-{}", bytes.len(), bytes.len() + PART - 1);
            let get = self.images.http.get(url.clone()).header(RANGE, range);
            let answer = self.images.send(get).await?;
            if answer.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            let answer = good(answer).await?;
            if answer.status() != StatusCode::PARTIAL_CONTENT {
                return limited(answer, limit, &path).await.map(Some);
            }
            let total = answer.headers().get(CONTENT_RANGE).and_then(|range| {
                let (_, total) = range.to_str().ok()?.rsplit_once('/')?;
                total.parse::<usize>().ok()
            });
            ensure!(
                total.is_none_or(|total| total <= limit),
                "{path} has more than {limit} bytes, the most it can have"
            );
            let part = limited(answer, PART, &path).await?;
            bytes.extend_from_slice(&part);
            match total {
                Some(total) if total > bytes.len() && !part.is_empty() => {}
                Some(total) if total == bytes.len() => return Ok(Some(bytes)),
                _ => {
                    bail!("{path} was answered with another range than the requested one, after {} bytes", bytes.len())
                }
            }
        }
    }

    /// Fetches the pictures of a job in their order, then its strip if it is still kept, with the names of their files. The names follow
    /// from the places and the bytes, never from what the API says.
    pub(crate) async fn download(&self, job: &JobView) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let ages = job.ages.as_ref().map_or(0, Ages::len);
        let panels = job.images.len();
        ensure!(panels == 1 + ages, "the job {} has {panels} pictures, but {ages} ages make {}", job.id, 1 + ages);
        let mut files = Vec::new();
        for (n, image) in job.images.iter().enumerate() {
            let bytes = self.fetch(&image.path, PANEL).await?;
            let format = ImageType::sniff(&bytes);
            let format = format.with_context(|| format!("{} is no picture", escape::line(&image.path)))?;
            files.push((format!("{n}.{}", format.extension()), bytes));
        }
        let path = format!("/{}", pipeline::keys::strip(&job.id.clone().into(), &job.revision));
        let limit = strip::row_bytes(ages) * strip::PANEL + NPY_HEADER;
        if let Some(strip) = self.fetch_if_kept(&path, limit).await? {
            files.push((STRIP.to_owned(), strip));
        }
        Ok(files)
    }
}

/// The query of an upload. The signature covers the comma in its encoded form.
fn query(ages: &Ages) -> String {
    format!("ages={}", ages.to_string().replace(',', "%2C"))
}

fn put(request: RequestBuilder, photo: &Photo) -> RequestBuilder {
    request.header(CONTENT_TYPE, photo.media_type.as_str()).body(photo.bytes.clone())
}

/// The scheme and the host of a URL, for messages.
fn host(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default())
}
