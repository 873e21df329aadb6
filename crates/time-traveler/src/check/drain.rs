//! What a server does from SIGTERM on. SageMaker kills it 30 seconds after.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::StatusCode;

use super::probe::Probe;
use super::report::Report;

/// When SageMaker kills.
const KILLED: Duration = Duration::from_secs(30);
/// A request that was sent so long before the signal was taken.
const TAKEN: Duration = Duration::from_millis(50);
const CLIENTS: usize = 4;

/// A request around the time of the signal.
struct Sent {
    at: Instant,
    ended: Instant,
    /// Its status, or what became of it.
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
        // Some are under way by now, whatever a request takes.
        tokio::time::sleep(4 * TAKEN).await;
        let told = terminate(pid);
        let at = Instant::now();
        stopped.store(true, Ordering::Relaxed);
        let health = if told.is_ok() { health(probe).await } else { Ok(String::new()) };
        (told, at, health)
    };
    let (sent, (told, at, health)) = tokio::join!(clients, signal);
    if let Err(error) = told {
        report.rule("drain-exit", Err(error));
        return;
    }
    report.rule("drain-ping", health);
    let sent: Vec<Sent> = sent.into_iter().flatten().collect();
    report.rule("drain-answers", answers(&sent, at));
    report.rule("drain-exit", ends(pid, at).await);
}

/// One after the other, until one was sent after the signal.
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

/// From the signal on, nobody is to be sent here: `/ping` says 503, or there is no connection.
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

/// What was taken before the signal is answered after it.
fn answers(sent: &[Sent], signal: Instant) -> Result<String, String> {
    let taken: Vec<&Sent> = sent.iter().filter(|sent| sent.at + TAKEN < signal && sent.ended > signal).collect();
    for sent in &taken {
        let lost = match &sent.outcome {
            Ok(StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE) => continue,
            Ok(status) => status.to_string(),
            Err(error) => error.clone(),
        };
        return Err(format!("one of {} requests that were under way at SIGTERM: {lost}", taken.len()));
    }
    let served = taken.iter().filter(|sent| sent.outcome == Ok(StatusCode::OK)).count();
    Ok(format!("{} requests were under way at SIGTERM: {served} served, {} refused", taken.len(), taken.len() - served))
}

async fn ends(pid: u32, signal: Instant) -> Result<String, String> {
    while runs(pid) {
        if signal.elapsed() > KILLED {
            return Err(format!("runs {} s after SIGTERM, when SageMaker kills it", KILLED.as_secs()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(format!("ended {:.1} s after SIGTERM", signal.elapsed().as_secs_f64()))
}

/// Whether a process is there and more than its parent's memory of it.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat")));
    // The state follows the name, which may hold anything, in brackets.
    stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with(['Z', 'X'])))
}

/// By the command that every Unix has: the standard library sends no signal.
fn terminate(pid: u32) -> Result<(), String> {
    match std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("process {pid} cannot be told to end: one of this user's would work")),
        Err(error) => Err(format!("there is no command `kill`: {error}")),
    }
}
