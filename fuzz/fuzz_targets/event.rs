//! The events that start image-processor (JSON from AWS), and the texts of failed invocations from a model server or
//! SageMaker.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pipeline::event::{ObjectCreated, Trigger, triggers};
use pipeline::{ErrorCode, InferenceId, JobError, PortraitKey, Revision, invocation, keys};
use serde_json::{Value, json};

/// Encodes a key as S3 does in its own notifications.
fn url_encoded(key: &str) -> String {
    let encoded = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    key.bytes().map(encoded).collect()
}

fn only(event: &Value) -> Trigger {
    let mut triggers = triggers(event).expect("a known kind of event");
    assert_eq!(triggers.len(), 1);
    triggers.remove(0).expect("a whole record")
}

/// An upload's event has the same meaning in both formats, and the key of its copy identifies the upload.
fn created(object: &ObjectCreated) {
    // S3's own notifications cannot be replayed.
    let object = &ObjectCreated { replayed: false, ..object.clone() };
    let ObjectCreated { bucket, key, etag, size, sequencer, replayed: _ } = object;
    let detail = |key: &str| {
        let object = json!({"key": key, "size": size, "etag": etag, "sequencer": sequencer});
        json!({"bucket": {"name": bucket}, "object": object})
    };
    let eventbridge = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": detail(key)});
    assert_eq!(only(&eventbridge), Trigger::ObjectCreated(object.clone()));
    let s3 = json!({"Records": [{"eventSource": "aws:s3", "s3": detail(&url_encoded(key))}]});
    assert_eq!(only(&s3), Trigger::ObjectCreated(object.clone()));

    let Some(Ok(id)) = keys::uploaded(key).map(str::parse::<PortraitKey>) else { return };
    assert_eq!(keys::upload(&id), *key);
    let revision = Revision::new(etag, "20,40");
    assert_eq!(revision.as_str().parse().as_ref(), Ok(&revision));
    let input = keys::input(&id, &revision, sequencer);
    assert!(input.starts_with(&keys::inputs(&id)) && keys::uploaded(&input).is_none());
    if sequencer.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()) {
        assert_eq!(keys::split_input(&input), Some((revision, sequencer.clone())));
        let output = format!("{}{}/1.out", keys::STRIPS, keys::output_folder(&input));
        assert_eq!((keys::portrait(&input), keys::split_output(&output)), (Some(id.clone()), Some((id, input))));
    }
}

fn event(event: &Value) {
    let Ok(triggers) = triggers(event) else { return };
    for trigger in triggers {
        match trigger {
            Ok(Trigger::ObjectCreated(object)) => created(&object),
            Ok(Trigger::InferenceResult(result)) => {
                if let Ok(id) = result.inference_id.parse::<InferenceId>() {
                    assert_eq!(id.to_string(), result.inference_id);
                }
                let message = serde_json::to_string(&result).expect("a notice is JSON");
                let again = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": message}}]});
                assert_eq!(only(&again), Trigger::InferenceResult(result));
            }
            Ok(_) => (),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn account(text: &str) {
    let error = invocation::failure(text);
    let ours = JobError::new(ErrorCode::NoFace, text);
    assert_eq!(invocation::failure(&json!(ours).to_string()), ours);
    assert_eq!(invocation::failure(&json!(error).to_string()), error);
    if let Ok(Some(ages)) = invocation::ages_of(text) {
        assert_eq!(invocation::ages_of(&invocation::custom_attributes(&ages)), Ok(Some(ages)));
    }
}

fuzz_target!(init: fuzz::limit_memory(4, 32), |text: &str| {
    account(text);
    if let Ok(json) = serde_json::from_str(text) {
        event(&json);
    }
});
