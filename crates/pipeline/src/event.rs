//! The events that start image-processor, in the JSON that AWS sends.
//!
//! - EventBridge, `Object Created` of `aws.s3` (*EventBridge event message structure*, Amazon S3 User Guide)
//! - S3's own notifications (*Event message structure*, same guide), in which keys are URL-encoded
//! - SNS records around SageMaker's asynchronous inference notices (*Check prediction results*, SageMaker guide)
//! - EventBridge's `Scheduled Event`

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Sequencer;

/// One reason to run: what an event reports. An event may hold several.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// An object was created.
    ObjectCreated(ObjectCreated),
    /// SageMaker ended an invocation.
    InferenceResult(InferenceResult),
    /// A schedule asks for the sweep.
    Sweep,
    /// The schedule [`ORPHANS`] asks for the collection of orphans.
    CollectOrphans,
}

/// The name of the schedule that collects orphans. Any other schedule sweeps.
pub const ORPHANS: &str = "collect-orphans";

/// An object was created in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectCreated {
    /// The bucket's name.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// The ETag, without quotes.
    pub etag: String,
    /// The size in bytes.
    pub size: u64,
    /// The event's place among the events of this key.
    pub sequencer: Sequencer,
    /// Whether the event is replayed from an archive of EventBridge, after the table was restored for instance: what it caused before
    /// may be undone.
    pub replayed: bool,
}

/// SageMaker's notice that an asynchronous invocation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceResult {
    /// `Completed` or `Failed`.
    pub invocation_status: String,
    /// The invocation's id.
    pub inference_id: String,
    /// The parameters of the invocation's request.
    #[serde(default)]
    pub request_parameters: RequestParameters,
    /// The parameters of its response.
    #[serde(default)]
    pub response_parameters: ResponseParameters,
    /// Why it failed, in SageMaker's words.
    #[serde(default)]
    pub failure_reason: Option<String>,
}

/// The part of a notice that repeats the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestParameters {
    /// `s3://` location of the input.
    pub input_location: Option<String>,
    /// The endpoint's name.
    pub endpoint_name: Option<String>,
}

/// The part of a notice that describes the response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseParameters {
    /// The media type the container answered with.
    pub content_type: Option<String>,
    /// `s3://` location of the answer.
    pub output_location: Option<String>,
    /// `s3://` location of the container's error answer.
    pub failure_location: Option<String>,
}

impl InferenceResult {
    /// Whether the container answered with success.
    pub fn completed(&self) -> bool {
        self.invocation_status == "Completed"
    }
}

/// Why an event, or one of its records, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The event is none of the four kinds.
    #[error(
        "the event is of no known kind: EventBridge `Object Created`, S3 notification, SNS and schedule would work: {0}"
    )]
    Unknown(String),
    /// The event is one of the four kinds, but a field is missing or has the wrong type.
    #[error("the {kind} cannot be read")]
    Malformed {
        /// The kind.
        kind: &'static str,
        /// The field's error.
        #[source]
        source: serde_json::Error,
    },
    /// The key in S3's own notification is not URL-encoded UTF-8.
    #[error("the object key {0:?} is not URL-encoded UTF-8")]
    Key(String),
}

/// The triggers in an event. Each is read independently, so that an unreadable one does not lose the others.
///
/// # Errors
/// [`EventError::Unknown`] for an event that is none of the four kinds.
pub fn triggers(event: &Value) -> Result<Vec<Result<Trigger, EventError>>, EventError> {
    match (event["source"].as_str(), event["detail-type"].as_str()) {
        (Some("aws.s3"), Some("Object Created")) => return Ok(vec![eventbridge(event)]),
        (_, Some("Scheduled Event")) => return Ok(vec![Ok(scheduled(event))]),
        _ => {}
    }
    if event["Event"] == "s3:TestEvent" {
        return Ok(Vec::new());
    }
    match event["Records"].as_array() {
        Some(list) => Ok(list.iter().filter_map(|record| trigger(record).transpose()).collect()),
        None => Err(unknown(event)),
    }
}

fn scheduled(event: &Value) -> Trigger {
    let rule = event["resources"][0].as_str().and_then(|arn| arn.rsplit('/').next());
    if rule == Some(ORPHANS) { Trigger::CollectOrphans } else { Trigger::Sweep }
}

/// The trigger in a record; `None` where the record needs no work.
fn trigger(record: &Value) -> Result<Option<Trigger>, EventError> {
    if record["eventSource"] == "aws:s3" {
        s3(record).map(Some)
    } else if record["EventSource"] == "aws:sns" {
        sns(record)
    } else {
        Err(unknown(record))
    }
}

fn unknown(event: &Value) -> EventError {
    EventError::Unknown(event.to_string().chars().take(200).collect())
}

#[derive(Deserialize)]
struct S3Detail {
    bucket: S3Bucket,
    object: S3Object,
}

#[derive(Deserialize)]
struct S3Bucket {
    name: String,
}

#[derive(Deserialize)]
struct S3Object {
    key: String,
    #[serde(default)]
    size: u64,
    #[serde(alias = "eTag")]
    etag: String,
    sequencer: String,
}

impl S3Detail {
    fn created(self, key: String, replayed: bool) -> Trigger {
        Trigger::ObjectCreated(ObjectCreated {
            bucket: self.bucket.name,
            key,
            etag: self.object.etag.trim_matches('"').to_owned(),
            size: self.object.size,
            sequencer: Sequencer::new(&self.object.sequencer),
            replayed,
        })
    }
}

fn eventbridge(event: &Value) -> Result<Trigger, EventError> {
    let detail = S3Detail::deserialize(&event["detail"])
        .map_err(|source| EventError::Malformed { kind: "EventBridge event of S3", source })?;
    let key = detail.object.key.clone();
    // *Archiving and replaying events*, EventBridge User Guide.
    Ok(detail.created(key, event["replay-name"].is_string()))
}

fn s3(record: &Value) -> Result<Trigger, EventError> {
    let detail = S3Detail::deserialize(&record["s3"])
        .map_err(|source| EventError::Malformed { kind: "S3 notification", source })?;
    let key = url_decoded(&detail.object.key).ok_or_else(|| EventError::Key(detail.object.key.clone()))?;
    Ok(detail.created(key, false))
}

fn sns(record: &Value) -> Result<Option<Trigger>, EventError> {
    let message = record["Sns"]["Message"].as_str().ok_or_else(|| unknown(record))?;
    let malformed = |source| EventError::Malformed { kind: "SageMaker notice in the SNS record", source };
    let notice: Value = serde_json::from_str(message).map_err(malformed)?;
    // SageMaker tests the topics with it when an endpoint is created or updated.
    if notice["eventName"] == "TestNotification" {
        return Ok(None);
    }
    InferenceResult::deserialize(notice).map(|notice| Some(Trigger::InferenceResult(notice))).map_err(malformed)
}

/// Decodes `application/x-www-form-urlencoded`, the encoding of keys in S3's notifications: `+` is a space.
pub fn url_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn created(key: &str) -> Trigger {
        Trigger::ObjectCreated(ObjectCreated {
            bucket: "input".into(),
            key: key.into(),
            etag: "d41d8cd98f00b204e9800998ecf8427e".into(),
            size: 1024,
            sequencer: Sequencer::new("0A1B2C3D4E5F678901"),
            replayed: false,
        })
    }

    #[test]
    fn a_replayed_event_is_known() {
        let object = json!({"key": "uploads/ada", "size": 1024, "etag": "d41d8cd98f00b204e9800998ecf8427e",
            "sequencer": "0A1B2C3D4E5F678901"});
        let event = json!({"version": "0", "source": "aws.s3", "detail-type": "Object Created", "replay-name": "restored",
            "detail": {"version": "0", "bucket": {"name": "input"}, "object": object, "reason": "PutObject"}});
        let read = triggers(&event).unwrap().remove(0).unwrap();
        let Trigger::ObjectCreated(read) = read else { panic!("{read:?}") };
        assert!(read.replayed);
    }

    #[test]
    fn eventbridge_and_s3_give_the_same_trigger() {
        let object = json!({"key": "uploads/ada b", "size": 1024, "etag": "d41d8cd98f00b204e9800998ecf8427e",
            "sequencer": "0A1B2C3D4E5F678901"});
        let event = json!({"version": "0", "source": "aws.s3", "detail-type": "Object Created",
            "detail": {"version": "0", "bucket": {"name": "input"}, "object": object, "reason": "PutObject"}});
        let read: Vec<_> = triggers(&event).unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(read, [created("uploads/ada b")]);

        let object = json!({"key": "uploads/ada+b", "size": 1024, "eTag": "d41d8cd98f00b204e9800998ecf8427e",
            "sequencer": "0A1B2C3D4E5F678901"});
        let event = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "input"}, "object": object}}, {"eventSource": "aws:s3"}]});
        let mut read = triggers(&event).unwrap().into_iter();
        assert_eq!(read.next().unwrap().unwrap(), created("uploads/ada b"));
        assert!(matches!(read.next().unwrap(), Err(EventError::Malformed { .. })));
    }

    #[test]
    fn reads_sagemakers_notices() {
        let notice = json!({"awsRegion": "us-east-1", "eventTime": "2022-01-25T22:46:00.608Z",
            "receivedTime": "2022-01-25T22:46:00.455Z", "invocationStatus": "Failed", "failureReason": "ClientError: no",
            "requestParameters": {"contentType": "image/jpeg", "endpointName": "e", "inputLocation": "s3://b/k"},
            "inferenceId": "ada:9f2c41d07b3e", "eventVersion": "1.0", "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult"});
        let event = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": notice.to_string()}}]});
        let Ok(Trigger::InferenceResult(result)) = triggers(&event).unwrap().remove(0) else { panic!("not a notice") };
        assert!(!result.completed());
        assert_eq!(result.request_parameters.input_location.as_deref(), Some("s3://b/k"));
        assert_eq!(result.failure_reason.as_deref(), Some("ClientError: no"));

        let test = json!({"eventVersion": "1.0", "eventSource": "aws:sagemaker", "eventName": "TestNotification"});
        let event = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": test.to_string()}}]});
        assert!(triggers(&event).unwrap().is_empty());
    }

    #[test]
    fn reads_schedules_and_refuses_unknown_events() {
        let schedule = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
        assert_eq!(triggers(&schedule).unwrap().remove(0).unwrap(), Trigger::Sweep);
        for (rule, trigger) in [("sweep", Trigger::Sweep), (ORPHANS, Trigger::CollectOrphans)] {
            let arn = format!("arn:aws:events:us-east-1:0:rule/{rule}");
            let schedule = json!({"source": "aws.events", "detail-type": "Scheduled Event", "resources": [arn]});
            assert_eq!(triggers(&schedule).unwrap().remove(0).unwrap(), trigger);
        }
        assert!(triggers(&json!({"Service": "Amazon S3", "Event": "s3:TestEvent"})).unwrap().is_empty());
        assert!(triggers(&json!({"hello": "world"})).is_err());
        assert!(triggers(&json!(null)).is_err());
        assert!(triggers(&json!({"Records": [7]})).unwrap().remove(0).is_err());
    }

    #[test]
    fn decodes_urls() {
        assert_eq!(url_decoded("a%2Fb+c%C3%A9").as_deref(), Some("a/b cé"));
        assert_eq!(url_decoded("%f"), None);
        assert_eq!(url_decoded("%ff"), None);
    }
}
