//! Asynchronous invocations: accepted, queued, tried, answered in S3 and told of on SNS.

use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::configs::{AsyncInferenceConfig, NotificationConfig};
use super::endpoint::Hosted;
use super::endpoints::{Endpoint, Status};
use super::model_server::{Answer, InvokeError};
use super::records::{self, Kind};
use super::runtime::{ModelRequest, kind, not_found};
use super::{SageMaker, s3_uri};
use crate::aws_endpoint::json_error;
use crate::queue::{self, Message};
use crate::s3::{Attributes, StoreError};
use crate::{REGION, now_rfc3339};

/// The subject of every notice.
pub(super) const NOTICE_SUBJECT: &str = "SageMaker Asynchronous Inference";
/// How often a request is tried whose model server died under it.
const MAX_TRIES: u32 = 3;
/// How long an overloaded server that does not say so itself is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is queued.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AsyncInvocation {
    endpoint: String,
    inference_id: String,
    input: Input,
    content_type: Option<String>,
    accept: Option<String>,
    custom_attributes: Option<String>,
    request_ttl_seconds: u64,
    invocation_timeout_seconds: u64,
    output_location: String,
    /// Without one, failures are told of only.
    failure_location: Option<String>,
    /// Who is told.
    #[serde(default)]
    topics: NotificationConfig,
    received_time: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Input {
    Location(String),
    /// Base64.
    Inline(String),
}

/// How a try ended.
enum End {
    Completed(Answer),
    /// Why it failed, and what the failure object is to hold.
    Failed {
        reason: String,
        object: Bytes,
    },
    /// It broke off: to be tried again after this time.
    Again(Duration),
    /// The server takes no requests now: to be tried again after this time, however often.
    Busy(Duration),
}

impl End {
    fn failed(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Failed { object: reason.clone().into(), reason }
    }
}

impl AsyncInvocation {
    /// Checks a request; an error says what is wrong with it.
    pub(super) fn accept(
        endpoint: &str,
        config: &AsyncInferenceConfig,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Self, String> {
        let text = |name: &str| {
            headers.get(format!("x-amzn-sagemaker-{name}")).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let seconds = |name: &str, default: u64, most: u64| match text(name) {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(seconds) if (1..=most).contains(&seconds) => Ok(seconds),
                _ => Err(format!("{name} is {text:?}: 1 to {most} seconds would work")),
            },
        };
        let input = match (text("inputlocation"), body.is_empty()) {
            (Some(location), true) if s3_uri(&location).is_some() => Input::Location(location),
            (Some(location), true) => return Err(format!("InputLocation {location:?} is not s3://bucket/key")),
            (None, false) => Input::Inline(STANDARD.encode(body)),
            (Some(_), false) => return Err("InputLocation and Body are mutually exclusive".to_owned()),
            (None, true) => return Err("one of InputLocation and Body is required".to_owned()),
        };
        let inference_id = text("inference-id").unwrap_or_else(|| Uuid::new_v4().to_string());
        let visible = inference_id.bytes().all(|byte| byte.is_ascii_graphic());
        if inference_id.is_empty() || inference_id.len() > 64 || !visible {
            return Err(format!("InferenceId {inference_id:?} is not 1 to 64 visible characters"));
        }
        let folder = |path: &str| match text("s3outputpathextension") {
            Some(extension) => format!("{}/{}", path.trim_end_matches('/'), extension.trim_matches('/')),
            None => path.trim_end_matches('/').to_owned(),
        };
        let output = &config.output_config;
        let stem = Uuid::new_v4().to_string();
        let file = text("filename").unwrap_or_else(|| format!("{stem}.out"));
        Ok(Self {
            endpoint: endpoint.to_owned(),
            inference_id,
            input,
            content_type: text("content-type"),
            accept: text("accept"),
            custom_attributes: text("custom-attributes"),
            request_ttl_seconds: seconds("requestttlseconds", 21_600, 21_600)?,
            invocation_timeout_seconds: seconds("invocationtimeoutseconds", 900, 3600)?,
            output_location: format!("{}/{file}", folder(&output.s3_output_path)),
            failure_location: output.s3_failure_path.as_ref().map(|path| format!("{}/{stem}-error.out", folder(path))),
            topics: output.notification_config.clone().unwrap_or_default(),
            received_time: now_rfc3339(),
        })
    }

    fn input_location(&self) -> Option<&str> {
        match &self.input {
            Input::Location(location) => Some(location),
            Input::Inline(_) => None,
        }
    }

    /// *Check prediction results*, SageMaker Developer Guide.
    fn notice(&self, end: Result<&Answer, &str>) -> String {
        let mut notice = json!({
            "awsRegion": REGION,
            "eventTime": now_rfc3339(),
            "receivedTime": self.received_time,
            "requestParameters": {
                "accept": self.accept,
                "contentType": self.content_type,
                "customAttributes": self.custom_attributes,
                "endpointName": self.endpoint,
                "inputLocation": self.input_location(),
            },
            "inferenceId": self.inference_id,
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        });
        match end {
            Ok(answer) => {
                notice["invocationStatus"] = json!("Completed");
                notice["responseParameters"] =
                    json!({"contentType": answer.content_type, "outputLocation": self.output_location});
            }
            Err(reason) => {
                notice["invocationStatus"] = json!("Failed");
                notice["failureReason"] = json!(reason);
                if let Some(location) = &self.failure_location {
                    notice["responseParameters"] = json!({"failureLocation": location});
                }
            }
        }
        notice.to_string()
    }
}

impl SageMaker {
    pub(super) fn enqueue(&self, invocation: &AsyncInvocation) -> Response {
        let (queue, now) = (queue::of_endpoint(&invocation.endpoint), self.journal.clock().now_millis());
        let sent = serde_json::to_string(invocation).map_err(|error| error.to_string()).and_then(|body| {
            let send = |transaction: &rusqlite::Transaction<'_>| {
                // One that is being deleted empties its queue once.
                let endpoint = records::get::<Endpoint>(transaction, Kind::Endpoint, &invocation.endpoint)?;
                if endpoint.is_none_or(|endpoint| endpoint.value.status == Status::Deleting) {
                    return Ok::<_, rusqlite::Error>(false);
                }
                queue::send(transaction, &queue, &invocation.inference_id, &body, now, Duration::ZERO)?;
                Ok(true)
            };
            self.journal.write(send).map_err(|error| error.to_string())
        });
        match sent {
            Ok(true) => {}
            Ok(false) => return not_found(&invocation.endpoint),
            Err(error) => return json_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", &error),
        }
        tracing::info!(
            target: "hop", service = "SageMaker", action = "InvokeEndpointAsync",
            detail = %format_args!("{} {}", invocation.endpoint, invocation.inference_id)
        );
        let answer = json!({"InferenceId": invocation.inference_id});
        let mut response = (StatusCode::ACCEPTED, axum::Json(answer)).into_response();
        for (name, location) in [
            ("x-amzn-sagemaker-outputlocation", Some(&invocation.output_location)),
            ("x-amzn-sagemaker-failurelocation", invocation.failure_location.as_ref()),
        ] {
            if let Some(Ok(value)) = location.map(|location| HeaderValue::from_str(location)) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    /// Takes a request to its end, or breaks off where the endpoint is no longer there.
    pub(super) async fn process(&self, hosted: &Hosted, message: &Message) {
        let invocation = match serde_json::from_str::<AsyncInvocation>(&message.body) {
            Ok(invocation) => invocation,
            Err(error) => {
                tracing::error!(%error, request = message.request_id, "a queued invocation cannot be read");
                return queue::settle(&self.journal, |transaction| queue::delete(transaction, message)).await;
            }
        };
        let end = tokio::select! {
            end = self.attempt(hosted, &invocation, message) => end,
            () = hosted.gone() => return,
        };
        if self.journal.is_stopping() {
            return;
        }
        // The answer was expensive: it is kept until it is written.
        let mut pause = RETRY_AFTER;
        while let Err(error) = self.settle(&invocation, message, &end).await {
            tracing::error!(inference_id = message.request_id, %error, "an answer cannot be written: to be tried again");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = hosted.gone() => return,
            }
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }

    async fn attempt(&self, hosted: &Hosted, invocation: &AsyncInvocation, message: &Message) -> End {
        let age = u64::try_from(self.journal.clock().now_millis() - message.sent).unwrap_or(0);
        let left = Duration::from_secs(invocation.request_ttl_seconds).saturating_sub(Duration::from_millis(age));
        let serving = if left.is_zero() { None } else { hosted.healthy(left).await };
        let Some(serving) = serving else {
            return End::failed(format!(
                "Request expired after {} seconds in the queue",
                invocation.request_ttl_seconds
            ));
        };
        let input = match self.input(&invocation.input).await {
            Ok(input) => input,
            Err(reason) => return End::failed(reason),
        };
        let request = ModelRequest {
            content_type: invocation.content_type.clone(),
            accept: invocation.accept.clone(),
            custom_attributes: invocation.custom_attributes.clone(),
            inference_id: Some(invocation.inference_id.clone()),
        };
        let timeout = Duration::from_secs(invocation.invocation_timeout_seconds);
        let start = Instant::now();
        match serving.server.invoke(&request, input, timeout).await {
            Ok(answer) if answer.status.is_success() => {
                tracing::info!(
                    target: "hop", service = "SageMaker", action = "Invocation",
                    detail = %format_args!("{}, {} bytes", invocation.inference_id, answer.body.len()),
                    model_seconds = start.elapsed().as_secs_f64()
                );
                End::Completed(answer)
            }
            Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                End::Busy(answer.retry_after.map_or(RETRY_AFTER, Duration::from_secs))
            }
            Ok(answer) => {
                let words = String::from_utf8_lossy(&answer.body);
                let reason = format!("Received {} from primary with message \"{words}\"", kind(answer.status));
                End::Failed { reason, object: answer.body }
            }
            Err(InvokeError::Connection(error)) if message.receives < MAX_TRIES => {
                tracing::warn!(%error, inference_id = invocation.inference_id, "the model server broke off: to be tried again");
                End::Again(Duration::from_millis(100))
            }
            Err(InvokeError::NotHealthy) => End::Busy(Duration::from_millis(100)),
            Err(error) => End::failed(error.to_string()),
        }
    }

    async fn input(&self, input: &Input) -> Result<Bytes, String> {
        match input {
            Input::Inline(text) => STANDARD.decode(text).map(Bytes::from).map_err(|error| error.to_string()),
            Input::Location(location) => {
                let Some((bucket, key)) = s3_uri(location) else {
                    return Err(format!("{location} is no location"));
                };
                let read = self.store.read(bucket, key).await;
                read.map(|(_, bytes)| bytes).map_err(|error| format!("the input {location} cannot be read: {error}"))
            }
        }
    }

    /// Writes the answer, then tells of it and forgets the request in one transaction.
    async fn settle(&self, invocation: &AsyncInvocation, message: &Message, end: &End) -> Result<(), StoreError> {
        let now = self.journal.clock().now_millis();
        let (location, body, content_type, topic, notice) = match end {
            End::Again(delay) => {
                return Ok(self.journal.write(|transaction| queue::retry(transaction, message, now, *delay))?);
            }
            End::Busy(delay) => {
                return Ok(self.journal.write(|transaction| queue::postpone(transaction, message, now, *delay))?);
            }
            End::Completed(answer) => {
                let notice = invocation.notice(Ok(answer));
                let content_type = answer.content_type.clone();
                (
                    Some(&invocation.output_location),
                    &answer.body,
                    content_type,
                    &invocation.topics.success_topic,
                    notice,
                )
            }
            End::Failed { reason, object } => {
                tracing::info!(
                    target: "hop", service = "SageMaker", action = "Failure",
                    detail = %format_args!("{}: {reason}", invocation.inference_id)
                );
                let notice = invocation.notice(Err(reason));
                (invocation.failure_location.as_ref(), object, None, &invocation.topics.error_topic, notice)
            }
        };
        if let Some(location) = location {
            let (bucket, key) = s3_uri(location).ok_or_else(|| StoreError::NoSuchKey(location.clone()))?;
            let attributes = Attributes { content_type, ..Attributes::default() };
            self.store.put(bucket, key, body.clone(), attributes).await?;
        }
        self.journal.write(|transaction| {
            // The last part of its ARN is its name.
            if let Some(topic) = topic.as_ref().and_then(|arn| arn.rsplit(':').next()) {
                self.sns.publish(transaction, topic, Some(NOTICE_SUBJECT), &notice)?;
            }
            queue::delete(transaction, message)
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::configs::OutputConfig;
    use super::*;

    fn config() -> AsyncInferenceConfig {
        let output_config = OutputConfig {
            s3_output_path: "s3://o/strips/".into(),
            s3_failure_path: Some("s3://o/failures".into()),
            notification_config: None,
        };
        AsyncInferenceConfig { client_config: None, output_config }
    }

    fn accept(headers: &[(&'static str, &str)], body: &'static [u8]) -> Result<AsyncInvocation, String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (format!("x-amzn-sagemaker-{name}").parse().unwrap(), value.parse().unwrap()))
            .collect();
        AsyncInvocation::accept("e", &config(), &headers, &Bytes::from_static(body))
    }

    #[test]
    fn locations_and_defaults() {
        let invocation = accept(&[("inputlocation", "s3://i/k"), ("inference-id", "ada:1")], b"").unwrap();
        assert!(
            invocation.output_location.starts_with("s3://o/strips/") && invocation.output_location.ends_with(".out")
        );
        assert!(invocation.failure_location.unwrap().ends_with("-error.out"));
        assert_eq!((invocation.request_ttl_seconds, invocation.invocation_timeout_seconds), (21_600, 900));
        let named = [("inputlocation", "s3://i/k"), ("filename", "f.npy"), ("s3outputpathextension", "/a/")];
        assert_eq!(accept(&named, b"").unwrap().output_location, "s3://o/strips/a/f.npy");
    }

    #[test]
    fn what_is_refused() {
        assert!(accept(&[], b"").is_err());
        assert!(accept(&[("inputlocation", "s3://i/k")], b"body").is_err());
        assert!(accept(&[("inputlocation", "/tmp/x")], b"").is_err());
        assert!(accept(&[("inference-id", &"x".repeat(65))], b"body").is_err());
        assert!(accept(&[("requestttlseconds", "0")], b"body").is_err());
        assert!(accept(&[("invocationtimeoutseconds", "3601")], b"body").is_err());
        assert!(accept(&[], b"body").is_ok());
    }
}
