//! The headers and the error texts of the model container's invocations.

use serde::Deserialize;

use crate::{Ages, AgesError, ErrorCode, JobError, Search};

/// The header that carries `CustomAttributes` from SageMaker to the container, and back from it. The local cloud keeps those of an
/// asynchronous answer as metadata of its output, under the same name.
pub const CUSTOM_ATTRIBUTES_HEADER: &str = "x-amzn-sagemaker-custom-attributes";
/// The header that carries the inference id from SageMaker to the container, if the invocation has one.
pub const INFERENCE_ID_HEADER: &str = "x-amzn-sagemaker-inference-id";

/// `CustomAttributes` of an invocation: `ages=20,40,60,80`.
pub fn custom_attributes(ages: &Ages) -> String {
    format!("ages={ages}")
}

/// The ages in `CustomAttributes`; `None` without an `ages=`. Attributes are separated by `;`, and unknown ones are ignored.
///
/// # Errors
/// [`AgesError`] where `ages=` cannot be read.
pub fn ages_of(custom_attributes: &str) -> Result<Option<Ages>, AgesError> {
    custom_attributes.split(';').find_map(|part| part.trim().strip_prefix("ages=")).map(str::parse).transpose()
}

/// `CustomAttributes` of the container's answer: `engine=sam`.
pub fn engine_attribute(engine: &str) -> String {
    format!("engine={engine}")
}

/// The engine in `CustomAttributes` of an answer; `None` without an `engine=`, or with an empty one.
pub fn engine_of(custom_attributes: &str) -> Option<&str> {
    let named = custom_attributes.split(';').find_map(|part| part.trim().strip_prefix("engine="));
    named.filter(|engine| !engine.is_empty())
}

/// The error in a failure object or a `failureReason`.
///
/// The container answers `{"code","message"}`, and `search` where a face was looked for. SageMaker stores that answer in the
/// failure object unchanged, and quotes it inside `failureReason`, sometimes with its quotes escaped. A text without such an answer
/// is SageMaker's own error.
pub fn failure(text: &str) -> JobError {
    if let Some(error) = quoted_error(text).or_else(|| quoted_error(&text.replace("\\\"", "\""))) {
        return error;
    }
    let lower = text.to_ascii_lowercase();
    let code = if lower.contains("timed out") || lower.contains("timeout") || lower.contains("expired") {
        ErrorCode::Timeout
    } else {
        ErrorCode::ModelError
    };
    let reason: String = text.trim().chars().take(500).collect();
    let message = if reason.is_empty() { "the model server failed without a reason".to_owned() } else { reason };
    JobError::new(code, message)
}

/// The container's error answer. Unknown fields are refused, because objects nested in them would each be parsed again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quoted {
    code: ErrorCode,
    message: String,
    #[serde(default)]
    search: Option<Search>,
}

fn quoted_error(text: &str) -> Option<JobError> {
    let read = |start: usize| serde_json::Deserializer::from_str(&text[start..]).into_iter::<Quoted>().next()?.ok();
    let Quoted { code, message, search } = text.match_indices('{').find_map(|(start, _)| read(start))?;
    Some(JobError { code, message, search })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_round_trip() {
        let ages: Ages = "5,70".parse().unwrap();
        assert_eq!(ages_of(&custom_attributes(&ages)), Ok(Some(ages)));
        assert_eq!(ages_of("trace=1; ages=7"), Ok(Some("7".parse().unwrap())));
        assert_eq!(ages_of("trace=1"), Ok(None));
        assert!(ages_of("ages=old").is_err());
        assert_eq!(engine_of(&engine_attribute("sam")), Some("sam"));
        assert_eq!(engine_of("trace=1; engine=preview"), Some("preview"));
        assert_eq!((engine_of("trace=1"), engine_of("engine=")), (None, None));
    }

    #[test]
    fn finds_the_containers_error() {
        let body = r#"{"code":"NO_FACE","message":"no face in 512x512"}"#;
        let expected = JobError::new(ErrorCode::NoFace, "no face in 512x512");
        assert_eq!(failure(body), expected);
        let quoted =
            format!("ClientError: Received client error (400) from primary with message \"{body}\". See {{x}}");
        assert_eq!(failure(&quoted), expected);
        let escaped = body.replace('"', "\\\"");
        assert_eq!(failure(&format!("Received client error (400) with message \"{escaped}\"")), expected);
        let searched = r#"{"code":"NO_FACE","message":"none","search":{"width":640,"height":480,"least":40}}"#;
        let search = Search { width: 640, height: 480, least: Some(40), face: None };
        assert_eq!(failure(&format!("message \"{searched}\"")).search, Some(search));
    }

    #[test]
    fn finds_an_error_in_a_nested_object_without_deep_recursion() {
        let nested = "{\"a\":".repeat(2000);
        assert_eq!(failure(&nested).code, ErrorCode::ModelError);
        let known = r#"{"a":{"code":"NO_FACE","message":"none"}}"#;
        assert_eq!(failure(known).code, ErrorCode::NoFace);
    }

    #[test]
    fn classifies_sagemakers_own_errors() {
        assert_eq!(failure("Model invocation timed out").code, ErrorCode::Timeout);
        assert_eq!(failure("Request expired before it was processed").code, ErrorCode::Timeout);
        assert_eq!(failure("connection reset {").code, ErrorCode::ModelError);
        assert!(!failure("").message.is_empty());
    }
}
