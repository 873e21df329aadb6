//! `GET /metrics` and `GET /health` of `up`, and the files for Prometheus and Grafana that use them.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Up, picture, repository};

/// The lines of a metric without its labels' braces and with its value.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}:\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn jobs_functions_queues_and_the_model_are_measured() {
    let up = Up::start();
    let status = |status: &str| format!("time_traveler_jobs{{status=\"{status}\"}}");
    let changes = |status: &str| format!("time_traveler_job_changes_total{{status=\"{status}\"}}");
    let answer = up.get("/metrics").await;
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let before = answer.text().await.unwrap();
    for each in ["PENDING", "PROCESSING", "SUCCESS", "FAILED", "CANCELLED"] {
        assert_eq!(value(&before, &status(each)), 0.0);
    }
    assert_eq!(up.send("ada", picture(1)).await["status"], "SUCCESS");
    assert_eq!(up.send("bob", b"\x89PNG\r\n\x1a\nno more".to_vec()).await["status"], "FAILED");
    let after = up.get("/metrics").await.text().await.unwrap();
    for (each, jobs, came) in [("PENDING", 0.0, 2.0), ("SUCCESS", 1.0, 1.0), ("FAILED", 1.0, 1.0)] {
        assert_eq!((value(&after, &status(each)), value(&after, &changes(each))), (jobs, came), "{each}");
    }
    assert_eq!(value(&after, "time_traveler_oldest_open_job_age_seconds"), 0.0);
    assert!(
        value(&after, "local_cloud_function_invocations_total{function=\"job-tracker\",outcome=\"success\"}") >= 2.0
    );
    assert!(value(&after, "local_cloud_function_duration_seconds_count{function=\"image-processor\"}") >= 2.0);
    assert_eq!(
        value(&after, "local_cloud_queue_messages{queue=\"sqs/image-processor-dead-letters\",state=\"ready\"}"),
        0.0
    );
    let of_endpoint = "endpoint=\"face-aging\",variant=\"primary\"";
    assert_eq!(value(&after, &format!("local_cloud_model_server_healthy{{{of_endpoint},container=\"\"}}")), 1.0);
    assert_eq!(value(&after, &format!("aging_requests_total{{code=\"200\",{of_endpoint}}}")), 1.0);

    let deleted = up.http.delete(format!("{}/jobs/bob", up.api)).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    let after = up.get("/metrics").await.text().await.unwrap();
    assert_eq!((value(&after, &status("FAILED")), value(&after, &changes("FAILED"))), (0.0, 1.0));
    let refused = up.http.post(format!("{}/metrics", up.api)).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()["allow"], "GET");
    follows_the_rules_of_names(&after);
    the_files_use_what_is_there(&after);

    // Numbers and history survive a kill.
    let folder = up.kill().unwrap();
    let up = Up::start_over(folder.path());
    let later = up.get("/metrics").await.text().await.unwrap();
    assert_eq!((value(&later, &status("SUCCESS")), value(&later, &changes("FAILED"))), (1.0, 1.0));
}

#[tokio::test]
async fn health_is_that_of_the_model_server() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start_over(folder.path());
    let healthy = up.get("/health").await;
    assert_eq!(
        (healthy.status(), healthy.json::<Value>().await.unwrap()),
        (StatusCode::OK, json!({"status": "healthy"}))
    );
    let serving = Command::new("ps").args(["-o", "pid=,args=", "--ppid", &up.pid().to_string()]).output().unwrap();
    let serving = String::from_utf8(serving.stdout).unwrap();
    let server = serving.lines().find(|line| line.trim_end().ends_with("serve")).unwrap_or_else(|| panic!("{serving}"));
    let server = server.split_whitespace().next().unwrap();
    assert!(Command::new("kill").args(["-KILL", server]).status().unwrap().success());
    // It is replaced within moments. Until then, nothing is served.
    let mut seen = Vec::new();
    while seen.last() != Some(&StatusCode::OK) || seen.len() < 2 {
        let answer = up.get("/health").await;
        if answer.status() != StatusCode::OK {
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["reasons"][0], "the endpoint face-aging has no healthy model server");
            seen.push(StatusCode::SERVICE_UNAVAILABLE);
        } else if !seen.is_empty() {
            seen.push(StatusCode::OK);
        }
    }
}

/// `promtool check metrics`, where it is installed: names, help texts and units.
fn follows_the_rules_of_names(text: &str) {
    let Some(report) = promtool(&["check", "metrics"], text) else { return };
    assert_eq!(report, "", "promtool check metrics");
}

/// The output of `promtool` on an input; `None` where it is not installed. What it refuses, it prints.
fn promtool(arguments: &[&str], input: &str) -> Option<String> {
    let command = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut command) = command else {
        println!("NOT CHECKED, since promtool is not installed: {}", arguments.join(" "));
        return None;
    };
    command.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = command.wait_with_output().unwrap();
    let report = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Some(if output.status.success() { String::new() } else { report })
}

/// The metrics that a text of PromQL names: those of this project have one of three prefixes.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let is_ours =
        |word: &&str| ["time_traveler_", "local_cloud_", "aging_"].iter().any(|prefix| word.starts_with(prefix));
    words.filter(is_ours).map(str::to_owned).collect()
}

/// Every metric of the dashboard and of the alert rules is there.
fn the_files_use_what_is_there(text: &str) {
    let file = |name: &str| repository().join("infra/monitoring").join(name);
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let expressions =
        dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut used = named(&read("alerts.yaml"));
    used.extend(expressions.flat_map(|target| named(target["expr"].as_str().unwrap())));
    assert!(used.len() > 10, "{used:?}");
    for name in &used {
        let is_there =
            text.lines().any(|line| line.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(['{', ' '])));
        assert!(is_there, "the files use {name}, which is not there:\n{text}");
    }
    for (arguments, name) in [(["check", "rules"], "alerts.yaml"), (["check", "config"], "prometheus.yaml")] {
        let path = file(name);
        let report = promtool(&[arguments[0], arguments[1], path.to_str().unwrap()], "");
        assert_eq!(report.unwrap_or_default(), "", "{name}");
    }
}
