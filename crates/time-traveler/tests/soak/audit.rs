//! The invariants after a soak, checked from outside: records, objects, pictures, invocations.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use futures::{StreamExt, stream};
use pipeline::{InferenceId, PortraitKey, Revision, Status, Timestamp, keys};
use serde_json::Value;

use crate::client::{AGE, Client, Expected, Story};

/// The longest time from a job's creation to its end: pending, in SageMaker's queue, in the model, and one round of the
/// sweep.
pub(crate) const DEADLINE_SECONDS: i64 = 3600 + 3600 + 900 + 60 + 600;
/// The largest error of a JPEG's flat colour, in levels.
const TOLERANCE: u8 = 4;

/// A violation of an invariant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    /// The name of the invariant.
    pub(crate) rule: &'static str,
    pub(crate) id: String,
    seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.rule, self.id, self.seen)
    }
}

fn violation(rule: &'static str, id: &str, seen: impl Into<String>) -> Violation {
    Violation { rule, id: id.to_owned(), seen: seen.into() }
}

/// A job's record in the table.
pub(crate) struct Record {
    revision: String,
    pub(crate) status: String,
    error: Option<String>,
    seconds: i64,
    /// In milliseconds since 1970.
    pub(crate) ended: i64,
    pub(crate) is_settled: bool,
}

/// Repeats a request until it succeeds, since faults also strike the audit's requests.
async fn until_answered<T, E>(mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    loop {
        if let Ok(answer) = ask().await {
            return answer;
        }
    }
}

/// Every record of the table.
pub(crate) async fn records(client: &Client) -> BTreeMap<String, Record> {
    let dynamodb = aws_sdk_dynamodb::Client::new(&client.aws);
    let mut records = BTreeMap::new();
    let items = until_answered(async || {
        dynamodb.scan().table_name("jobs").consistent_read(true).into_paginator().items().send().try_collect().await
    });
    let items: Vec<HashMap<String, AttributeValue>> = items.await;
    // A complete deletion leaves an item that is no job.
    for item in items.into_iter().filter(|item| !item.contains_key("deletedAt")) {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        let time = |name: &str| text(name).unwrap().parse::<Timestamp>().unwrap().as_millis();
        let error = item.get("error").and_then(|error| error.as_m().ok()?.get("code")?.as_s().ok().cloned());
        let is_deleted = matches!(item.get("deletingUntil"), Some(AttributeValue::S(_)));
        let status = text("status").unwrap();
        let is_settled = !["PENDING", "PROCESSING"].contains(&status.as_str()) && !is_deleted;
        let ended = time("updatedAt");
        let seconds = (ended - time("createdAt")) / 1000;
        records.insert(
            text("id").unwrap(),
            Record { revision: text("revision").unwrap(), status, error, seconds, ended, is_settled },
        );
    }
    records
}

/// Every object of both buckets.
pub(crate) async fn objects(client: &Client) -> BTreeSet<String> {
    let s3 = aws_sdk_s3::Client::new(&client.aws);
    let mut keys = BTreeSet::new();
    for bucket in ["portraits", "time-traveler"] {
        let pages =
            until_answered(async || s3.list_objects_v2().bucket(bucket).into_paginator().send().try_collect().await);
        let pages: Vec<ListObjectsV2Output> = pages.await;
        keys.extend(pages.iter().flat_map(|page| page.contents()).map(|object| object.key().unwrap().to_owned()));
    }
    keys
}

/// The objects that no record owns.
pub(crate) fn orphans(objects: &BTreeSet<String>, records: &BTreeMap<String, Record>) -> Vec<String> {
    let owned = |key: &String| match keys::portrait(key)
        .map(|id| id.to_string())
        .or_else(|| key.strip_prefix("uploads/").map(str::to_owned))
    {
        Some(id) => records.contains_key(&id),
        None => false,
    };
    objects.iter().filter(|key| !owned(key)).cloned().collect()
}

/// The events of a soak, by the cloud's own log.
pub(crate) struct History {
    lines: Vec<Value>,
    log: PathBuf,
}

impl History {
    pub(crate) fn read(data: &Path) -> Self {
        let log = data.join("logs/faults.log");
        let text = std::fs::read_to_string(&log).unwrap();
        Self { lines: text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(), log }
    }

    /// The number of times that each fault struck.
    pub(crate) fn faults(&self) -> BTreeMap<String, usize> {
        let mut faults = BTreeMap::new();
        for fault in self.lines.iter().filter_map(|line| line["fault"].as_str()) {
            *faults.entry(fault.to_owned()).or_default() += 1;
        }
        faults
    }

    /// All events of a portrait, for a failed test's message.
    pub(crate) fn of(&self, id: &str) -> String {
        let lines = self.lines.iter().filter(|line| line["what"].as_str().is_some_and(|what| what.contains(id)));
        let lines: Vec<String> = lines.map(Value::to_string).collect();
        format!("{}\n(from {})", lines.join("\n"), self.log.display())
    }

    /// The number of accepted invocations of each inference.
    fn invocations(&self) -> HashMap<String, usize> {
        let mut accepted = HashMap::new();
        for line in &self.lines {
            let what = line["what"].as_str().unwrap_or_default();
            let done = line["outcome"].as_str().is_some_and(|outcome| outcome.contains("202"));
            if let Some(id) = what.strip_prefix("sagemaker:async-invocations ").filter(|_| done) {
                *accepted.entry(id.to_owned()).or_default() += 1;
            }
        }
        accepted
    }

    /// The number of interruptions of each portrait's requests and functions. `names`: the ids of portraits by their names in
    /// inference ids.
    fn interruptions(&self, names: &HashMap<String, String>) -> HashMap<String, usize> {
        let mut portraits: HashMap<&str, HashSet<&str>> = HashMap::new();
        let mut deaths: HashMap<&str, usize> = HashMap::new();
        let mut interruptions: HashMap<String, usize> = HashMap::new();
        for line in &self.lines {
            let (what, by) = (line["what"].as_str().unwrap_or_default(), line["by"].as_str());
            let id = what.find("portrait-").and_then(|start| what.get(start..start + "portrait-000000".len()));
            let named = || what.split([' ', ':']).find_map(|word| names.get(word)).map(String::as_str);
            let id = id.or_else(named);
            if let (Some(id), Some(by)) = (id, by) {
                portraits.entry(by).or_default().insert(id);
            }
            match (line["fault"].as_str(), by, id) {
                (Some("kill" | "hang"), Some(by), _) => *deaths.entry(by).or_default() += 1,
                (Some(_), Some(_), Some(id)) => *interruptions.entry(id.to_owned()).or_default() += 1,
                _ => {}
            }
        }
        for (by, deaths) in deaths {
            for id in portraits.get(by).into_iter().flatten() {
                *interruptions.entry((*id).to_owned()).or_default() += deaths;
            }
        }
        interruptions
    }
}

/// All violations of invariants.
pub(crate) async fn audit(client: &Client, stories: &[Story], history: &History) -> Vec<Violation> {
    let (records, objects) = (records(client).await, objects(client).await);
    let mut violations = Vec::new();
    for story in stories {
        violations.extend(check_record(story, records.get(&client.key(&story.id))));
    }
    violations.extend(orphans(&objects, &records).into_iter().map(|key| violation("orphans", &key, "has no owner")));
    let successes = stories.iter().filter(|story| story.expected == Expected::Success);
    let seen = stream::iter(successes).map(async |story| check_pictures(client, story).await).buffer_unordered(16);
    violations.extend(seen.collect::<Vec<_>>().await.into_iter().flatten());
    let gone = stories.iter().filter(|story| story.expected == Expected::Gone);
    let seen = stream::iter(gone).map(async |story| check_gone(client, story).await).buffer_unordered(16);
    violations.extend(seen.collect::<Vec<_>>().await.into_iter().flatten());
    violations.extend(check_invocations(client, history, stories));
    violations.sort();
    violations
}

/// Checks the state, the revision and the duration of a record.
fn check_record(story: &Story, record: Option<&Record>) -> Option<Violation> {
    let id = &story.id;
    let Some(record) = record else {
        let expected = story.expected == Expected::Gone;
        return (!expected).then(|| violation("lost", id, format!("{:?}: there is no record", story.kind)));
    };
    if story.expected == Expected::Gone {
        let error = record.error.as_deref().unwrap_or_default();
        return Some(violation("gone", id, format!("{:?}: {} {error} after the deletion", story.kind, record.status)));
    }
    if story.revision.as_ref().is_none_or(|revision| revision.as_str() != record.revision) {
        return Some(violation(
            "newest",
            id,
            format!("{:?}: {} is not the newest revision", story.kind, record.revision),
        ));
    }
    if !record.is_settled {
        return Some(violation("stuck", id, format!("{:?}: still {}", story.kind, record.status)));
    }
    if record.seconds > DEADLINE_SECONDS {
        return Some(violation("deadline", id, format!("{:?}: ended after {} s", story.kind, record.seconds)));
    }
    let error = record.error.as_deref().unwrap_or_default();
    let right = match &story.expected {
        Expected::Success => record.status == Status::Success.as_str(),
        Expected::Failed(codes) => record.status == Status::Failed.as_str() && codes.contains(&error),
        Expected::Cancelled => record.status == Status::Cancelled.as_str(),
        Expected::Gone => unreachable!("a record of a deleted portrait is found above"),
    };
    let seen = || format!("{:?}: {} {error}, not {:?}", story.kind, record.status, story.expected);
    (!right).then(|| violation("outcome", id, seen()))
}

/// Checks that the API shows nothing of a deleted portrait.
async fn check_gone(client: &Client, story: &Story) -> Option<Violation> {
    let job = client.job(&story.id).await?;
    Some(violation("gone", &story.id, format!("{:?}: the API shows {:?}", story.kind, job.status)))
}

/// Checks that a client's list has the portraits of its stories, each once with the newest revision, and no others.
pub(crate) async fn check_list(client: &Client, stories: &[Story]) -> Vec<Violation> {
    let (mut listed, mut cursor) = (Vec::new(), Some(String::new()));
    while let Some(after) = cursor {
        let page: Value = until_answered(async || {
            let page = client.http.get(format!("{}/jobs?limit=7&cursor={after}", client.api)).send().await;
            page.and_then(reqwest::Response::error_for_status)?.json().await
        })
        .await;
        let text = |job: &Value, name: &str| job[name].as_str().unwrap().to_owned();
        listed.extend(page["jobs"].as_array().unwrap().iter().map(|job| (text(job, "id"), text(job, "revision"))));
        cursor = page["cursor"].as_str().map(str::to_owned);
    }
    let kept = stories.iter().filter(|story| story.expected != Expected::Gone);
    let mut expected: Vec<(String, String)> =
        kept.map(|story| (story.id.clone(), story.revision.as_ref().unwrap().to_string())).collect();
    listed.sort();
    expected.sort();
    (listed != expected)
        .then(|| violation("list", "all", format!("{listed:?}, not {expected:?}")))
        .into_iter()
        .collect()
}

/// Checks that all pictures exist, can be decoded, and show the newest photograph.
async fn check_pictures(client: &Client, story: &Story) -> Option<Violation> {
    let job = client.job(&story.id).await.filter(|job| job.status == Status::Success)?;
    if job.images.len() != 2 {
        return Some(violation("pictures", &story.id, format!("{} pictures", job.images.len())));
    }
    for (image, age) in job.images.iter().zip([0, AGE]) {
        let answer = client.http.get(format!("{}{}", client.api, image.path)).send().await.unwrap();
        let status = answer.status();
        let bytes = answer.bytes().await.unwrap();
        if !status.is_success() {
            return Some(violation("pictures", &story.id, format!("{}: {status}", image.path)));
        }
        let wanted = story.colour.map(|level| level + age);
        if let Err(seen) = is_flat(&bytes, wanted) {
            return Some(violation("pictures", &story.id, format!("{}: {seen}", image.path)));
        }
    }
    let strip = format!("{}/images/{}/{}/strip.npy", client.api, story.id, job.revision);
    let answer = client.http.get(strip).header("range", "bytes=0-127").send().await.unwrap();
    (answer.status() != 206).then(|| violation("pictures", &story.id, format!("strip.npy: {}", answer.status())))
}

/// A file, and its colour.
type Panel = (Vec<u8>, [u8; 3]);

/// Checks that a file is a panel of one colour. Panels of the same colour are the same file, so few are decoded.
fn is_flat(bytes: &[u8], colour: [u8; 3]) -> Result<(), String> {
    static KNOWN: LazyLock<Mutex<HashSet<Panel>>> = LazyLock::new(Mutex::default);
    let panel = (bytes.to_vec(), colour);
    if KNOWN.lock().unwrap().contains(&panel) {
        return Ok(());
    }
    let picture = image::load_from_memory(bytes).map_err(|error| error.to_string())?.to_rgb8();
    if picture.dimensions() != (1024, 1024) {
        return Err(format!("{:?} pixels", picture.dimensions()));
    }
    let far = |pixel: &image::Rgb<u8>| pixel.0.iter().zip(colour).any(|(a, b)| a.abs_diff(b) > TOLERANCE);
    if let Some(pixel) = picture.pixels().step_by(101).find(|pixel| far(pixel)) {
        return Err(format!("{:?} is not the newest photograph's {colour:?}", pixel.0));
    }
    KNOWN.lock().unwrap().insert(panel);
    Ok(())
}

/// Checks that a revision is invoked once for each upload of it, and again only after an interruption.
fn check_invocations(client: &Client, history: &History, stories: &[Story]) -> Vec<Violation> {
    let key = |story: &Story| client.key(&story.id).parse::<PortraitKey>().unwrap();
    // An invocation for an owner's portrait has a digest in place of its id.
    let name = |story: &Story| {
        let inference_id = InferenceId::new(&key(story), Revision::new("", "")).to_string();
        (inference_id.split(':').next().unwrap().to_owned(), story.id.clone())
    };
    let (invoked, interrupted) = (history.invocations(), history.interruptions(&stories.iter().map(name).collect()));
    let mut violations = Vec::new();
    for story in stories {
        let id = key(story);
        for revision in story.uploads.iter().collect::<HashSet<_>>() {
            let begun = story.uploads.iter().filter(|upload| *upload == revision).count();
            let inference_id = InferenceId::new(&id, revision.clone()).to_string();
            let (invoked, interrupted) =
                (invoked.get(&inference_id).copied().unwrap_or(0), interrupted.get(&story.id).copied().unwrap_or(0));
            if invoked > begun + interrupted {
                let seen = format!(
                    "{:?}: {inference_id} begun {begun} times, interrupted {interrupted}, invoked {invoked}",
                    story.kind
                );
                violations.push(violation("once", &story.id, seen));
            }
        }
    }
    violations
}
