//! `redrive`: events that failed as often as they are tried lie in a dead-letter queue; here they are handled again.

use std::time::Duration;

use anyhow::{Context, bail};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_lambda::config::Credentials;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_sdk_sqs::types::Message;
use serde_json::json;

use crate::cli::Redrive;
use crate::up::runtime;

/// How long a letter is hidden from others while it is handled, or shown.
const HIDDEN: Duration = Duration::from_secs(30);
/// Letters of a receipt.
const AT_ONCE: i32 = 10;
/// Characters of an event that are shown.
const SHOWN: usize = 300;

pub(crate) fn run(redrive: &Redrive) -> anyhow::Result<()> {
    let handled = runtime()?.block_on(async {
        let config = config(redrive.endpoint_url.as_deref()).await;
        handle(redrive, &aws_sdk_sqs::Client::new(&config), &aws_sdk_lambda::Client::new(&config)).await
    })?;
    let (verb, queue) = (if redrive.dry_run { "found" } else { "redriven" }, &redrive.queue);
    if redrive.json {
        println!("{}", json!({"queue": queue, verb: handled}));
    } else {
        println!("{handled} {verb} in {queue}");
    }
    Ok(())
}

/// As the environment says; at an endpoint that is named, any credentials will do if there are none.
async fn config(endpoint_url: Option<&str>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(url) = endpoint_url {
        loader = loader.endpoint_url(url);
        if std::env::var_os("AWS_REGION").is_none() && std::env::var_os("AWS_DEFAULT_REGION").is_none() {
            loader = loader.region(Region::from_static("us-east-1"));
        }
        if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() && std::env::var_os("AWS_PROFILE").is_none() {
            loader = loader.credentials_provider(Credentials::new("local", "local", None, None, "none were set"));
        }
    }
    loader.load().await
}

async fn handle(
    redrive: &Redrive,
    sqs: &aws_sdk_sqs::Client,
    lambda: &aws_sdk_lambda::Client,
) -> anyhow::Result<usize> {
    let queue = &redrive.queue;
    let found = sqs.get_queue_url().queue_name(queue).send().await;
    let url = found.with_context(|| format!("the queue {queue} cannot be found"))?;
    let url = url.queue_url().with_context(|| format!("the queue {queue} has no address"))?.to_owned();
    let hidden = i32::try_from(HIDDEN.as_secs())?;
    let mut handled = 0;
    loop {
        let receive = sqs.receive_message().queue_url(&url).max_number_of_messages(AT_ONCE).visibility_timeout(hidden);
        let letters = receive.send().await.with_context(|| format!("the queue {queue} cannot be read"))?;
        if letters.messages().is_empty() {
            return Ok(handled);
        }
        for letter in letters.messages() {
            show(letter, redrive.json);
            if !redrive.dry_run {
                invoke(lambda, &redrive.function, letter).await?;
                // Last: what is handled twice has the same effect as once, what is lost has none.
                let Some(receipt) = letter.receipt_handle() else {
                    bail!("a message of {queue} has no receipt handle")
                };
                let deleted = sqs.delete_message().queue_url(&url).receipt_handle(receipt).send().await;
                deleted.with_context(|| format!("an event was redriven, but is still in {queue}"))?;
            }
            handled += 1;
        }
    }
}

async fn invoke(lambda: &aws_sdk_lambda::Client, function: &str, letter: &Message) -> anyhow::Result<()> {
    let event = Blob::new(letter.body().unwrap_or_default());
    let invoked = lambda.invoke().function_name(function).invocation_type(InvocationType::Event).payload(event);
    invoked
        .send()
        .await
        .with_context(|| format!("the function {function} cannot be invoked: the event stays there"))?;
    Ok(())
}

fn show(letter: &Message, quiet: bool) {
    if !quiet {
        let event = letter.body().unwrap_or_default();
        let shown: String = event.chars().take(SHOWN).collect();
        let more = if shown.len() < event.len() { "..." } else { "" };
        println!("{} {shown}{more}", letter.message_id().unwrap_or("?"));
    }
}
