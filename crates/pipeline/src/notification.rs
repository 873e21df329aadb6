//! The events that start image-processor, in the JSON that AWS sends.
//!
//! - EventBridge, `Object Created` of `aws.s3` (*EventBridge event message structure*, Amazon S3 User Guide)
//! - S3's own notifications (*Event message structure*, same guide), in which keys are URL-encoded
//! - SNS records around SageMaker's asynchronous inference notices (*Check prediction results*, SageMaker guide)
//! - EventBridge's `Scheduled Event`

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Sequencer;

/// One thing that an event asks for. An event may hold several.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// An object was created.
    ObjectCreated(ObjectCreated),
    /// SageMaker finished with an invocation.
    InferenceResult(InferenceResult),
    /// It is time to sweep.
    Sweep,
    /// It is time to look for objects that belong to nobody: of the schedule [`ORPHANS`].
    CollectOrphans,
}

/// The name of the schedule by which orphans are collected; any other one sweeps.
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
    /// Bytes.
    pub size: u64,
    /// Its place among the events of this key.
    pub sequencer: Sequencer,
}

/// SageMaker's notice that an asynchronous invocation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceResult {
    /// `Completed` or `Failed`.
    pub invocation_status: String,
    /// The id that the invocation was given.
    pub inference_id: String,
    /// What was asked.
    #[serde(default)]
    pub request_parameters: RequestParameters,
    /// What came of it.
    #[serde(default)]
    pub response_parameters: ResponseParameters,
    /// Why it failed, in SageMaker's words.
    #[serde(default)]
    pub failure_reason: Option<String>,
}

/// What a notice repeats of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestParameters {
    /// `s3://` location of the input.
    pub input_location: Option<String>,
    /// The endpoint's name.
    pub endpoint_name: Option<String>,
}

/// What a notice says of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseParameters {
    /// The media type the container answered with.
    pub content_type: Option<String>,
    /// `s3://` location of the answer.
    pub output_location: Option<String>,
    /// `s3://` location of what the container said of its failure.
    pub failure_location: Option<String>,
}

impl InferenceResult {
    /// Whether the container answered with success.
    pub fn completed(&self) -> bool {
        self.invocation_status == "Completed"
    }
}

/// Why an event, or one record of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    /// None of the four kinds.
    #[error(
        "the event is none that image-processor knows (EventBridge `Object Created`, S3 notification, SNS, schedule): {0}"
    )]
    Unknown(String),
    /// One of the four, with something missing.
    #[error("the {kind} cannot be read")]
    Malformed {
        /// Which kind.
        kind: &'static str,
        /// What is missing.
        #[source]
        source: serde_json::Error,
    },
    /// A key in S3's own notification that is no URL-encoded UTF-8.
    #[error("the object key {0:?} is not URL-encoded UTF-8")]
    Key(String),
}

/// The records of an event, each read on its own, so that a bad one costs the others nothing.
///
/// # Errors
/// [`NotificationError::Unknown`] for an event that is none of the four kinds.
pub fn records(event: &Value) -> Result<Vec<Result<Record, NotificationError>>, NotificationError> {
    match (event["source"].as_str(), event["detail-type"].as_str()) {
        (Some("aws.s3"), Some("Object Created")) => return Ok(vec![eventbridge(event)]),
        (_, Some("Scheduled Event")) => return Ok(vec![Ok(scheduled(event))]),
        _ => {}
    }
    if event["Event"] == "s3:TestEvent" {
        return Ok(Vec::new());
    }
    match event["Records"].as_array() {
        Some(list) => Ok(list.iter().filter_map(|entry| record(entry).transpose()).collect()),
        None => Err(unknown(event)),
    }
}

fn scheduled(event: &Value) -> Record {
    let rule = event["resources"][0].as_str().and_then(|arn| arn.rsplit('/').next());
    if rule == Some(ORPHANS) { Record::CollectOrphans } else { Record::Sweep }
}

/// `None` for one that asks for nothing.
fn record(record: &Value) -> Result<Option<Record>, NotificationError> {
    if record["eventSource"] == "aws:s3" {
        s3(record).map(Some)
    } else if record["EventSource"] == "aws:sns" {
        sns(record)
    } else {
        Err(unknown(record))
    }
}

fn unknown(event: &Value) -> NotificationError {
    NotificationError::Unknown(event.to_string().chars().take(200).collect())
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
    fn created(self, key: String) -> Record {
        Record::ObjectCreated(ObjectCreated {
            bucket: self.bucket.name,
            key,
            etag: self.object.etag.trim_matches('"').to_owned(),
            size: self.object.size,
            sequencer: Sequencer::new(&self.object.sequencer),
        })
    }
}

fn eventbridge(event: &Value) -> Result<Record, NotificationError> {
    let detail = S3Detail::deserialize(&event["detail"])
        .map_err(|source| NotificationError::Malformed { kind: "EventBridge event of S3", source })?;
    let key = detail.object.key.clone();
    Ok(detail.created(key))
}

fn s3(record: &Value) -> Result<Record, NotificationError> {
    let detail = S3Detail::deserialize(&record["s3"])
        .map_err(|source| NotificationError::Malformed { kind: "S3 notification", source })?;
    let key = url_decoded(&detail.object.key).ok_or_else(|| NotificationError::Key(detail.object.key.clone()))?;
    Ok(detail.created(key))
}

fn sns(record: &Value) -> Result<Option<Record>, NotificationError> {
    let message = record["Sns"]["Message"].as_str().ok_or_else(|| unknown(record))?;
    let malformed = |source| NotificationError::Malformed { kind: "SageMaker notice in the SNS record", source };
    let notice: Value = serde_json::from_str(message).map_err(malformed)?;
    // By which SageMaker tries its topics whenever an endpoint is made or changed.
    if notice["eventName"] == "TestNotification" {
        return Ok(None);
    }
    InferenceResult::deserialize(notice).map(|notice| Some(Record::InferenceResult(notice))).map_err(malformed)
}

/// `application/x-www-form-urlencoded` decoding, as S3 encodes keys: `+` is a blank.
fn url_decoded(text: &str) -> Option<String> {
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

    fn created(key: &str) -> Record {
        Record::ObjectCreated(ObjectCreated {
            bucket: "input".into(),
            key: key.into(),
            etag: "d41d8cd98f00b204e9800998ecf8427e".into(),
            size: 1024,
            sequencer: Sequencer::new("0A1B2C3D4E5F678901"),
        })
    }

    #[test]
    fn eventbridge_and_s3_say_the_same() {
        let object = json!({"key": "uploads/ada b", "size": 1024, "etag": "d41d8cd98f00b204e9800998ecf8427e",
            "sequencer": "0A1B2C3D4E5F678901"});
        let event = json!({"version": "0", "source": "aws.s3", "detail-type": "Object Created",
            "detail": {"version": "0", "bucket": {"name": "input"}, "object": object, "reason": "PutObject"}});
        let read: Vec<_> = records(&event).unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(read, [created("uploads/ada b")]);

        let object = json!({"key": "uploads/ada+b", "size": 1024, "eTag": "d41d8cd98f00b204e9800998ecf8427e",
            "sequencer": "0A1B2C3D4E5F678901"});
        let event = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "input"}, "object": object}}, {"eventSource": "aws:s3"}]});
        let mut read = records(&event).unwrap().into_iter();
        assert_eq!(read.next().unwrap().unwrap(), created("uploads/ada b"));
        assert!(matches!(read.next().unwrap(), Err(NotificationError::Malformed { .. })));
    }

    #[test]
    fn notices() {
        let notice = json!({"awsRegion": "us-east-1", "eventTime": "2022-01-25T22:46:00.608Z",
            "receivedTime": "2022-01-25T22:46:00.455Z", "invocationStatus": "Failed", "failureReason": "ClientError: no",
            "requestParameters": {"contentType": "image/jpeg", "endpointName": "e", "inputLocation": "s3://b/k"},
            "inferenceId": "ada:9f2c41d07b3e", "eventVersion": "1.0", "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult"});
        let event = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": notice.to_string()}}]});
        let Ok(Record::InferenceResult(result)) = records(&event).unwrap().remove(0) else { panic!("no notice") };
        assert!(!result.completed());
        assert_eq!(result.request_parameters.input_location.as_deref(), Some("s3://b/k"));
        assert_eq!(result.failure_reason.as_deref(), Some("ClientError: no"));

        let test = json!({"eventVersion": "1.0", "eventSource": "aws:sagemaker", "eventName": "TestNotification"});
        let event = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": test.to_string()}}]});
        assert!(records(&event).unwrap().is_empty());
    }

    #[test]
    fn schedule_test_event_and_rubbish() {
        let schedule = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
        assert_eq!(records(&schedule).unwrap().remove(0).unwrap(), Record::Sweep);
        for (rule, record) in [("sweep", Record::Sweep), (ORPHANS, Record::CollectOrphans)] {
            let arn = format!("arn:aws:events:us-east-1:0:rule/{rule}");
            let schedule = json!({"source": "aws.events", "detail-type": "Scheduled Event", "resources": [arn]});
            assert_eq!(records(&schedule).unwrap().remove(0).unwrap(), record);
        }
        assert!(records(&json!({"Service": "Amazon S3", "Event": "s3:TestEvent"})).unwrap().is_empty());
        assert!(records(&json!({"hello": "world"})).is_err());
        assert!(records(&json!(null)).is_err());
        assert!(records(&json!({"Records": [7]})).unwrap().remove(0).is_err());
    }

    #[test]
    fn url_decoding() {
        assert_eq!(url_decoded("a%2Fb+c%C3%A9").as_deref(), Some("a/b cé"));
        assert_eq!(url_decoded("%f"), None);
        assert_eq!(url_decoded("%ff"), None);
    }
}
