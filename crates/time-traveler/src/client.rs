//! A client of both APIs, of any deployment.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use pipeline::{
    Ages, ImageType, JobError, JobView, MAX_PUT_BYTES, MAX_UPLOAD_BYTES, PortraitId, Revision, Status, strip,
};
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use crate::authorization::Authorization;
use crate::output;

/// How long a request for a job may be held, in seconds: until it is final, whatever it becomes meanwhile.
const WAIT: u64 = 20;
/// The same for a job that is not worked on yet, so that it is seen when it is.
const SHORT_WAIT: u64 = 1;
/// How often in a row looking for a job may fail: its work goes on meanwhile.
const FAILURES: u32 = 5;
/// How long a job of another upload may stand in this one's place before this one is given up.
const REPLACED: Duration = Duration::from_secs(10);
/// How long there may be no job.
const MISSING: Duration = Duration::from_secs(60);
/// Bytes that are asked for at once: API Gateway answers with 10 MB at most, and a strip has more.
const PART: u64 = 8 << 20;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// A picture to send.
#[derive(Clone, Debug)]
pub(crate) struct Photo {
    pub(crate) id: PortraitId,
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: ImageType,
}

impl Photo {
    /// Reads a picture, named by its file unless it gets a name.
    pub(crate) fn read(path: &Path, id: Option<PortraitId>) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("the photo {} cannot be read", path.display()))?;
        let size = bytes.len() as u64;
        if size > MAX_UPLOAD_BYTES {
            bail!("{} has {size} bytes: {MAX_UPLOAD_BYTES} are the most", path.display());
        }
        let media_type = ImageType::sniff(&bytes)
            .with_context(|| format!("{} is no picture that can be sent: JPEG, PNG and WebP can", path.display()))?;
        Ok(Self { id: id.unwrap_or_else(|| output::id_of(path)), bytes, media_type })
    }
}

/// What an upload is to become.
#[derive(Debug)]
pub(crate) struct Expected {
    id: PortraitId,
    etag: String,
    /// The job as it was before, which may be seen a little longer.
    before: Option<JobView>,
}

impl Expected {
    /// Whether a job is the one of the upload, and not an earlier one under the same id.
    fn is(&self, job: &JobView) -> bool {
        let ages = job.ages.as_ref().map(Ages::to_string);
        let same_work = ages.is_some_and(|ages| Revision::new(&self.etag, &ages) == job.revision);
        let unchanged = self.before.as_ref().is_some_and(|before| before.created_at == job.created_at);
        // Work that failed or was cancelled before is begun anew, as another job.
        let ended_before = matches!(job.status, Status::Failed | Status::Cancelled) && unchanged;
        same_work && !ended_before
    }

    /// Whether a job is of a later upload under the same id.
    fn is_replaced_by(&self, job: &JobView) -> bool {
        self.before.as_ref().is_none_or(|before| before.created_at < job.created_at) && !self.is(job)
    }
}

/// What `POST /uploads/{id}` answers.
#[derive(Debug, Deserialize)]
struct PresignedUpload {
    url: String,
    headers: std::collections::HashMap<String, String>,
}

/// The address of an API, and how it is asked.
struct Api {
    url: String,
    authorization: Authorization,
}

impl Api {
    async fn new(option: &str, url: &str, sign: Option<&str>) -> anyhow::Result<Self> {
        let url = url.trim_end_matches('/').to_owned();
        let parsed = Url::parse(&url).with_context(|| format!("{option} {url:?} is no URL"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            bail!("{option} {url:?} is no http or https URL");
        }
        Ok(Self { authorization: Authorization::of(&parsed, sign).await?, url })
    }

    fn is_here(&self) -> bool {
        let url = Url::parse(&self.url).ok();
        url.is_some_and(|url| matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")))
    }

    fn unreachable(&self) -> String {
        let question = if self.is_here() { ": is `time-traveler up` running?" } else { "" };
        format!("{} cannot be reached{question}", self.url)
    }
}

pub(crate) struct Client {
    /// The REST API: pictures.
    images: Api,
    /// The HTTP API: jobs.
    jobs: Api,
    http: reqwest::Client,
}

impl Client {
    /// Of the REST API at `api` and the HTTP API at `jobs_api`. `sign` names the region for which requests are signed.
    pub(crate) async fn new(api: &str, jobs_api: &str, sign: Option<&str>) -> anyhow::Result<Self> {
        let images = Api::new("--api", api, sign).await?;
        let jobs = Api::new("--jobs-api", jobs_api, sign).await?;
        let builder = reqwest::Client::builder().connect_timeout(CONNECT);
        // A proxy cannot reach this machine's own loopback interface.
        let builder = if images.is_here() && jobs.is_here() { builder.no_proxy() } else { builder };
        Ok(Self { images, jobs, http: builder.build().context("the HTTP client cannot start")? })
    }

    /// Sends a request to an API, authorized as that needs it.
    async fn send(&self, api: &Api, request: RequestBuilder) -> anyhow::Result<Response> {
        let mut request = request.build()?;
        api.authorization.authorize(&mut request).await?;
        self.http.execute(request).await.with_context(|| api.unreachable())
    }

    /// Uploads a picture: as it is, or by a presigned URL where it is too large for the REST API.
    pub(crate) async fn upload(&self, photo: &Photo, ages: Option<&Ages>) -> anyhow::Result<Expected> {
        let before = self.job(&photo.id, 0).await?;
        // Encoded as a signature is made over it.
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
        let etag = answer.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).context("the upload got no ETag")?;
        Ok(Expected { id: photo.id.clone(), etag: etag.to_owned(), before })
    }

    fn put(&self, url: &str, photo: &Photo) -> RequestBuilder {
        self.http.put(url).header(CONTENT_TYPE, photo.media_type.as_str()).body(photo.bytes.clone())
    }

    /// The job of a portrait, waited for so many seconds at most; `None` if there is none.
    async fn job(&self, id: &PortraitId, wait: u64) -> anyhow::Result<Option<JobView>> {
        let url = format!("{}/jobs/{id}?wait={wait}", self.jobs.url);
        let answer = self.send(&self.jobs, self.http.get(url)).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(good(answer).await?.json().await.context("the job cannot be read")?))
    }

    /// Waits until the job of an upload is final. `seen` is told of every state on the way.
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
                // One that was sent at the same time may be seen for a moment, until this one's event has arrived.
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
            // An earlier job under the id is final at once: it must not be asked for without pause.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Fetches a file of the REST API, part by part.
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
                _ => bail!("{path} was not answered by the part that was asked for, after {} bytes", bytes.len()),
            }
        }
    }

    /// Fetches every image of a job in its order, and then its strip, into a folder.
    pub(crate) async fn download(&self, job: &JobView, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let strip = format!("/{}", pipeline::keys::strip(&job.id, &job.revision));
        let mut files = Vec::new();
        for path in job.images.iter().map(|image| image.path.as_str()).chain([strip.as_str()]) {
            let bytes = self.fetch(path).await?;
            let name = path.rsplit('/').next().unwrap_or(strip::MEDIA_TYPE);
            files.push(output::write(folder, name, &bytes)?);
        }
        Ok(files)
    }
}

/// The answer, if it is a success; else what it says went wrong.
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
