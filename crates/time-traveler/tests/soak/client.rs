//! A client of the two APIs. It repeats failed requests, and records the outcome that each portrait must have.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::Credentials;
use pipeline::{Ages, JobView, Revision};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use tokio::task::JoinSet;

use crate::story::{Kind, colour, id, photograph};

/// How long a client waits for a state before it continues without it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a client polls a job whose end it does not need. The audit checks the end.
const INTEREST: Duration = Duration::from_secs(2);
/// The time between two requests.
const POLL_INTERVAL: Duration = Duration::from_millis(150);
/// The one age of every photograph, so that strips are as small as possible.
pub(crate) const AGE: u8 = 40;

/// A client of one pipeline.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) api: String,
    pub(crate) http: reqwest::Client,
    pub(crate) aws: SdkConfig,
    /// Whose portraits are in the stories; `None`: everybody's.
    owner: Option<String>,
    /// Added to the numbers of portraits where colours are chosen, so that tenants have other photographs under the same ids.
    shift: usize,
    /// The number of running deletions.
    pub(crate) deleting: Arc<AtomicUsize>,
}

/// The outcome that a portrait must have in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Success,
    /// A failure with one of these codes.
    Failed(&'static [&'static str]),
    Cancelled,
    /// No record, no objects.
    Gone,
}

/// A client's actions on one portrait, and their expected outcome.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// The newest upload's revision and colour.
    pub(crate) revision: Option<Revision>,
    pub(crate) colour: [u8; 3],
    /// The revision of every upload, repeats included.
    pub(crate) uploads: Vec<Revision>,
    pub(crate) expected: Expected,
}

impl Client {
    pub(crate) async fn new(api: String, aws: &str) -> Self {
        let aws = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(aws)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("AKIDCLIENT", "whatever", None, None, "test"))
            .retry_config(RetryConfig::standard().with_max_attempts(12).with_initial_backoff(Duration::from_millis(5)))
            .load()
            .await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { api, http, aws, owner: None, shift: 0, deleting: Arc::default() }
    }

    /// A client with the token of a tenant. It uses the same ids as the others, for other photographs.
    pub(crate) fn of_tenant(&self, owner: &str, token: &str, shift: usize) -> Self {
        let bearer = [(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap())];
        let http = reqwest::Client::builder().no_proxy().default_headers(bearer.into_iter().collect());
        Self { http: http.build().unwrap(), owner: Some(owner.to_owned()), shift, ..self.clone() }
    }

    /// The key of a portrait's record.
    pub(crate) fn key(&self, id: &str) -> String {
        self.owner.as_ref().map_or_else(|| id.to_owned(), |owner| format!("{owner}/{id}"))
    }

    /// Uploads a picture until it is accepted, and returns its revision.
    async fn put(&self, id: &str, picture: &[u8]) -> Revision {
        loop {
            let put = self.http.put(format!("{}/images/{id}?ages={AGE}", self.api)).body(picture.to_vec());
            if let Ok(answer) = put.send().await
                && answer.status() == StatusCode::OK
            {
                let etag = answer.headers()["etag"].to_str().unwrap().trim_matches('"').to_owned();
                return revision(&etag, AGE.to_string().as_str());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The job, or `None` if there is no such job. Other answers are retried.
    pub(crate) async fn job(&self, id: &str) -> Option<JobView> {
        loop {
            if let Ok(answer) = self.http.get(format!("{}/jobs/{id}", self.api)).send().await {
                match answer.status() {
                    StatusCode::OK => return Some(answer.json().await.unwrap()),
                    StatusCode::NOT_FOUND => return None,
                    _ => {}
                }
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Whether the job of a revision reaches a wanted state within some time.
    async fn reaches(&self, id: &str, revision: &Revision, within: Duration, wanted: fn(&JobView) -> bool) -> bool {
        let start = Instant::now();
        loop {
            let job = self.job(id).await;
            if job.is_some_and(|job| job.revision == *revision && wanted(&job)) {
                return true;
            }
            if start.elapsed() > within {
                return false;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Deletes or cancels a job, until an answer gives its outcome.
    async fn delete(&self, id: &str) -> Expected {
        loop {
            self.deleting.fetch_add(1, Ordering::SeqCst);
            let answer = self.http.delete(format!("{}/jobs/{id}", self.api)).send().await;
            self.deleting.fetch_sub(1, Ordering::SeqCst);
            match answer.map(|answer| answer.status()) {
                Ok(StatusCode::OK) => return Expected::Cancelled,
                Ok(StatusCode::NO_CONTENT | StatusCode::NOT_FOUND) => return Expected::Gone,
                _ => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// Acts out the story of one portrait.
    async fn act_out(&self, number: usize, kind: Kind) -> Story {
        let id = id(number);
        let colour = |version| colour(number + self.shift, version);
        let first = colour(0);
        let mut story = Story {
            id: id.clone(),
            kind,
            revision: None,
            colour: first,
            uploads: Vec::new(),
            expected: Expected::Success,
        };
        let versions: &[usize] = match kind {
            Kind::Replaced | Kind::ReplacedAndUndone => &[0, 1],
            Kind::ThereAndBack => &[0, 1, 0],
            Kind::Twice => &[0, 0],
            _ => &[0],
        };
        match kind {
            Kind::NoPicture => {
                story.uploads.push(self.put(&id, b"hello").await);
                story.expected = Expected::Failed(&["UNSUPPORTED_IMAGE"]);
            }
            Kind::Truncated => {
                let whole = photograph(first);
                story.uploads.push(self.put(&id, &whole[..whole.len() / 2]).await);
                story.expected = Expected::Failed(&["CORRUPT_IMAGE", "UNSUPPORTED_IMAGE"]);
            }
            Kind::BadAges => {
                story.uploads.push(self.put_with_bad_ages(&id, photograph(first)).await);
                story.expected = Expected::Failed(&["INVALID_AGES"]);
            }
            _ => {
                for (nth, version) in versions.iter().enumerate() {
                    if nth > 0 {
                        // Some uploads arrive while the one before is processed.
                        tokio::time::sleep(Duration::from_millis(number as u64 * 37 % 200)).await;
                    }
                    story.colour = colour(*version);
                    story.uploads.push(self.put(&id, &photograph(story.colour)).await);
                }
            }
        }
        let revision = story.uploads[story.uploads.len() - 1].clone();
        story.revision = Some(revision.clone());
        let ended = |job: &JobView| job.status.is_final();
        match kind {
            Kind::Cancelled | Kind::CancelledAndAgain if self.reaches(&id, &revision, PATIENCE, |_| true).await => {
                story.expected = self.delete(&id).await;
            }
            Kind::Deleted | Kind::DeletedAndAgain if self.reaches(&id, &revision, PATIENCE, ended).await => {
                story.expected = self.delete(&id).await;
            }
            Kind::Undone | Kind::UndoneAndAgain | Kind::ReplacedAndUndone => {
                tokio::time::sleep(Duration::from_millis(number as u64 * 7 % 51)).await;
                // The first answer may be that a running job is cancelled.
                while self.delete(&id).await != Expected::Gone {}
                story.expected = Expected::Gone;
            }
            _ => _ = self.reaches(&id, &revision, INTEREST, ended).await,
        }
        if matches!(kind, Kind::CancelledAndAgain | Kind::DeletedAndAgain | Kind::UndoneAndAgain) {
            story.uploads.push(self.put(&id, &photograph(first)).await);
            story.expected = Expected::Success;
        }
        story
    }

    async fn put_with_bad_ages(&self, id: &str, picture: Vec<u8>) -> Revision {
        let s3 = aws_sdk_s3::Client::new(&self.aws);
        let put = s3.put_object().bucket("portraits").key(format!("uploads/{}", self.key(id))).metadata("ages", "old");
        let put = put.body(picture.into()).send().await.unwrap();
        revision(put.e_tag().unwrap().trim_matches('"'), "old")
    }

    /// Acts out the stories of a seed with many clients at once. With `only`, all stories are of that kind.
    pub(crate) async fn stories(&self, seed: u64, jobs: usize, clients: usize, only: Option<Kind>) -> Vec<Story> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let (client, next) = (self.clone(), Arc::clone(&next));
            tasks.spawn(async move {
                let mut stories = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= jobs {
                        return stories;
                    }
                    stories.push(client.act_out(number, only.unwrap_or_else(|| Kind::of(seed, number))).await);
                }
            });
        }
        tasks.join_all().await.into_iter().flatten().collect()
    }

    /// Redrives dead letters with the command line. Returns the number of events.
    pub(crate) async fn redrive(&self) -> u64 {
        let output = tokio::process::Command::new(crate::binary())
            .args(["redrive", "--json", "--endpoint-url", self.aws.endpoint_url().unwrap()])
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        line["redriven"].as_u64().unwrap()
    }
}

fn revision(etag: &str, ages: &str) -> Revision {
    let written = ages.parse::<Ages>().map_or_else(|_| ages.to_owned(), |ages| ages.to_string());
    Revision::new(etag, &written)
}
