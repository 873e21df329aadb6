//! Events of created objects: EventBridge events, matched against rules, and S3 event notifications. Both become asynchronous
//! invocations in the transaction that makes the object visible.

use rusqlite::Connection;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::{Clock, now_rfc3339};
use crate::faults::{Delivery, Faults};
use crate::stack::{BucketNotification, Rule, Stack, StackError};
use crate::{ACCOUNT, REGION, queue};

/// An object that was created or replaced.
pub(crate) struct ObjectCreated<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) etag: &'a str,
    pub(crate) size: u64,
    pub(crate) sequencer: i64,
    /// The operation: `PutObject`, `CopyObject`, `CompleteMultipartUpload`.
    pub(crate) reason: &'a str,
    /// The name of the replay, if the event is one of an archive.
    pub(crate) replay: Option<&'a str>,
}

pub(crate) struct Events {
    rules: Vec<Rule>,
    notifications: Vec<BucketNotification>,
    clock: Clock,
    faults: Faults,
}

impl Events {
    pub(crate) fn new(stack: &Stack, clock: Clock, faults: Faults) -> Result<Self, StackError> {
        for rule in &stack.rules {
            check_pattern(&rule.pattern).map_err(|problem| StackError::Pattern { rule: rule.name.clone(), problem })?;
        }
        Ok(Self { rules: stack.rules.clone(), notifications: stack.notifications.clone(), clock, faults })
    }

    /// Invokes the functions of the rules and notifications that match the object.
    pub(crate) fn object_created(&self, connection: &Connection, object: &ObjectCreated<'_>) -> rusqlite::Result<()> {
        tracing::info!(target: "created", bucket = object.bucket, key = object.key);
        let event = eventbridge_event(object);
        for rule in self.rules.iter().filter(|rule| matches(&rule.pattern, &event)) {
            for function in &rule.functions {
                tracing::info!(
                    target: "hop", service = "EventBridge", action = "Object Created",
                    detail = %format_args!("{}/{} -> {function}", object.bucket, object.key)
                );
                self.invoke(connection, function, object, &event)?;
            }
        }
        let wanted = |notification: &&BucketNotification| {
            notification.bucket == object.bucket && object.key.starts_with(&notification.prefix)
        };
        for notification in self.notifications.iter().filter(wanted) {
            self.invoke(connection, &notification.function, object, &s3_notification(object))?;
        }
        Ok(())
    }

    fn invoke(
        &self,
        connection: &Connection,
        function: &str,
        object: &ObjectCreated<'_>,
        event: &Value,
    ) -> rusqlite::Result<()> {
        let (queue, body) = (queue::of_function(function), event.to_string());
        for delay in self.faults.deliveries(Delivery::Event, &format!("{}/{}", object.bucket, object.key)) {
            let request_id = Uuid::new_v4().to_string();
            queue::send(connection, &queue, &request_id, &body, self.clock.now_millis(), delay)?;
        }
        Ok(())
    }
}

fn sequencer(number: i64) -> String {
    format!("{number:018X}")
}

/// *EventBridge event message structure*, Amazon S3 User Guide.
fn eventbridge_event(object: &ObjectCreated<'_>) -> Value {
    let mut event = json!({
        "version": "0",
        "id": Uuid::new_v4(),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": ACCOUNT,
        "time": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "region": REGION,
        "resources": [format!("arn:aws:s3:::{}", object.bucket)],
        "detail": {
            "version": "0",
            "bucket": {"name": object.bucket},
            "object": {
                "key": object.key,
                "size": object.size,
                "etag": object.etag,
                "sequencer": sequencer(object.sequencer),
            },
            "request-id": request_id(),
            "requester": ACCOUNT,
            "source-ip-address": "127.0.0.1",
            "reason": object.reason,
        },
    });
    if let Some(name) = object.replay {
        event["replay-name"] = name.into();
    }
    event
}

/// *Event message structure*, Amazon S3 User Guide.
fn s3_notification(object: &ObjectCreated<'_>) -> Value {
    let name = match object.reason {
        "CopyObject" => "ObjectCreated:Copy",
        "CompleteMultipartUpload" => "ObjectCreated:CompleteMultipartUpload",
        _ => "ObjectCreated:Put",
    };
    json!({"Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": now_rfc3339(),
        "eventName": name,
        "userIdentity": {"principalId": ACCOUNT},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": request_id()},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "local",
            "bucket": {
                "name": object.bucket,
                "ownerIdentity": {"principalId": ACCOUNT},
                "arn": format!("arn:aws:s3:::{}", object.bucket),
            },
            "object": {
                "key": url_encoded(object.key),
                "size": object.size,
                "eTag": object.etag,
                "sequencer": sequencer(object.sequencer),
            },
        },
    }]})
}

fn request_id() -> String {
    Uuid::new_v4().simple().to_string()[..16].to_ascii_uppercase()
}

/// A key in the form `application/x-www-form-urlencoded`, except that S3 keeps `/`.
fn url_encoded(key: &str) -> String {
    key.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => char::from(byte).to_string(),
            b' ' => "+".to_owned(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// Whether an event matches a pattern. A field of a pattern is an object, or a list of which one entry must match.
fn matches(pattern: &Value, event: &Value) -> bool {
    match pattern {
        Value::Object(fields) => fields.iter().all(|(name, pattern)| matches(pattern, &event[name])),
        Value::Array(choices) => match event {
            Value::Array(values) => values.iter().any(|value| matches_any(choices, value)),
            value => matches_any(choices, value),
        },
        _ => false,
    }
}

fn matches_any(choices: &[Value], value: &Value) -> bool {
    choices.iter().any(|choice| match choice["prefix"].as_str() {
        Some(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
        None => choice == value,
    })
}

/// Refuses patterns that [`matches()`] does not support.
fn check_pattern(pattern: &Value) -> Result<(), String> {
    match pattern {
        Value::Object(fields) => fields.values().try_for_each(check_pattern),
        Value::Array(choices) => choices.iter().try_for_each(|choice| match choice {
            Value::Object(operators) if operators.len() != 1 || !choice["prefix"].is_string() => {
                Err(format!("{choice} is not implemented: exact values and {{\"prefix\": ..}} are"))
            }
            Value::Array(_) => Err(format!("{choice} is a list within a list")),
            _ => Ok(()),
        }),
        other => Err(format!("{other} is neither an object nor a list")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str) -> ObjectCreated<'_> {
        ObjectCreated { bucket: "in", key, etag: "e", size: 3, sequencer: 0x1f, reason: "PutObject", replay: None }
    }

    #[test]
    fn patterns() {
        let event = eventbridge_event(&object("uploads/ada"));
        let pattern = json!({"source": ["aws.s3"], "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": ["other", "in"]}, "object": {"key": [{"prefix": "uploads/"}]}}});
        assert!(check_pattern(&pattern).is_ok());
        assert!(matches(&pattern, &event));
        assert!(!matches(&pattern, &eventbridge_event(&object("inputs/ada"))));
        assert!(!matches(&json!({"missing": ["x"]}), &event));
        assert!(matches(&json!({"resources": ["arn:aws:s3:::in"]}), &event));
        assert!(check_pattern(&json!({"a": [{"suffix": "x"}]})).is_err());
        assert!(check_pattern(&json!({"a": "x"})).is_err());
    }

    #[test]
    fn sequencers_sort_as_text_and_keys_are_encoded() {
        assert!(sequencer(0x1f) < sequencer(0x20));
        let notification = s3_notification(&object("uploads/a b+é"));
        assert_eq!(notification["Records"][0]["s3"]["object"]["key"], "uploads/a+b%2B%C3%A9");
        assert_eq!(notification["Records"][0]["eventName"], "ObjectCreated:Put");
    }
}
