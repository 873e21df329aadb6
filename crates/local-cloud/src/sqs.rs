//! SQS, as far as dead-letter queues need it: messages can be counted, received and deleted.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::aws_error::{json_error, not_implemented};
use crate::body::collect;
use crate::digest::md5_hex;
use crate::error::chain;
use crate::journal::Journal;
use crate::queue::{self, Message};
use crate::stack::Stack;
use crate::{ACCOUNT, REGION};

const MAX_BODY: usize = 1024 * 1024;
/// How many seconds a received message is hidden from other receivers by default.
const VISIBILITY_TIMEOUT: u64 = 30;
/// The most seconds that a request may hide a message: twelve hours.
const MAX_VISIBILITY_TIMEOUT: u64 = 43_200;
/// The most seconds that a request may wait for a message.
const MAX_WAIT: u64 = 20;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
enum SqsError {
    #[error("Unknown Attribute {0}. A queue here has {known}", known = Attribute::ALL.map(Attribute::name).join(", "))]
    UnknownAttribute(Value),
    #[error("Value {0} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= {MAX_WAIT}, if provided.")]
    WaitTime(Value),
    #[error("the journal failed")]
    Journal(#[from] rusqlite::Error),
}

impl SqsError {
    fn response(&self) -> Response {
        let (status, code) = match self {
            Self::UnknownAttribute(_) => (StatusCode::BAD_REQUEST, "com.amazonaws.sqs#InvalidAttributeName"),
            Self::WaitTime(_) => (StatusCode::BAD_REQUEST, "InvalidParameterValue"),
            Self::Journal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure"),
        };
        json_error(status, code, &chain(self))
    }
}

/// An attribute of a queue.
#[derive(Clone, Copy, Debug)]
enum Attribute {
    Messages,
    /// Those that a receiver has.
    MessagesNotVisible,
    QueueArn,
}

impl Attribute {
    const ALL: [Self; 3] = [Self::Messages, Self::MessagesNotVisible, Self::QueueArn];

    fn name(self) -> &'static str {
        match self {
            Self::Messages => "ApproximateNumberOfMessages",
            Self::MessagesNotVisible => "ApproximateNumberOfMessagesNotVisible",
            Self::QueueArn => "QueueArn",
        }
    }
}

pub(crate) struct Sqs {
    queues: Vec<String>,
    base: String,
    journal: Arc<Journal>,
}

impl Sqs {
    /// `base` is the URL of the AWS endpoint, with which the URLs of queues begin.
    pub(crate) fn new(stack: &Stack, base: String, journal: Arc<Journal>) -> Self {
        let dead_letters = stack.functions.iter().filter_map(|function| function.retry.dead_letter_queue.clone());
        Self { queues: dead_letters.collect(), base, journal }
    }

    /// Answers a request to the SQS API, in its JSON protocol.
    pub(crate) async fn call(&self, request: Request) -> Response {
        let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
        let target = target.unwrap_or_default().to_owned();
        let action = target.strip_prefix("AmazonSQS.").unwrap_or_default().to_owned();
        let body = match collect(request.into_body(), MAX_BODY).await {
            Ok(body) => body,
            Err(error) => return json_error(StatusCode::BAD_REQUEST, "InvalidParameterValue", &chain(&error)),
        };
        let input: Value = match serde_json::from_slice(&body) {
            Ok(input) => input,
            Err(error) => return json_error(StatusCode::BAD_REQUEST, "InvalidParameterValue", &error.to_string()),
        };
        let answer = match action.as_str() {
            "ListQueues" => Ok(self.list(&input)),
            "GetQueueUrl" => match input["QueueName"].as_str().filter(|name| self.exists(name)) {
                Some(name) => Ok(json!({"QueueUrl": self.url(name)})),
                None => return no_such_queue(&input["QueueName"]),
            },
            "GetQueueAttributes" | "ReceiveMessage" | "DeleteMessage" => {
                let name = input["QueueUrl"].as_str().and_then(|url| url.rsplit('/').next());
                let Some(name) = name.filter(|name| self.exists(name)) else {
                    return no_such_queue(&input["QueueUrl"]);
                };
                let queue = queue::of_dead_letters(name);
                match action.as_str() {
                    "GetQueueAttributes" => self.attributes(name, &input),
                    "ReceiveMessage" => self.receive(&queue, &input).await,
                    _ => self.delete(&queue, &input),
                }
            }
            _ => return not_implemented(&format!("SQS: {target:?}")),
        };
        match answer {
            Ok(answer) => {
                (StatusCode::OK, [("content-type", "application/x-amz-json-1.0")], answer.to_string()).into_response()
            }
            Err(error) => error.response(),
        }
    }

    fn list(&self, input: &Value) -> Value {
        let prefix = input["QueueNamePrefix"].as_str().unwrap_or_default();
        let named = self.queues.iter().filter(|name| name.starts_with(prefix));
        json!({"QueueUrls": named.map(|name| self.url(name)).collect::<Vec<_>>()})
    }

    fn exists(&self, name: &str) -> bool {
        self.queues.iter().any(|queue| queue == name)
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.base)
    }

    /// The attributes that are asked for.
    fn attributes(&self, name: &str, input: &Value) -> Result<Value, SqsError> {
        let mut asked = Vec::new();
        for attribute in input["AttributeNames"].as_array().into_iter().flatten() {
            if attribute == "All" {
                asked.extend(Attribute::ALL);
                continue;
            }
            let known = Attribute::ALL.into_iter().find(|known| attribute == known.name());
            asked.push(known.ok_or_else(|| SqsError::UnknownAttribute(attribute.clone()))?);
        }
        let (queue, now) = (queue::of_dead_letters(name), self.journal.clock().now_millis());
        let (visible, hidden) = self.journal.read(|connection| queue::counts(connection, &queue, now))?;
        let value = |attribute: Attribute| match attribute {
            Attribute::Messages => visible.to_string(),
            Attribute::MessagesNotVisible => hidden.to_string(),
            Attribute::QueueArn => format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"),
        };
        let attributes: Map<String, Value> =
            asked.into_iter().map(|attribute| (attribute.name().to_owned(), json!(value(attribute)))).collect();
        Ok(if attributes.is_empty() { json!({}) } else { json!({"Attributes": attributes}) })
    }

    /// Receives messages. If none is ready, waits for one as long as the request says.
    async fn receive(&self, queue: &str, input: &Value) -> Result<Value, SqsError> {
        let wait = match &input["WaitTimeSeconds"] {
            Value::Null => Some(0),
            given => given.as_u64().filter(|seconds| *seconds <= MAX_WAIT),
        };
        let wait = wait.ok_or_else(|| SqsError::WaitTime(input["WaitTimeSeconds"].clone()))?;
        let (end, mut queued) = (Instant::now() + Duration::from_secs(wait), self.journal.queued());
        loop {
            let messages = self.take(queue, input)?;
            if !messages.is_empty() {
                return Ok(json!({"Messages": messages}));
            }
            let ready = queue::wait_until_ready(&self.journal, queue, &mut queued);
            if tokio::time::timeout_at(end, ready).await.is_err() {
                return Ok(json!({}));
            }
        }
    }

    /// Receives the messages that are ready.
    fn take(&self, queue: &str, input: &Value) -> rusqlite::Result<Vec<Value>> {
        let most = input["MaxNumberOfMessages"].as_u64().unwrap_or(1).clamp(1, 10);
        let hidden = input["VisibilityTimeout"].as_u64().unwrap_or(VISIBILITY_TIMEOUT);
        let hidden = Duration::from_secs(hidden.min(MAX_VISIBILITY_TIMEOUT));
        let now = self.journal.clock().now_millis();
        let mut messages = Vec::new();
        while (messages.len() as u64) < most
            && let Some(message) = queue::receive(&self.journal, queue)?
        {
            // A message that is not deleted becomes visible again.
            self.journal.write(|transaction| queue::retry(transaction, &message, now, hidden))?;
            messages.push(shown(&message));
        }
        Ok(messages)
    }

    fn delete(&self, queue: &str, input: &Value) -> Result<Value, SqsError> {
        let id = input["ReceiptHandle"].as_str().and_then(|handle| handle.parse().ok()).unwrap_or(-1);
        self.journal.write(|transaction| queue::delete_by_id(transaction, queue, id))?;
        Ok(json!({}))
    }
}

fn shown(message: &Message) -> Value {
    json!({
        "MessageId": message.request_id,
        "ReceiptHandle": message.id.to_string(),
        "Body": message.body,
        "MD5OfBody": md5_hex(message.body.as_bytes()),
        "Attributes": {
            "SentTimestamp": message.sent.to_string(),
            "ApproximateReceiveCount": message.receives.to_string(),
        },
    })
}

fn no_such_queue(name: &Value) -> Response {
    let message = format!("The specified queue does not exist: {name}");
    json_error(StatusCode::BAD_REQUEST, "com.amazonaws.sqs#QueueDoesNotExist", &message)
}

#[cfg(test)]
mod tests {
    use rusqlite::Transaction;

    use super::*;
    use crate::clock::Clock;
    use crate::durability::Durability;

    fn sqs(clock: &Clock) -> (tempfile::TempDir, Sqs) {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db"), clock.clone(), Durability::Kill).unwrap();
        let queues = vec!["dead".to_owned(), "other".to_owned()];
        (folder, Sqs { queues, base: "http://x".to_owned(), journal: Arc::new(journal) })
    }

    fn send(sqs: &Sqs, queue: &str) {
        let sent = |transaction: &Transaction<'_>| queue::send(transaction, queue, "r", "body", 0, Duration::ZERO);
        sqs.journal.write(sent).unwrap();
    }

    #[tokio::test]
    async fn a_message_is_hidden_for_a_bounded_time() {
        let clock = Clock::default();
        let (_folder, sqs) = sqs(&clock);
        send(&sqs, "q");
        for (asked, hidden) in
            [(json!(60), 60), (json!(u64::MAX), MAX_VISIBILITY_TIMEOUT), (json!(-1), VISIBILITY_TIMEOUT)]
        {
            let received = sqs.receive("q", &json!({"VisibilityTimeout": asked})).await.unwrap();
            assert_eq!(received["Messages"][0]["Body"], "body", "{asked}");
            clock.advance(Duration::from_secs(hidden - 10));
            assert_eq!(sqs.receive("q", &json!({})).await.unwrap(), json!({}), "{asked}");
            clock.advance(Duration::from_secs(11));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_waits_for_a_message_as_long_as_it_says() {
        let (_folder, sqs) = sqs(&Clock::default());
        let start = Instant::now();
        let waiting = json!({"WaitTimeSeconds": 20});
        let (received, ()) = tokio::join!(sqs.receive("q", &waiting), async { send(&sqs, "q") });
        assert_eq!(received.unwrap()["Messages"][0]["Body"], "body");
        assert!(start.elapsed() < Duration::from_secs(20));
        let start = Instant::now();
        assert_eq!(sqs.receive("none", &json!({"WaitTimeSeconds": 5})).await.unwrap(), json!({}));
        assert!(start.elapsed() >= Duration::from_secs(5));
        for bad in [json!(21), json!(-1), json!("5")] {
            assert!(matches!(sqs.receive("q", &json!({"WaitTimeSeconds": bad})).await, Err(SqsError::WaitTime(_))));
        }
    }

    #[tokio::test]
    async fn attributes_are_those_that_are_asked_for_and_hidden_messages_count_apart() {
        let (_folder, sqs) = sqs(&Clock::default());
        let queue = queue::of_dead_letters("dead");
        send(&sqs, &queue);
        send(&sqs, &queue);
        sqs.receive(&queue, &json!({})).await.unwrap();
        let attributes = |names: &[&str]| sqs.attributes("dead", &json!({"AttributeNames": names}));
        let all = json!({
            "ApproximateNumberOfMessages": "1",
            "ApproximateNumberOfMessagesNotVisible": "1",
            "QueueArn": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:dead"),
        });
        assert_eq!(attributes(&["All"]).unwrap(), json!({"Attributes": all}));
        let one = json!({"Attributes": {"ApproximateNumberOfMessages": "1"}});
        assert_eq!(attributes(&["ApproximateNumberOfMessages"]).unwrap(), one);
        assert_eq!(attributes(&[]).unwrap(), json!({}));
        let refused = attributes(&["RedrivePolicy"]).unwrap_err().to_string();
        assert!(refused.contains("RedrivePolicy") && refused.contains("QueueArn"), "{refused}");
    }

    #[test]
    fn queues_are_listed_by_their_prefix() {
        let (_folder, sqs) = sqs(&Clock::default());
        let url = |name: &str| json!(format!("http://x/{ACCOUNT}/{name}"));
        assert_eq!(sqs.list(&json!({}))["QueueUrls"], json!([url("dead"), url("other")]));
        assert_eq!(sqs.list(&json!({"QueueNamePrefix": "o"}))["QueueUrls"], json!([url("other")]));
    }
}
