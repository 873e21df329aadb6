//! Events that failed in every retry are in the dead-letter queue, and can be redriven.

use std::process::{Command, Output};
use std::time::Duration;

use aws_sdk_lambda::types::InvocationType;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;

use crate::support::{BINARY, PATIENCE, Up};

const QUEUE: &str = "image-processor-dead-letters";

fn redrive(up: &Up, arguments: &[&str]) -> Output {
    let command = ["redrive", "--endpoint-url", &up.aws];
    Command::new(BINARY).args(command).args(arguments).output().unwrap()
}

/// The number of dead letters, hidden ones included.
async fn letters(up: &Up) -> u32 {
    let sqs = aws_sdk_sqs::Client::new(&up.sdk_config().await);
    let url = sqs.get_queue_url().queue_name(QUEUE).send().await.unwrap().queue_url.unwrap();
    let names =
        [QueueAttributeName::ApproximateNumberOfMessages, QueueAttributeName::ApproximateNumberOfMessagesNotVisible];
    let asked = sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
    let found = asked.send().await.unwrap().attributes.unwrap();
    names.iter().map(|name| found[name].parse::<u32>().unwrap()).sum()
}

#[tokio::test]
async fn dead_letters_are_shown_and_redriven() {
    let up = Up::start();
    let none = redrive(&up, &["--json"]);
    let line: Value = serde_json::from_slice(&none.stdout).unwrap();
    assert_eq!((&line["queue"], &line["redriven"]), (&Value::from(QUEUE), &Value::from(0)));

    let lambda = aws_sdk_lambda::Client::new(&up.sdk_config().await);
    let poison = lambda.invoke().function_name("image-processor").invocation_type(InvocationType::Event);
    let event = "{\"poison\": true, \"of\": \"\u{9b}2J\"}\n";
    poison.payload(event.as_bytes().into()).send().await.unwrap();
    let given_up = async {
        while letters(&up).await != 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, given_up).await.unwrap();
    let shown = redrive(&up, &["--dry-run"]);
    let stdout = String::from_utf8_lossy(&shown.stdout).into_owned();
    // U+009B begins a sequence that terminals act on, and a line feed begins a line.
    assert!(!stdout.contains('\u{9b}') && stdout.lines().count() == 2, "{stdout:?}");
    assert!(
        stdout.contains(r#"{"poison": true, "of": "\u009b2J"}"#) && stdout.contains(&format!("1 found in {QUEUE}")),
        "{stdout}"
    );
    assert_eq!(letters(&up).await, 1, "a dry run changes nothing");

    // A message that was received is invisible for half a minute.
    let again = async {
        loop {
            let line: Value = serde_json::from_slice(&redrive(&up, &["--json"]).stdout).unwrap();
            if line["redriven"] == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
    assert_eq!(letters(&up).await, 0, "the event is redriven");
}

#[tokio::test]
async fn a_missing_queue_is_named() {
    let up = Up::start();
    let output = redrive(&up, &["--queue", "no-such-queue"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && stderr.contains("the queue no-such-queue cannot be found"), "{stderr}");
}
