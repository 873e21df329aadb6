//! SQS, as far as dead-letter queues need it: messages can be received and deleted.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::ACCOUNT;
use crate::aws_error::{json_error, not_implemented};
use crate::body::collect;
use crate::digest::md5_hex;
use crate::error::chain;
use crate::journal::Journal;
use crate::queue::{self, Message};
use crate::stack::Stack;

const MAX_BODY: usize = 1024 * 1024;
/// How many seconds a received message is hidden from other receivers by default.
const VISIBILITY_TIMEOUT: u64 = 30;
/// The most seconds that a request may hide a message: twelve hours.
const MAX_VISIBILITY_TIMEOUT: u64 = 43_200;

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
            "ListQueues" => Ok(json!({"QueueUrls": self.queues.iter().map(|name| self.url(name)).collect::<Vec<_>>()})),
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
                    "GetQueueAttributes" => self.attributes(&queue),
                    "ReceiveMessage" => self.receive(&queue, &input),
                    _ => self.delete(&queue, &input),
                }
            }
            _ => return not_implemented(&format!("SQS: {target:?}")),
        };
        match answer {
            Ok(answer) => {
                (StatusCode::OK, [("content-type", "application/x-amz-json-1.0")], answer.to_string()).into_response()
            }
            Err(error) => json_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", &error.to_string()),
        }
    }

    fn exists(&self, name: &str) -> bool {
        self.queues.iter().any(|queue| queue == name)
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.base)
    }

    fn attributes(&self, queue: &str) -> rusqlite::Result<Value> {
        let messages = self.journal.read(|connection| queue::len(connection, queue))?;
        Ok(json!({"Attributes": {"ApproximateNumberOfMessages": messages.to_string()}}))
    }

    fn receive(&self, queue: &str, input: &Value) -> rusqlite::Result<Value> {
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
        Ok(if messages.is_empty() { json!({}) } else { json!({"Messages": messages}) })
    }

    fn delete(&self, queue: &str, input: &Value) -> rusqlite::Result<Value> {
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
    use super::*;
    use crate::clock::Clock;
    use crate::durability::Durability;

    #[test]
    fn a_message_is_hidden_for_a_bounded_time() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::default();
        let journal =
            Arc::new(Journal::open(&folder.path().join("journal.db"), clock.clone(), Durability::Kill).unwrap());
        let sqs = Sqs::new(&Stack::default(), String::new(), Arc::clone(&journal));
        journal.write(|transaction| queue::send(transaction, "q", "r", "body", 0, Duration::ZERO)).unwrap();
        for (asked, hidden) in
            [(json!(60), 60), (json!(u64::MAX), MAX_VISIBILITY_TIMEOUT), (json!(-1), VISIBILITY_TIMEOUT)]
        {
            let received = sqs.receive("q", &json!({"VisibilityTimeout": asked})).unwrap();
            assert_eq!(received["Messages"][0]["Body"], "body", "{asked}");
            clock.advance(Duration::from_secs(hidden - 10));
            assert_eq!(sqs.receive("q", &json!({})).unwrap(), json!({}), "{asked}");
            clock.advance(Duration::from_secs(11));
        }
    }
}
