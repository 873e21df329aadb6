//! How a server ends after SIGTERM. SageMaker kills it 30 seconds later.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::StatusCode;

use super::probe::Probe;
use super::report::Report;

/// How long SageMaker waits between SIGTERM and SIGKILL.
const KILLED: Duration = Duration::from_secs(30);
/// A request sent this long before the signal counts as accepted by the server.
const ACCEPTED: Duration = Duration::from_millis(50);
const CLIENTS: usize = 4;

/// A request around the time of the signal.
struct Sent {
    at: Instant,
    ended: Instant,
    /// The answer's status, or why there was none.
    outcome: Result<StatusCode, String>,
}

pub(super) async fn check(probe: &Probe, pid: u32, report: &mut Report) {
    if !runs(pid) {
        report.rule("drain-exit", Err(format!("there is no process {pid}")));
        return;
    }
    let stopped = AtomicBool::new(false);
    let clients = join_all((0..CLIENTS).map(|_| requests(probe, &stopped)));
    let signal = async {
        // By then, requests are under way.
        tokio::time::sleep(4 * ACCEPTED).await;
        let signalled = terminate(pid);
        let at = Instant::now();
        stopped.store(true, Ordering::Relaxed);
        let health = if signalled.is_ok() { health(probe).await } else { Ok(String::new()) };
        (signalled, at, health)
    };
    let (sent, (signalled, at, health)) = tokio::join!(clients, signal);
    if let Err(error) = signalled {
        report.rule("drain-exit", Err(error));
        return;
    }
    report.rule("drain-ping", health);
    let sent: Vec<Sent> = sent.into_iter().flatten().collect();
    report.rule("drain-answers", answers(&sent, at));
    report.rule("drain-exit", ends(pid, at).await);
}

/// Sends one request after another, the last one after the signal.
async fn requests(probe: &Probe, stopped: &AtomicBool) -> Vec<Sent> {
    let mut sent = Vec::new();
    loop {
        let (last, at) = (stopped.load(Ordering::Relaxed), Instant::now());
        let outcome = probe.invoke().await.map(|answer| answer.status);
        sent.push(Sent { at, ended: Instant::now(), outcome });
        if last {
            return sent;
        }
    }
}

/// After the signal, the server takes no more work: `/ping` answers 503, or the connection is refused.
async fn health(probe: &Probe) -> Result<String, String> {
    let start = Instant::now();
    loop {
        match probe.ping().await {
            Ok(answer) if answer.status == StatusCode::OK => {
                if start.elapsed() > Duration::from_secs(1) {
                    return Err("200 a second after SIGTERM: 503 is needed".to_owned());
                }
            }
            Ok(answer) => return Ok(answer.brief()),
            Err(error) => return Ok(error),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Requests that were accepted before the signal are answered after it.
fn answers(sent: &[Sent], signal: Instant) -> Result<String, String> {
    let accepted: Vec<&Sent> = sent.iter().filter(|sent| sent.at + ACCEPTED < signal && sent.ended > signal).collect();
    for sent in &accepted {
        let lost = match &sent.outcome {
            Ok(StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE) => continue,
            Ok(status) => status.to_string(),
            Err(error) => error.clone(),
        };
        return Err(format!("one of {} requests that were under way at SIGTERM: {lost}", accepted.len()));
    }
    let served = accepted.iter().filter(|sent| sent.outcome == Ok(StatusCode::OK)).count();
    Ok(format!(
        "{} requests were under way at SIGTERM: {served} served, {} refused",
        accepted.len(),
        accepted.len() - served
    ))
}

async fn ends(pid: u32, signal: Instant) -> Result<String, String> {
    while runs(pid) {
        if signal.elapsed() > KILLED {
            return Err(format!("still runs {} s after SIGTERM, when SageMaker kills it", KILLED.as_secs()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(format!("ended {:.1} s after SIGTERM", signal.elapsed().as_secs_f64()))
}

/// Whether a process runs, and is no zombie.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat")));
    // The state follows the name, which stands in brackets and may hold any character.
    stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with(['Z', 'X'])))
}

/// Sends SIGTERM by the command `kill`, since the standard library sends no signals.
fn terminate(pid: u32) -> Result<(), String> {
    match std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("process {pid} cannot be sent SIGTERM: it has to belong to this user")),
        Err(error) => Err(format!("there is no command `kill`: {error}")),
    }
}
