//! SNS: topics, with functions as subscribers.

use std::sync::Arc;

use axum::Form;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use rusqlite::Connection;
use serde_json::json;
use uuid::Uuid;

use crate::aws_error::{QUERY_NAMESPACE, query_error, query_not_implemented};
use crate::clock::now_rfc3339;
use crate::faults::{Delivery, Faults};
use crate::journal::Journal;
use crate::stack::Subscription;
use crate::{ACCOUNT, REGION, queue};

#[derive(Clone)]
pub(crate) struct Sns {
    subscriptions: Arc<[Subscription]>,
    journal: Arc<Journal>,
    faults: Faults,
}

impl Sns {
    pub(crate) fn new(subscriptions: &[Subscription], journal: Arc<Journal>, faults: Faults) -> Self {
        Self { subscriptions: subscriptions.into(), journal, faults }
    }

    /// Whether there is a topic of this ARN.
    pub(crate) fn is_topic(&self, arn: &str) -> bool {
        arn.strip_prefix(&format!("arn:aws:sns:{REGION}:{ACCOUNT}:")).is_some_and(|topic| self.exists(topic))
    }

    fn exists(&self, topic: &str) -> bool {
        self.subscriptions.iter().any(|subscription| subscription.topic == topic)
    }

    /// Delivers a message to every subscriber, as part of the caller's transaction. Returns the message's id.
    pub(crate) fn publish(
        &self,
        connection: &Connection,
        topic: &str,
        subject: Option<&str>,
        message: &str,
    ) -> rusqlite::Result<String> {
        let message_id = Uuid::new_v4().to_string();
        for subscription in self.subscriptions.iter().filter(|subscription| subscription.topic == topic) {
            tracing::info!(
                target: "hop", service = "SNS", action = "Publish",
                detail = %format_args!("{topic} -> {}", subscription.function)
            );
            let event = event(topic, &message_id, subject, message).to_string();
            let queue = queue::of_function(&subscription.function);
            for delay in self.faults.deliveries(Delivery::Notice, &about(message)) {
                let (request_id, now) = (Uuid::new_v4().to_string(), self.journal.clock().now_millis());
                if delay.is_zero() {
                    // What is said of earlier work goes before new work. Else a flood of uploads would hold back the results of all
                    // earlier ones, which would be read from the disk by then.
                    queue::send_first(connection, &queue, &request_id, &event, now)?;
                } else {
                    queue::send(connection, &queue, &request_id, &event, now, delay)?;
                }
            }
        }
        Ok(message_id)
    }

    /// Answers a request to the SNS API: `Publish`, in the query protocol.
    pub(crate) async fn call(&self, request: Request) -> Response {
        let form = match Form::<Vec<(String, String)>>::from_request(request, &()).await {
            Ok(Form(form)) => form,
            Err(error) => return query_error(StatusCode::BAD_REQUEST, "InvalidParameter", &error.to_string()),
        };
        let field = |name: &str| form.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
        match field("Action") {
            Some("Publish") => {}
            other => {
                return query_not_implemented(&format!("SNS: {}", other.unwrap_or("no action")));
            }
        }
        let topic = field("TopicArn").and_then(|arn| arn.rsplit(':').next()).unwrap_or_default();
        if !self.exists(topic) {
            return query_error(StatusCode::NOT_FOUND, "NotFound", &format!("Topic does not exist: {topic:?}"));
        }
        let more = |(name, _): &&(String, String)| name.starts_with("MessageAttributes") || name == "MessageStructure";
        if let Some((name, _)) = form.iter().find(more) {
            return query_not_implemented(&format!("SNS: {name}"));
        }
        let Some(message) = field("Message") else {
            return query_error(StatusCode::BAD_REQUEST, "InvalidParameter", "there is no Message");
        };
        let published = self.journal.write(|transaction| self.publish(transaction, topic, field("Subject"), message));
        match published {
            Ok(id) => {
                let result = format!("<PublishResult><MessageId>{id}</MessageId></PublishResult>");
                let body = format!("<PublishResponse xmlns=\"{QUERY_NAMESPACE}\">{result}</PublishResponse>");
                ([("content-type", "text/xml")], body).into_response()
            }
            Err(error) => query_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &error.to_string()),
        }
    }
}

/// The identity of a message for a fault plan. A notice of SageMaker is identified by its inference id, since its times differ from
/// run to run.
fn about(message: &str) -> String {
    let notice: serde_json::Value = serde_json::from_str(message).unwrap_or_default();
    notice["inferenceId"].as_str().unwrap_or(message).to_owned()
}

/// *Using AWS Lambda with Amazon SNS*, AWS Lambda Developer Guide.
fn event(topic: &str, message_id: &str, subject: Option<&str>, message: &str) -> serde_json::Value {
    let arn = format!("arn:aws:sns:{REGION}:{ACCOUNT}:{topic}");
    json!({"Records": [{
        "EventVersion": "1.0",
        "EventSubscriptionArn": format!("{arn}:{}", Uuid::new_v4()),
        "EventSource": "aws:sns",
        "Sns": {
            "Type": "Notification",
            "MessageId": message_id,
            "TopicArn": arn,
            "Subject": subject,
            "Message": message,
            "Timestamp": now_rfc3339(),
            "MessageAttributes": {},
        },
    }]})
}
