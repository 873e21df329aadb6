//! `redrive`: invoke a function once more with the events of its dead-letter queue, where events go whose retries all failed.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::client::aws::{self, Lambda, Message, Sqs};
use crate::escape;
use crate::runtime::runtime;

/// How long a received event is invisible to others.
const INVISIBLE: Duration = Duration::from_secs(30);
/// Characters of an event that are shown.
const SHOWN: usize = 300;

#[derive(Debug, Args)]
pub(crate) struct Redrive {
    /// The dead-letter queue
    #[arg(long, default_value = "image-processor-dead-letters")]
    queue: String,
    /// The function to invoke with each event
    #[arg(long, default_value = "image-processor")]
    function: String,
    /// The AWS endpoint, such as http://127.0.0.1:4566 of `up` [default: from the environment, as for any AWS tool]
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Only show the events
    #[arg(long)]
    dry_run: bool,
    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(redrive: &Redrive) -> anyhow::Result<()> {
    let handled = runtime()?.block_on(async {
        let config = aws::config(redrive.endpoint_url.as_deref()).await;
        handle(redrive, &Sqs::new(&config)?, &Lambda::new(&config)?).await
    })?;
    let (verb, queue) = (if redrive.dry_run { "found" } else { "redriven" }, &redrive.queue);
    if redrive.json {
        print_line!("{}", json!({"queue": queue, verb: handled}))
    } else {
        print_line!("{handled} {verb} in {queue}")
    }
}

async fn handle(redrive: &Redrive, sqs: &Sqs, lambda: &Lambda) -> anyhow::Result<usize> {
    let Redrive { queue, function, .. } = redrive;
    let found = sqs.get_queue_url(queue).await;
    let url = found.with_context(|| format!("the queue {queue} cannot be found"))?;
    let mut handled = 0;
    loop {
        let received = sqs.receive_messages(&url, INVISIBLE).await;
        let messages = received.with_context(|| format!("the queue {queue} cannot be read"))?;
        if messages.is_empty() {
            return Ok(handled);
        }
        for message in messages {
            if !redrive.json {
                show(&message)?;
            }
            if !redrive.dry_run {
                let invoked = lambda.invoke_async(function, &message.body).await;
                invoked.with_context(|| {
                    format!("the function {function} cannot be invoked: the event stays in the queue {queue}")
                })?;
                // Last, since an event may be handled twice, but must not be lost.
                let deleted = sqs.delete_message(&url, &message.receipt_handle).await;
                deleted.with_context(|| format!("an event was redriven, but is still in the queue {queue}"))?;
            }
            handled += 1;
        }
    }
}

fn show(message: &Message) -> anyhow::Result<()> {
    let event = &message.body;
    let shown: String = event.chars().take(SHOWN).collect();
    let more = if shown.len() < event.len() { "..." } else { "" };
    print_line!("{} {}{more}", escape::line(&message.id), escape::line(&shown))
}
