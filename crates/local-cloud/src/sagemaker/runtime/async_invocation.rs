//! `InvokeEndpointAsync`: an invocation is checked and queued. A [`Worker`](super::Worker) carries it out.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::members::Members;
use super::refusal::not_found;
use crate::REGION;
use crate::aws_error::json_error;
use crate::clock::now_rfc3339;
use crate::error::chain;
use crate::journal::Journal;
use crate::queue;
use crate::s3::split_uri;
use crate::sagemaker::records::{self, AsyncInferenceConfig, Endpoint, Kind, NotificationConfig, Status};

/// An asynchronous invocation, as it is queued.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AsyncInvocation {
    pub(super) endpoint: String,
    pub(super) inference_id: String,
    pub(super) input: Input,
    pub(super) content_type: Option<String>,
    pub(super) accept: Option<String>,
    pub(super) custom_attributes: Option<String>,
    pub(super) request_ttl_seconds: u64,
    pub(super) invocation_timeout_seconds: u64,
    pub(super) output_location: String,
    /// Without it, failures are published only.
    pub(super) failure_location: Option<String>,
    /// The topics of the result.
    #[serde(default)]
    pub(super) topics: NotificationConfig,
    received_time: String,
}

/// The input of an invocation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Input {
    /// `s3://bucket/key`.
    Location(String),
    /// Base64.
    Inline(String),
}

impl AsyncInvocation {
    /// Checks a request. An error names the header and what would work.
    pub(super) fn accept(
        endpoint: &str,
        config: &AsyncInferenceConfig,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Self, String> {
        let mut members = Members::new(headers);
        let content_type = members.media_type("contentType", "x-amzn-sagemaker-content-type");
        let accept = members.media_type("accept", "x-amzn-sagemaker-accept");
        let custom_attributes = members.custom_attributes();
        let inference_id = members.inference_id();
        let location = members.input_location();
        let extension = members.output_path_extension();
        let filename = members.filename();
        let request_ttl_seconds = members.seconds("requestTTLSeconds", 21_600, (60, 21_600));
        let invocation_timeout_seconds = members.seconds("invocationTimeoutSeconds", 900, (1, 3600));
        members.done()?;
        let input = match (location, body.is_empty()) {
            (Some(location), true) if split_uri(&location).is_some() => Input::Location(location),
            (Some(location), true) => return Err(format!("InputLocation {location:?} is not s3://bucket/key")),
            (None, false) => Input::Inline(STANDARD.encode(body)),
            (Some(_), false) => return Err("InputLocation and Body are mutually exclusive".to_owned()),
            (None, true) => return Err("one of InputLocation and Body is required".to_owned()),
        };
        let folder = |path: &str| match &extension {
            Some(extension) => format!("{}/{}", path.trim_end_matches('/'), extension.trim_matches('/')),
            None => path.trim_end_matches('/').to_owned(),
        };
        let output = &config.output_config;
        let stem = Uuid::new_v4().to_string();
        let file = filename.unwrap_or_else(|| format!("{stem}.out"));
        Ok(Self {
            endpoint: endpoint.to_owned(),
            inference_id: inference_id.unwrap_or_else(|| Uuid::new_v4().to_string()),
            input,
            content_type,
            accept,
            custom_attributes,
            request_ttl_seconds,
            invocation_timeout_seconds,
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

    /// The notice of its result (*Check prediction results*, SageMaker Developer Guide): the media type of the output, or the reason of
    /// the failure.
    pub(super) fn notice(&self, result: Result<Option<&str>, &str>) -> String {
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
        match result {
            Ok(content_type) => {
                notice["invocationStatus"] = json!("Completed");
                notice["responseParameters"] =
                    json!({"contentType": content_type, "outputLocation": self.output_location});
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

    /// Queues the invocation, unless its endpoint is being deleted. Returns the answer to the request.
    pub(super) fn enqueue(&self, journal: &Journal) -> Response {
        let (queue, now) = (queue::of_endpoint(&self.endpoint), journal.clock().now_millis());
        let sent = serde_json::to_string(self).map_err(|error| chain(&error)).and_then(|body| {
            let send = |transaction: &rusqlite::Transaction<'_>| {
                // The deletion of an endpoint empties its queue only once.
                let endpoint = records::get::<Endpoint>(transaction, Kind::Endpoint, &self.endpoint)?;
                if endpoint.is_none_or(|endpoint| endpoint.value.status == Status::Deleting) {
                    return Ok::<_, rusqlite::Error>(false);
                }
                queue::send(transaction, &queue, &self.inference_id, &body, now, Duration::ZERO)?;
                Ok(true)
            };
            journal.write(send).map_err(|error| chain(&error))
        });
        match sent {
            Ok(true) => {}
            Ok(false) => return not_found(&self.endpoint),
            Err(error) => return json_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", &error),
        }
        tracing::info!(
            target: "hop", service = "SageMaker", action = "InvokeEndpointAsync",
            detail = %format_args!("{} {}", self.endpoint, self.inference_id)
        );
        let answer = json!({"InferenceId": self.inference_id});
        let mut response = (StatusCode::ACCEPTED, axum::Json(answer)).into_response();
        for (name, location) in [
            ("x-amzn-sagemaker-outputlocation", Some(&self.output_location)),
            ("x-amzn-sagemaker-failurelocation", self.failure_location.as_ref()),
        ] {
            if let Some(Ok(value)) = location.map(|location| HeaderValue::from_str(location)) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sagemaker::records::OutputConfig;

    fn config() -> AsyncInferenceConfig {
        let output_config = OutputConfig {
            s3_output_path: "s3://o/out/".into(),
            s3_failure_path: Some("s3://o/failures".into()),
            ..OutputConfig::default()
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
    fn locations_and_times_have_defaults() {
        let invocation = accept(&[("inputlocation", "s3://i/k"), ("inference-id", "ada:1")], b"").unwrap();
        assert!(invocation.output_location.starts_with("s3://o/out/") && invocation.output_location.ends_with(".out"));
        assert!(invocation.failure_location.unwrap().ends_with("-error.out"));
        assert_eq!((invocation.request_ttl_seconds, invocation.invocation_timeout_seconds), (21_600, 900));
        let named = [("inputlocation", "s3://i/k"), ("filename", "f.bin"), ("s3outputpathextension", "/a/")];
        assert_eq!(accept(&named, b"").unwrap().output_location, "s3://o/out/a/f.bin");
    }

    #[test]
    fn bad_requests_are_refused() {
        assert!(accept(&[], b"").is_err());
        assert!(accept(&[("inputlocation", "s3://i/k")], b"body").is_err());
        assert!(accept(&[("inputlocation", "/tmp/x")], b"").is_err());
        assert!(accept(&[("inference-id", &"x".repeat(65))], b"body").is_err());
        assert!(accept(&[("requestttlseconds", "59")], b"body").is_err());
        assert!(accept(&[("filename", "../../x")], b"body").is_err());
        assert!(accept(&[("invocationtimeoutseconds", "3601")], b"body").is_err());
        assert!(accept(&[], b"body").is_ok());
    }
}
