//! The sweep resumes abandoned jobs. The tests set the records of finished jobs back to a state in which a crash or a
//! lost notice leaves them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_lambda::primitives::Blob;
use serde_json::json;

use crate::support::{Up, picture};

const LONG_AGO: &str = "2020-01-01T00:00:00.000Z";

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

async fn set_back(up: &Up, id: &str, changes: &[(&str, &str)]) -> HashMap<String, AttributeValue> {
    let jobs = aws_sdk_dynamodb::Client::new(&up.sdk_config().await);
    let found = jobs.get_item().table_name("jobs").key("id", text(id)).send().await.unwrap();
    let mut item = found.item.unwrap();
    let shard = item["shard"].as_s().unwrap().replace("done", "open");
    item.insert("shard".to_owned(), AttributeValue::S(shard));
    item.insert("dueAt".to_owned(), text(LONG_AGO));
    item.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), text(value))));
    jobs.put_item().table_name("jobs").set_item(Some(item.clone())).send().await.unwrap();
    item
}

async fn sweep(up: &Up) {
    scheduled(up, json!([])).await;
}

/// Invokes image-processor as the schedule with these resources does.
async fn scheduled(up: &Up, resources: serde_json::Value) {
    assert_eq!(function_error(up, resources).await, None);
}

/// The same. Returns whether the function failed.
async fn function_error(up: &Up, resources: serde_json::Value) -> Option<String> {
    let lambda = aws_sdk_lambda::Client::new(&up.sdk_config().await);
    let event = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "resources": resources});
    let swept = lambda.invoke().function_name("image-processor").payload(Blob::new(event.to_string()));
    swept.send().await.unwrap().function_error
}

#[tokio::test]
async fn a_job_without_an_invocation_is_invoked_or_fails() {
    let up = Up::start();
    for (n, id) in ["again", "too-late", "gone"].into_iter().enumerate() {
        assert_eq!(up.send(id, picture(u8::try_from(n).unwrap())).await["status"], "SUCCESS");
    }
    let now = "2999-01-01T00:00:00.000Z";
    set_back(&up, "again", &[("status", "PENDING"), ("createdAt", now)]).await;
    // A job that nobody has tried for long is tried once more, since the clock may have been set.
    let moment =
        (jiff::Timestamp::now() - jiff::SignedDuration::from_secs(1)).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
    set_back(&up, "too-late", &[("status", "PENDING"), ("createdAt", LONG_AGO), ("dueAt", &moment)]).await;
    let s3 = up.s3().await;
    s3.delete_object().bucket("portraits").key("uploads/gone").send().await.unwrap();
    let changes = [("status", "PENDING"), ("createdAt", now), ("input", "inputs/gone/000000000000/1")];
    set_back(&up, "gone", &changes).await;
    sweep(&up).await;
    assert_eq!(up.settled("again").await["status"], "SUCCESS");
    assert_eq!(up.hops("InvokeEndpointAsync"), 4);
    assert_eq!(up.settled("too-late").await["error"]["code"], "TIMEOUT");
    assert_eq!(up.settled("gone").await["error"]["code"], "CORRUPT_IMAGE");
}

#[tokio::test]
async fn a_job_without_a_notice_is_settled_from_its_objects() {
    let up = Up::start();
    for (n, id) in ["output", "failure", "nothing"].into_iter().enumerate() {
        assert_eq!(up.send(id, picture(u8::try_from(n).unwrap())).await["status"], "SUCCESS");
    }
    let s3 = up.s3().await;
    let revision = up.json("/jobs/output").await["revision"].as_str().unwrap().to_owned();
    let strip = format!("images/output/{revision}/strip.npy");
    let panel = format!("images/output/{revision}/2.jpg");
    let copy = s3.copy_object().copy_source(format!("time-traveler/{strip}")).bucket("time-traveler");
    copy.key("strips/lost.out").send().await.unwrap();
    s3.delete_object().bucket("time-traveler").key(&panel).send().await.unwrap();
    let said = r#"{"code":"NO_FACE","message":"there is no face in 96x80"}"#;
    let failure =
        s3.put_object().bucket("time-traveler").key("failures/lost.out").body(said.as_bytes().to_vec().into());
    failure.send().await.unwrap();

    let output = [("status", "PROCESSING"), ("outputLocation", "s3://time-traveler/strips/lost.out")];
    set_back(&up, "output", &output).await;
    let failure = [("status", "PROCESSING"), ("failureLocation", "s3://time-traveler/failures/lost.out")];
    set_back(&up, "failure", &failure).await;
    set_back(&up, "nothing", &[("status", "PROCESSING")]).await;
    // This job is settled at its `lookAt`, long before its deadline.
    assert_eq!(up.send("early", picture(8)).await["status"], "SUCCESS");
    let key = format!("images/early/{}/strip.npy", up.json("/jobs/early").await["revision"].as_str().unwrap());
    let copy = s3.copy_object().copy_source(format!("time-traveler/{key}")).bucket("time-traveler");
    copy.key("strips/early.out").send().await.unwrap();
    let far = "2999-01-01T00:00:00.000Z";
    let output = [("status", "PROCESSING"), ("outputLocation", "s3://time-traveler/strips/early.out")];
    set_back(&up, "early", &[&output[..], &[("dueAt", far), ("lookAt", LONG_AGO)]].concat()).await;
    // This job is not due and does not change.
    assert_eq!(up.send("waits", picture(9)).await["status"], "SUCCESS");
    set_back(&up, "waits", &[("status", "PROCESSING"), ("dueAt", far)]).await;
    sweep(&up).await;
    assert_eq!(up.settled("early").await["status"], "SUCCESS");
    assert_eq!(up.settled("output").await["status"], "SUCCESS");
    assert!(up.get(&format!("/{panel}")).await.status().is_success());
    let failed = up.settled("failure").await;
    assert_eq!(failed["error"], json!({"code": "NO_FACE", "message": "there is no face in 96x80"}));
    assert_eq!(up.settled("nothing").await["error"]["code"], "TIMEOUT");
    assert_eq!(up.json("/jobs/waits").await["status"], "PROCESSING");
    let left = s3.list_objects_v2().bucket("time-traveler").prefix("strips/").send().await.unwrap();
    assert_eq!(left.key_count(), Some(0), "a settled output was left behind");
}

#[tokio::test]
async fn an_answer_that_cannot_be_processed_ends_its_job_after_the_deadline() {
    let up = Up::start();
    let s3 = up.s3().await;
    for (n, id) in ["over", "looked", "early"].into_iter().enumerate() {
        assert_eq!(up.send(id, picture(u8::try_from(n).unwrap())).await["status"], "SUCCESS");
        let key =
            format!("images/{id}/{}/strip.npy", up.json(&format!("/jobs/{id}")).await["revision"].as_str().unwrap());
        let copy = s3.copy_object().copy_source(format!("time-traveler/{key}")).bucket("portraits");
        copy.key(format!("strips/{id}.out")).send().await.unwrap();
    }
    // The panels have no bucket any more.
    for object in s3.list_objects_v2().bucket("time-traveler").send().await.unwrap().contents() {
        s3.delete_object().bucket("time-traveler").key(object.key().unwrap()).send().await.unwrap();
    }
    s3.delete_bucket().bucket("time-traveler").send().await.unwrap();

    let processing = |output| [("status", "PROCESSING"), ("outputLocation", output)];
    set_back(&up, "over", &processing("s3://portraits/strips/over.out")).await;
    // Without the bucket, the sweep cannot collect answers either, so that it fails each time.
    assert_eq!(function_error(&up, json!([])).await.as_deref(), Some("Unhandled"));
    assert_eq!(up.settled("over").await["error"]["code"], "TIMEOUT");
    let gone = s3.head_object().bucket("portraits").key("strips/over.out").send().await;
    assert!(gone.is_err(), "the answer of an ended job was left behind");

    // Before the deadline, and at the first look after it, the work is to be tried again.
    let far = [("dueAt", "2999-01-01T00:00:00.000Z"), ("lookAt", LONG_AGO)];
    set_back(&up, "early", &[&processing("s3://portraits/strips/early.out")[..], &far].concat()).await;
    let looked = [&processing("s3://portraits/strips/looked.out")[..], &[("lookAt", LONG_AGO)]].concat();
    set_back(&up, "looked", &looked).await;
    for _ in 0..2 {
        assert_eq!(function_error(&up, json!([])).await.as_deref(), Some("Unhandled"));
    }
    assert_eq!(up.settled("looked").await["error"]["code"], "TIMEOUT");
    assert_eq!(up.json("/jobs/early").await["status"], "PROCESSING");
}

#[tokio::test]
async fn keys_with_control_characters_stop_neither_the_sweep_nor_the_collection_of_orphans() {
    let up = Up::start();
    let s3 = up.s3().await;
    let keys =
        [("portraits", "uploads/me\u{2}.png"), ("portraits", "inputs/a\r/1"), ("time-traveler", "strips/\u{1b}.out")];
    for (bucket, key) in keys {
        s3.put_object().bucket(bucket).key(key).body(b"x".to_vec().into()).send().await.unwrap();
    }
    sweep(&up).await;
    let orphans = format!("arn:aws:events:us-east-1:0:rule/{}", pipeline::event::ORPHANS);
    scheduled(&up, json!([orphans])).await;
}
