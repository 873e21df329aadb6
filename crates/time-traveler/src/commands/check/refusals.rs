//! Requests that cannot be served are refused as the client's fault, with the reason.

use super::probe::{Answer, Probe};
use super::report::Report;

/// A content type that no server knows.
const UNKNOWN: &str = "application/x-nobody-knows";

pub(super) async fn check(probe: &Probe, report: &mut Report) {
    let mut refusals = Vec::new();
    let mut refused = |report: &mut Report, name, answer: Result<Answer, String>| {
        report.rule(name, is_refusal(&answer));
        refusals.extend(answer.ok().filter(|answer| answer.status.is_client_error()));
    };
    let (content_type, accept) = (probe.message.content_type.as_str(), probe.message.accept.as_str());
    refused(report, "empty-body", probe.invoke_with(Vec::new(), content_type, accept).await);
    let garbage: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    refused(report, "bad-body", probe.invoke_with(garbage, content_type, accept).await);
    // Half of a table can be a valid table; half of a picture is never a valid picture.
    if content_type.starts_with("image/") {
        let half = probe.message.body[..probe.message.body.len() / 2].to_vec();
        refused(report, "half-a-body", probe.invoke_with(half, content_type, accept).await);
    }
    refused(report, "bad-content-type", probe.invoke_with(probe.message.body.clone(), UNKNOWN, accept).await);
    refused(report, "bad-accept", probe.invoke_with(probe.message.body.clone(), content_type, UNKNOWN).await);
    refused(report, "bad-method", probe.get("/invocations").await);
    refused(report, "bad-path", probe.get("/nothing-is-here").await);
    report.rule("refusals-explain", explained(&refusals));
}

fn is_refusal(answer: &Result<Answer, String>) -> Result<String, String> {
    let answer = answer.as_ref().map_err(|error| format!("{error}: a 4xx is needed"))?;
    match answer.status.is_client_error() {
        true => Ok(answer.brief()),
        false => Err(format!("{}: a 4xx is needed", answer.brief())),
    }
}

/// A refusal's body says what was wrong, since it becomes the failure file of an asynchronous invocation. 404 and 405 need no words.
fn explained(refusals: &[Answer]) -> Result<String, String> {
    let needs_words = |answer: &&Answer| ![404, 405].contains(&answer.status.as_u16());
    let of_bodies: Vec<&Answer> = refusals.iter().filter(needs_words).collect();
    if let Some(silent) = of_bodies.iter().find(|answer| answer.body.is_empty()) {
        return Err(format!("a {} has no body: it should say what was wrong", silent.status.as_u16()));
    }
    if let Some(endless) = of_bodies.iter().find(|answer| answer.content_length().is_none()) {
        return Err(format!("a {} has no Content-Length", endless.status.as_u16()));
    }
    Ok(format!("{} of {} have a body that says why", of_bodies.len(), of_bodies.len()))
}
