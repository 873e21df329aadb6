//! job-tracker: the HTTP API for jobs, in API Gateway's payload format 2.0.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lambda_runtime::{LambdaEvent, service_fn};
use pipeline::{
    Ages, Job, JobError, MAX_UPLOAD_BYTES, MAX_WAIT_SECONDS, Owner, PortraitId, PortraitKey, Record, Status, excerpt,
    keys,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::caller::RequestContext;
use crate::clients::Clients;
use crate::deletion::{Deletion, Outcome};
use crate::error::HandlerError;
use crate::jobs::{Cursor, Jobs};
use crate::objects::{Objects, UploadBody};
use crate::{Clock, Settings, Tenancy, UploadLength, init_logging};

/// The number of jobs in a page, unless the client sets a limit.
const PAGE: usize = 20;
/// The largest number of jobs in a page.
const MAX_PAGE: usize = 100;
/// The characters of a parameter that a message quotes.
const SHOWN: usize = 60;
/// How long a presigned URL is valid.
const UPLOAD_URL: Duration = Duration::from_secs(15 * 60);
/// The first interval at which a held request reads the job.
const FIRST_INTERVAL: Duration = Duration::from_millis(10);
/// The longest interval. Up to it, an interval is a twentieth of the time that the request has waited: the end is seen late by a fortieth
/// of that time on average.
const LONGEST_INTERVAL: Duration = Duration::from_millis(500);

/// The function, ready to answer requests.
pub struct JobTracker {
    settings: Settings,
    objects: Objects,
    jobs: Jobs,
    clock: Clock,
}

/// The fields that are used of an event in payload format 2.0.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpEvent {
    route_key: String,
    #[serde(default)]
    path_parameters: HashMap<String, String>,
    #[serde(default)]
    query_string_parameters: HashMap<String, String>,
    #[serde(default)]
    request_context: RequestContext,
}

/// An answer in payload format 2.0.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResponse {
    status_code: u16,
    headers: HashMap<&'static str, String>,
    body: String,
}

impl HttpResponse {
    fn json(status_code: u16, body: &impl Serialize) -> Self {
        let headers = [("content-type", "application/json"), ("cache-control", "no-store")];
        let body =
            serde_json::to_string(body).unwrap_or_else(|error| json!({"message": error.to_string()}).to_string());
        Self { status_code, headers: headers.map(|(name, value)| (name, value.to_owned())).into(), body }
    }

    fn empty(status_code: u16) -> Self {
        Self { status_code, headers: HashMap::new(), body: String::new() }
    }

    fn error(status_code: u16, code: &str, message: &str) -> Self {
        Self::json(status_code, &json!({"code": code, "message": message}))
    }

    fn not_found(id: &PortraitId) -> Self {
        Self::error(404, "NOT_FOUND", &format!("there is no job {:?}: PUT /images/{id} starts one", id.as_str()))
    }
}

/// Runs the function until Lambda ends it.
///
/// # Errors
/// Where the environment lacks a setting, or the Runtime API fails.
pub fn main() -> anyhow::Result<()> {
    init_logging();
    let settings = Settings::from_env()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let tracker = Arc::new(JobTracker::new(settings, Clients::from_env().await, Clock::system()));
        let handler = service_fn(move |event: LambdaEvent<Value>| {
            let tracker = Arc::clone(&tracker);
            async move { tracker.handle(event.payload).await }
        });
        lambda_runtime::run(handler).await.map_err(|error| anyhow::anyhow!(error).context("the Lambda runtime failed"))
    })
}

impl JobTracker {
    /// The function with these clients.
    pub fn new(settings: Settings, clients: Clients, clock: Clock) -> Self {
        Self { jobs: Jobs::new(clients.dynamodb, &settings), objects: Objects::new(clients.s3), settings, clock }
    }

    /// Answers an event in payload format 2.0.
    ///
    /// # Errors
    /// [`HandlerError`]: an AWS service failed. API Gateway then answers 500.
    pub async fn handle(&self, event: Value) -> Result<HttpResponse, HandlerError> {
        let event = match HttpEvent::deserialize(event) {
            Ok(event) => event,
            Err(error) => return Ok(HttpResponse::error(400, "BAD_REQUEST", &error.to_string())),
        };
        // Whose portraits the request is about follows from the gateway's word alone, and from nothing that a client writes.
        let named = event.query_string_parameters.get("owner").map(String::as_str);
        let owner = match self.settings.tenancy {
            Tenancy::Shared => None,
            Tenancy::Owner => match event.request_context.owner(named, &self.settings.admin_group) {
                Ok(owner) => Some(owner),
                Err(error) => return Ok(HttpResponse::error(403, "FORBIDDEN", &error.to_string())),
            },
        };
        if event.route_key == "GET /jobs" {
            return self.list(owner.as_ref(), &event.query_string_parameters).await;
        }
        let id = event.path_parameters.get("id").map(String::as_str).unwrap_or_default();
        let id = match id.parse::<PortraitId>() {
            Ok(id) => PortraitKey::new(owner, id),
            Err(error) => return Ok(HttpResponse::error(400, "INVALID_ID", &error.to_string())),
        };
        match event.route_key.as_str() {
            "GET /jobs/{id}" => self.get(&id, &event.query_string_parameters).await,
            "DELETE /jobs/{id}" => self.delete(&id).await,
            "POST /uploads/{id}" => self.presign(&id, &event.query_string_parameters).await,
            other => Ok(HttpResponse::error(404, "NOT_FOUND", &format!("there is no route {other:?}"))),
        }
    }

    /// `GET /jobs/{id}?wait=20`
    async fn get(&self, id: &PortraitKey, query: &HashMap<String, String>) -> Result<HttpResponse, HandlerError> {
        let wait = match query.get("wait").map(|text| text.parse::<u64>().map_err(|_| text)) {
            None => 0,
            Some(Ok(seconds)) => seconds.min(MAX_WAIT_SECONDS),
            Some(Err(text)) => {
                let message = format!("wait is {:?}: 0 to {MAX_WAIT_SECONDS} seconds would work", excerpt(text, SHOWN));
                return Ok(HttpResponse::error(400, "BAD_REQUEST", &message));
            }
        };
        let start = Instant::now();
        loop {
            let job = self.jobs.get(id).await?.and_then(Record::into_job);
            let is_final = job.as_ref().is_some_and(|job| job.status.is_final());
            let pause = (start.elapsed() / 20).clamp(FIRST_INTERVAL, LONGEST_INTERVAL);
            if is_final || start.elapsed() + pause > Duration::from_secs(wait) {
                let found = job.map(|job| HttpResponse::json(200, &job.view()));
                return Ok(found.unwrap_or_else(|| HttpResponse::not_found(id.id())));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// `GET /jobs?status=&limit=&cursor=`
    async fn list(&self, owner: Option<&Owner>, query: &HashMap<String, String>) -> Result<HttpResponse, HandlerError> {
        let (status, limit, cursor) = match list_query(query) {
            Ok(parsed) => parsed,
            Err(message) => return Ok(HttpResponse::error(400, "BAD_REQUEST", &message)),
        };
        let (jobs, next) = self.jobs.page(owner, status, limit, cursor.as_ref()).await?;
        let views: Vec<_> = jobs.iter().map(Job::view).collect();
        Ok(HttpResponse::json(200, &json!({"jobs": views, "cursor": next.as_ref().map(encode_cursor)})))
    }

    /// `DELETE /jobs/{id}`: cancels a running job, or removes the record and every object of one that has ended.
    async fn delete(&self, id: &PortraitKey) -> Result<HttpResponse, HandlerError> {
        let Self { settings, objects, jobs, clock } = self;
        Ok(match (Deletion { settings, objects, jobs, clock }).delete(id).await? {
            Outcome::Nothing => HttpResponse::not_found(id.id()),
            Outcome::Cancelled(job) => HttpResponse::json(200, &job.view()),
            Outcome::Deleted => HttpResponse::empty(204),
            Outcome::Busy => {
                HttpResponse::error(409, "CONFLICT", "the job is being deleted already: it will be gone in a minute")
            }
        })
    }

    /// `POST /uploads/{id}?ages=&length=&type=`: presigns the PUT of a picture that is too large for the REST API. With length and
    /// media type, the URL takes no other body.
    async fn presign(&self, id: &PortraitKey, query: &HashMap<String, String>) -> Result<HttpResponse, HandlerError> {
        // The default of this moment: the upload may be accepted after the default has changed.
        let ages = match query.get("ages").map(|text| text.parse::<Ages>()).transpose() {
            Ok(ages) => ages.unwrap_or_else(|| self.settings.default_ages.clone()),
            Err(error) => {
                let error = JobError::new(pipeline::ErrorCode::InvalidAges, error.to_string());
                return Ok(HttpResponse::json(400, &error));
            }
        };
        let body = match upload_body(query) {
            Ok(UploadBody { length: None, .. }) if self.settings.upload_length == UploadLength::Required => {
                let message = format!("the upload has no length: POST /uploads/{}?length=BYTES would work", id.id());
                return Ok(HttpResponse::error(400, "BAD_REQUEST", &message));
            }
            Ok(body) => body,
            Err(message) => return Ok(HttpResponse::error(400, "BAD_REQUEST", &message)),
        };
        let metadata = HashMap::from([(keys::AGES_METADATA.to_owned(), ages.to_string())]);
        let (bucket, key) = (&self.settings.input_bucket, keys::upload(id));
        let signed = self.objects.presign_put(bucket, &key, metadata, &body, UPLOAD_URL).await?;
        // The SDK adds the trace id of this Lambda request, which clients have no use for. They all send the length by themselves.
        let is_sent = |name: &str| name.starts_with("x-amz-") || name == "content-type";
        let headers: HashMap<&str, &str> = signed.headers().filter(|(name, _)| is_sent(name)).collect();
        let expires_at = self.clock.now().plus_seconds(UPLOAD_URL.as_secs().try_into().unwrap_or(0));
        let answer = json!({
            "url": signed.uri(), "method": signed.method(), "headers": headers, "expiresAt": expires_at,
            "ages": ages,
        });
        Ok(HttpResponse::json(200, &answer))
    }
}

/// What the body of an upload will be, as far as its sender says.
fn upload_body(query: &HashMap<String, String>) -> Result<UploadBody, String> {
    let bytes = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let length = match query.get("length") {
        None => None,
        Some(text) => match bytes(text) {
            Some(length) if (1..=MAX_UPLOAD_BYTES).contains(&length) => i64::try_from(length).ok(),
            _ => return Err(format!("length is {:?}: 1 to {MAX_UPLOAD_BYTES} bytes would work", excerpt(text, SHOWN))),
        },
    };
    let media_type = query.get("type");
    let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    let is_type = |text: &str| {
        text.len() <= 100 && text.split_once('/').is_some_and(|(kind, subtype)| is_word(kind) && is_word(subtype))
    };
    if let Some(text) = media_type.filter(|text| !is_type(text)) {
        return Err(format!("type is {:?}: a media type such as image/jpeg would work", excerpt(text, SHOWN)));
    }
    Ok(UploadBody { length, media_type: media_type.cloned() })
}

type ListQuery = (Option<Status>, usize, Option<Cursor>);

fn list_query(query: &HashMap<String, String>) -> Result<ListQuery, String> {
    let given = |name: &str| query.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let status = match given("status") {
        None => None,
        Some(text) => match Status::ALL.into_iter().find(|status| status.as_str() == text) {
            Some(status) => Some(status),
            None => {
                let known = Status::ALL.map(Status::as_str).join(", ");
                return Err(format!("status is {:?}: {known} would work", excerpt(text, SHOWN)));
            }
        },
    };
    let limit = match given("limit") {
        None => PAGE,
        Some(text) => match text.parse::<usize>() {
            Ok(limit) if (1..=MAX_PAGE).contains(&limit) => limit,
            _ => return Err(format!("limit is {:?}: 1 to {MAX_PAGE} would work", excerpt(text, SHOWN))),
        },
    };
    let cursor = match given("cursor") {
        None => None,
        Some(text) => match decode_cursor(text) {
            Some(cursor) => Some(cursor),
            None => return Err(format!("cursor is {:?}: the one in the last answer would work", excerpt(text, SHOWN))),
        },
    };
    Ok((status, limit, cursor))
}

fn encode_cursor(cursor: &Cursor) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {}", cursor.created_at, cursor.id))
}

fn decode_cursor(text: &str) -> Option<Cursor> {
    let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (created_at, id) = decoded.split_once(' ')?;
    created_at.parse::<pipeline::Timestamp>().ok()?;
    id.parse::<PortraitId>().ok()?;
    Some(Cursor { created_at: created_at.to_owned(), id: id.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_body_of_an_upload_is_what_its_sender_says() {
        let none = upload_body(&query(&[])).unwrap();
        assert_eq!((none.length, none.media_type), (None, None));
        let said = upload_body(&query(&[("length", "52428800"), ("type", "image/png")])).unwrap();
        assert_eq!((said.length, said.media_type.as_deref()), (Some(52_428_800), Some("image/png")));
        for bad in [
            ("length", "0"),
            ("length", "52428801"),
            ("length", "-1"),
            ("length", ""),
            ("type", "png"),
            ("type", "a/\n"),
        ] {
            assert!(upload_body(&query(&[bad])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn list_queries() {
        assert_eq!(list_query(&query(&[])), Ok((None, 20, None)));
        let (status, limit, _) = list_query(&query(&[("status", "FAILED"), ("limit", "100")])).unwrap();
        assert_eq!((status, limit), (Some(Status::Failed), 100));
        for bad in
            [("status", "failed"), ("limit", "0"), ("limit", "101"), ("limit", "x"), ("cursor", "x"), ("cursor", "é")]
        {
            assert!(list_query(&query(&[bad])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn messages_quote_the_value_and_say_what_would_work() {
        let of_upload = |name, value| upload_body(&query(&[(name, value)])).unwrap_err();
        assert_eq!(of_upload("length", "0"), "length is \"0\": 1 to 52428800 bytes would work");
        assert_eq!(of_upload("type", "png"), "type is \"png\": a media type such as image/jpeg would work");
        let of_list = |name, value| list_query(&query(&[(name, value)])).unwrap_err();
        assert_eq!(of_list("limit", "101"), "limit is \"101\": 1 to 100 would work");
        let long = "x".repeat(61);
        let quoted = format!("cursor is \"{}...\": the one in the last answer would work", &long[1..]);
        assert_eq!(of_list("cursor", &long), quoted);
    }

    #[test]
    fn cursors_round_trip() {
        let cursor = Cursor { created_at: "2026-11-21T13:08:00.123Z".into(), id: "ada".into() };
        assert_eq!(decode_cursor(&encode_cursor(&cursor)), Some(cursor));
    }
}
