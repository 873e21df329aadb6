//! A client of both APIs of a deployment, on this machine or on AWS.

mod authorization;
pub(crate) mod aws;
pub(crate) mod delivery;
mod signature;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use pipeline::{
    Ages, ForeignType, ImageType, JobError, JobView, MAX_PUT_BYTES, MAX_UPLOAD_BYTES, PortraitId, Revision, Status,
    strip,
};
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use crate::pictures::output_folder;
use authorization::Authorization;

/// Seconds of a request for a job in progress. The API answers earlier if the job ends.
const WAIT: u64 = 20;
/// Seconds of a request for a job that has not begun, short enough to show when it begins.
const SHORT_WAIT: u64 = 1;
/// Requests for a job that may fail in a row, since the job goes on meanwhile.
const FAILURES: u32 = 5;
/// How long the id may belong to the job of another upload before this upload counts as replaced.
const REPLACED: Duration = Duration::from_secs(10);
/// How long the job may be missing.
const MISSING: Duration = Duration::from_secs(60);
/// Bytes of a range request: API Gateway answers with 10 MB at most, and strips are larger.
const PART: u64 = 8 << 20;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Where both APIs are, and how requests to them are signed.
#[derive(Debug, Args)]
pub(crate) struct ApiAddresses {
    /// Address of the REST API, which serves pictures. Requests to API Gateway's own addresses are signed with AWS credentials,
    /// unless `TIME_TRAVELER_TOKEN` holds a bearer token
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    api: String,
    /// Address of the HTTP API, which serves jobs [default: the REST API's]
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

/// A picture to send.
#[derive(Clone, Debug)]
pub(crate) struct Photo {
    pub(crate) id: PortraitId,
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: ImageType,
}

impl Photo {
    /// Reads a picture. Without an id, the file's name becomes the id.
    pub(crate) fn read(path: &Path, id: Option<PortraitId>) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("the photo {} cannot be read", path.display()))?;
        let size = bytes.len() as u64;
        if size > MAX_UPLOAD_BYTES {
            bail!("{} has {size} bytes: at most {MAX_UPLOAD_BYTES} can be sent", path.display());
        }
        let media_type = ImageType::sniff(&bytes).with_context(|| match ForeignType::sniff(&bytes) {
            Some(foreign) => format!("{}: {foreign}", path.display()),
            None => format!("{} is no picture that can be sent: JPEG, PNG and WebP can", path.display()),
        })?;
        Ok(Self { id: id.unwrap_or_else(|| output_folder::id_of(path)), bytes, media_type })
    }
}

/// The job that an upload should start.
#[derive(Debug)]
pub(crate) struct Expected {
    id: PortraitId,
    etag: String,
    /// The job before the upload, which the API may return a little longer.
    before: Option<JobView>,
}

impl Expected {
    /// Whether a job is this upload's, and not an earlier one under the same id.
    fn is(&self, job: &JobView) -> bool {
        let ages = job.ages.as_ref().map(Ages::to_string);
        let same_work = ages.is_some_and(|ages| Revision::new(&self.etag, &ages) == job.revision);
        let unchanged = self.before.as_ref().is_some_and(|before| before.created_at == job.created_at);
        // The same work starts anew, as another job, if it failed or was cancelled before.
        let ended_before = matches!(job.status, Status::Failed | Status::Cancelled) && unchanged;
        same_work && !ended_before
    }

    /// Whether a job is a later upload's under the same id.
    fn is_replaced_by(&self, job: &JobView) -> bool {
        self.before.as_ref().is_none_or(|before| before.created_at < job.created_at) && !self.is(job)
    }
}

/// The answer of `POST /uploads/{id}`.
#[derive(Debug, Deserialize)]
struct PresignedUpload {
    url: String,
    headers: std::collections::HashMap<String, String>,
}

/// The address of an API, and how requests to it are authorized.
struct Api {
    url: String,
    /// Whether it is an address of this machine.
    is_local: bool,
    authorization: Authorization,
}

impl Api {
    async fn new(option: &str, url: &str, sign: Option<&str>) -> anyhow::Result<Self> {
        let url = url.trim_end_matches('/').to_owned();
        let parsed = Url::parse(&url).with_context(|| format!("{option} {url:?} is no URL"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            bail!("{option} {url:?} is no http or https URL");
        }
        let authorization = Authorization::of(&parsed, sign).await?;
        Ok(Self { url, is_local: is_local(&parsed), authorization })
    }

    fn unreachable(&self) -> String {
        let question = if self.is_local { ": is `time-traveler up` running?" } else { "" };
        format!("{} cannot be reached{question}", self.url)
    }
}

/// Whether a URL's host is this machine's loopback interface.
fn is_local(url: &Url) -> bool {
    matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

pub(crate) struct Client {
    /// The REST API: pictures.
    images: Api,
    /// The HTTP API: jobs.
    jobs: Api,
    http: reqwest::Client,
}

impl Client {
    pub(crate) async fn new(addresses: &ApiAddresses) -> anyhow::Result<Self> {
        let ApiAddresses { api, jobs_api, sign } = addresses;
        let images = Api::new("--api", api, sign.as_deref()).await?;
        let jobs = Api::new("--jobs-api", jobs_api.as_ref().unwrap_or(api), sign.as_deref()).await?;
        let builder = reqwest::Client::builder().connect_timeout(CONNECT);
        // A proxy cannot reach this machine's loopback interface.
        let builder = if images.is_local && jobs.is_local { builder.no_proxy() } else { builder };
        Ok(Self { images, jobs, http: builder.build().context("the HTTP client cannot start")? })
    }

    /// Authorizes a request to an API and sends it.
    async fn send(&self, api: &Api, request: RequestBuilder) -> anyhow::Result<Response> {
        let mut request = request.build()?;
        api.authorization.authorize(&mut request).await?;
        self.http.execute(request).await.with_context(|| api.unreachable())
    }

    /// Uploads a picture to the REST API, or by a presigned URL if it is too large for that.
    pub(crate) async fn upload(&self, photo: &Photo, ages: Option<&Ages>) -> anyhow::Result<Expected> {
        let before = self.job(&photo.id, 0).await?;
        // The signature covers the comma in its encoded form.
        let query = ages.map(|ages| format!("?ages={}", ages.to_string().replace(',', "%2C"))).unwrap_or_default();
        let answer = if photo.bytes.len() as u64 <= MAX_PUT_BYTES {
            let put = self.put(&format!("{}/images/{}{query}", self.images.url, photo.id), photo);
            good(self.send(&self.images, put).await?).await?
        } else {
            let url = format!("{}/uploads/{}{query}", self.jobs.url, photo.id);
            let signed = good(self.send(&self.jobs, self.http.post(url)).await?).await?;
            let signed: PresignedUpload = signed.json().await.context("the presigned upload cannot be read")?;
            let mut put = self.put(&signed.url, photo);
            for (name, value) in &signed.headers {
                put = put.header(name, value);
            }
            good(put.send().await.context("S3 cannot be reached")?).await?
        };
        let etag = answer
            .headers()
            .get(ETAG)
            .and_then(|etag| etag.to_str().ok())
            .context("the answer to the upload has no ETag")?;
        Ok(Expected { id: photo.id.clone(), etag: etag.to_owned(), before })
    }

    fn put(&self, url: &str, photo: &Photo) -> RequestBuilder {
        self.http.put(url).header(CONTENT_TYPE, photo.media_type.as_str()).body(photo.bytes.clone())
    }

    /// The job of a portrait; `None` if there is none. The API may hold the request for `wait` seconds.
    async fn job(&self, id: &PortraitId, wait: u64) -> anyhow::Result<Option<JobView>> {
        let url = format!("{}/jobs/{id}?wait={wait}", self.jobs.url);
        let answer = self.send(&self.jobs, self.http.get(url)).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(good(answer).await?.json().await.context("the job cannot be read")?))
    }

    /// Waits until the job of an upload is final, and calls `seen` with each state on the way.
    pub(crate) async fn wait(&self, expected: &Expected, seen: &mut impl FnMut(&JobView)) -> anyhow::Result<JobView> {
        let mut failures = 0;
        let mut replaced = None;
        let mut missing = None;
        let mut wait = SHORT_WAIT;
        let mut pause = Duration::from_millis(20);
        loop {
            match self.job(&expected.id, wait).await {
                Ok(Some(job)) if expected.is(&job) => {
                    seen(&job);
                    wait = if job.status == Status::Processing { WAIT } else { SHORT_WAIT };
                    if job.status.is_final() {
                        return Ok(job);
                    }
                    failures = 0;
                    continue;
                }
                // The job of a simultaneous upload may be there for a moment, until this upload's event has arrived.
                Ok(Some(job)) if expected.is_replaced_by(&job) => {
                    if replaced.get_or_insert_with(Instant::now).elapsed() > REPLACED {
                        bail!("a newer upload under the id {} took the place of this one", expected.id);
                    }
                }
                Ok(Some(_)) => failures = 0,
                Ok(None) => {
                    if missing.get_or_insert_with(Instant::now).elapsed() > MISSING {
                        bail!("there is no job {}: was it deleted?", expected.id);
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

    /// Fetches a file of the REST API in parts.
    async fn fetch(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let range = format!("bytes={}-{}", bytes.len(), bytes.len() as u64 + PART - 1);
            let get = self.http.get(format!("{}{path}", self.images.url)).header(RANGE, range);
            let answer = good(self.send(&self.images, get).await?).await?;
            let partial = answer.status() == StatusCode::PARTIAL_CONTENT;
            let total = answer.headers().get(CONTENT_RANGE).and_then(|range| {
                let (_, total) = range.to_str().ok()?.rsplit_once('/')?;
                total.parse::<u64>().ok()
            });
            let part = answer.bytes().await.with_context(|| format!("{path} breaks off"))?;
            if !partial {
                return Ok(part.into());
            }
            bytes.extend_from_slice(&part);
            match total {
                Some(total) if total > bytes.len() as u64 && !part.is_empty() => {}
                Some(total) if total == bytes.len() as u64 => return Ok(bytes),
                _ => {
                    bail!("{path} was answered with another range than the requested one, after {} bytes", bytes.len())
                }
            }
        }
    }

    /// Fetches the images of a job in their order, then its strip, into a folder.
    pub(crate) async fn download(&self, job: &JobView, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let strip = format!("/{}", pipeline::keys::strip(&job.id, &job.revision));
        let mut files = Vec::new();
        for path in job.images.iter().map(|image| image.path.as_str()).chain([strip.as_str()]) {
            let bytes = self.fetch(path).await?;
            let name = path.rsplit('/').next().unwrap_or(strip::MEDIA_TYPE);
            files.push(output_folder::write(folder, name, &bytes)?);
        }
        Ok(files)
    }
}

/// The answer if it is a success, else its message as an error.
async fn good(answer: Response) -> anyhow::Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let url = answer.url().path().to_owned();
    let text = answer.text().await.unwrap_or_default();
    if let Ok(error) = serde_json::from_str::<JobError>(&text) {
        bail!("{error}");
    }
    let message = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|body| body["message"].as_str().map(str::to_owned))
        .unwrap_or(text);
    bail!("{url} answered {status}: {message}")
}
