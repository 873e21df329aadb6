//! Many clients at once, and clients that hang up.

use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::probe::{Answer, Probe};
use super::report::Report;
use super::serving::{PING, serves};

/// Clients that hang up, in the middle of a request or while they wait, do not disturb others.
pub(super) async fn hang_up(probe: &Probe) -> Result<String, String> {
    const EACH: usize = 4;
    let head = probe.head();
    for part in [probe.message.body.len() / 2, probe.message.body.len()] {
        for _ in 0..EACH {
            let left = async {
                let mut stream = TcpStream::connect(probe.authority()).await?;
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&probe.message.body[..part]).await?;
                // The bytes sent still arrive.
                stream.shutdown().await
            };
            left.await.map_err(|error| format!("a client could not send: {error}"))?;
        }
    }
    serves(probe).await.map(|seen| format!("{} clients hung up; {seen}", 2 * EACH))
}

/// Sends `clients` requests at the same time, and pings meanwhile. `alone` is the answer to the same request alone.
pub(super) async fn check(probe: &Probe, clients: usize, alone: Option<&Answer>, report: &mut Report) {
    let requests = join_all((0..clients).map(|_| probe.invoke()));
    tokio::pin!(requests);
    let mut pings = Vec::new();
    let answers = loop {
        // SageMaker pings too, less often.
        let pinged = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            probe.ping().await
        };
        tokio::select! {
            answers = &mut requests => break answers,
            ping = pinged => pings.push(ping),
        }
    };
    report.rule("load", answered(&answers, alone));
    report.rule("overload", overload(&answers));
    report.rule("ping-under-load", pinged(&pings));
}

/// Each request is served, or refused for now.
fn answered(answers: &[Result<Answer, String>], alone: Option<&Answer>) -> Result<String, String> {
    let (mut served, mut refused) = (0, 0);
    for answer in answers {
        let answer = answer.as_ref().map_err(|error| format!("one of {} requests: {error}", answers.len()))?;
        match answer.status {
            StatusCode::OK => served += 1,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => refused += 1,
            _ => return Err(format!("one of {} requests: {}: 200 or 503 is needed", answers.len(), answer.brief())),
        }
    }
    if served == 0 {
        return Err(format!("none of {refused} requests was served"));
    }
    let same = answers.iter().flatten().filter_map(Answer::succeeded);
    let differing = alone.map_or(0, |alone| same.filter(|answer| answer.body != alone.body).count());
    match differing {
        0 => Ok(format!("{served} served with the same body as one alone, {refused} refused for now")),
        _ => Err(format!("{differing} of {served} answers differ from the answer to the same request alone")),
    }
}

fn overload(answers: &[Result<Answer, String>]) -> Result<String, String> {
    let refused = answers.iter().flatten().filter(|answer| answer.succeeded().is_none());
    let mut after = None;
    for answer in refused {
        match answer.header(RETRY_AFTER) {
            Some(seconds) => after = Some(seconds),
            None => return Err(format!("{} without Retry-After", answer.brief())),
        }
    }
    Ok(after.map_or_else(|| "none seen".to_owned(), |seconds| format!("Retry-After: {seconds}")))
}

fn pinged(pings: &[Result<Answer, String>]) -> Result<String, String> {
    let mut longest = Duration::ZERO;
    for ping in pings {
        let ping = ping.as_ref().map_err(|error| format!("one of {}: {error}", pings.len()))?;
        // A busy server is healthy: SageMaker replaces a server that is not.
        if ping.status != StatusCode::OK {
            return Err(format!("one of {}: {}", pings.len(), ping.brief()));
        }
        longest = longest.max(ping.elapsed);
    }
    let seen = format!("{} times 200, in at most {:.0} ms", pings.len(), longest.as_secs_f64() * 1e3);
    if longest < PING { Ok(seen) } else { Err(format!("{seen}: less than {} s are needed", PING.as_secs())) }
}
