//! The command `check`, against the container and against servers with one fault each.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{BINARY, Up, repository};

#[path = "../../../../container/tests/line_lengths/mod.rs"]
mod line_lengths;

struct Server {
    process: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn with_fault(fault: &str) -> Self {
        let script = repository().join("crates/time-traveler/tests/e2e/bad_server.py");
        let mut python = Command::new("python3");
        let mut process = python.arg(script).arg(fault).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { process, url: url.trim().to_owned() }
    }

    /// The model server that is part of the command line.
    fn own() -> Self {
        let mut command = Command::new(BINARY);
        command.arg0("serve").env("SAGEMAKER_BIND_TO_PORT", "0").env("BIND_HOST", "127.0.0.1");
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let ready = lines.find(|line| line.contains("\"ready\"")).unwrap();
        // The server keeps writing, and would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let ready: Value = serde_json::from_str(&ready).unwrap();
        Self { process, url: format!("http://{}", ready["address"].as_str().unwrap()) }
    }

    fn check(&self, arguments: &[&str]) -> Output {
        let pid = self.process.id().to_string();
        Command::new(BINARY).args(["check", &self.url, "--pid", &pid]).args(arguments).output().unwrap()
    }
}

/// The broken rules of a report.
fn broken(output: &Output) -> Vec<String> {
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let rules = report["rules"].as_array().unwrap();
    let broken: Vec<_> = rules.iter().filter(|rule| rule["ok"] == false).collect();
    assert_eq!(report["ok"], broken.is_empty());
    assert_eq!(output.status.code(), Some(i32::from(!broken.is_empty())));
    assert!(rules.iter().all(|rule| !rule["seen"].as_str().unwrap().is_empty()));
    broken.into_iter().map(|rule| rule["rule"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_container_keeps_every_rule() {
    let mut server = Server::own();
    let output = server.check(&["--custom-attributes", "ages=40"]);
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{lines}");
    assert!(lines.lines().count() >= 20 && lines.lines().all(|line| line.starts_with("ok ")), "{lines}");
    for seen in ["Retry-After: 1", "UNSUPPORTED_IMAGE", "application/x-npy", "NOT_FOUND"] {
        assert!(lines.contains(seen), "no {seen} in {lines}");
    }
    assert!(server.process.wait().unwrap().success());
}

#[test]
fn the_container_keeps_every_rule_with_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "to be\nor not\nto be").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handler = line_lengths::Lengths { folder: folder.path().to_owned(), loaded: None.into() };
    let settings = container::Settings::default();
    runtime.spawn(container::serve(listener, settings, handler, std::future::pending()));
    let mut check = Command::new(BINARY);
    check.args(["check", &url, "--content-type", "text/plain", "--accept", "application/json", "--body"]).arg(&text);
    let output = check.output().unwrap();
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{lines}");
    assert!(lines.lines().count() >= 15 && lines.lines().all(|line| line.starts_with("ok ")), "{lines}");
    assert!(lines.contains("NO_TEXT") && lines.contains("NO_JSON"), "{lines}");
}

#[test]
fn a_server_without_a_fault_keeps_every_rule_and_each_fault_is_named() {
    for (fault, rules) in [
        ("none", &[][..]),
        ("slow-ping", &["ping-time"]),
        ("chunked", &["content-length"]),
        ("no-length", &["content-length"]),
        ("long-headers", &["headers"]),
        ("long-attributes", &["custom-attributes"]),
        ("other-type", &["content-type"]),
        ("no-type", &["content-type"]),
        ("empty-is-an-error", &["empty-body"]),
        ("bad-is-an-error", &["empty-body", "bad-body", "half-a-body"]),
        ("any-content-type", &["bad-content-type"]),
        ("any-accept", &["bad-accept"]),
        ("any-method", &["bad-method"]),
        ("any-path", &["bad-path"]),
        ("silent-refusals", &["refusals-explain"]),
        ("dies-of-hang-ups", &["hang-up", "load", "overload", "after-load"]),
        ("mixes-up", &["load"]),
        ("overload-is-an-error", &["load", "overload"]),
        ("no-retry-after", &["overload"]),
        ("busy-is-unhealthy", &["ping-under-load"]),
        ("healthy-while-draining", &["drain-ping"]),
        ("loses-at-sigterm", &["drain-answers"]),
    ] {
        let found = broken(&Server::with_fault(fault).check(&["--json", "--accept", "application/octet-stream"]));
        assert_eq!(found, rules, "{fault}");
    }
}

#[test]
fn a_fault_that_breaks_every_rule_is_named_first() {
    for (fault, first) in [
        ("never-healthy", "healthy"),
        ("healthy-but-broken", "invocation"),
        ("breaks-off", "invocation"),
        ("dies-of-bad-bodies", "bad-body"),
    ] {
        let found = broken(&Server::with_fault(fault).check(&["--json", "--wait", "1"]));
        assert_eq!(found.first().map(String::as_str), Some(first), "{fault}");
        assert!(fault != "dies-of-bad-bodies" || found.iter().any(|rule| rule == "after-refusals"));
    }
}

#[test]
fn a_server_that_ignores_sigterm_is_named() {
    let found = broken(&Server::with_fault("ignores-sigterm").check(&["--json"]));
    assert_eq!(found, ["drain-ping", "drain-exit"]);
}

#[test]
fn a_program_that_is_no_container_is_told_at_once() {
    let up = Up::start();
    let start = Instant::now();
    let output = Command::new(BINARY).args(["check", &up.api, "--wait", "600"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("no container answers here"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(60), "it waited for a program that is no container");
}

#[test]
fn the_command_serve_serves_a_model_on_this_machine() {
    let mut process = Command::new(BINARY).args(["serve", "--port", "0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
    let ready = lines.find(|line| line.contains("\"ready\"")).unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let address = ready["address"].as_str().unwrap();
    assert!(address.starts_with("127.0.0.1:") && ready["model"] == "preview", "{ready}");
    let mut server = Server { process, url: format!("http://{address}") };
    let output = server.check(&["--custom-attributes", "ages=40", "--clients", "4"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(server.process.wait().unwrap().success());

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sam_ffhq_aging.pt"), "weights").unwrap();
    let output = Command::new(BINARY).args(["serve", "--port", "0", "--model"]).arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("it has sam_ffhq_aging.pt: rename it"), "{said}");
}

#[test]
fn an_address_without_a_server_is_reported() {
    let refused = |arguments: &[&str]| {
        let output = Command::new(BINARY).arg("check").args(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, message) = refused(&["localhost:8080"]);
    assert!(code == 1 && message.contains("http://127.0.0.1:8080 would be one"), "{message}");
    // No server listens on port 1.
    let (code, message) = refused(&["http://127.0.0.1:1", "--wait", "0"]);
    assert!(code == 1 && message.contains("breaks 1 of 1 rules"), "{message}");
    // Without --wait, nobody is waited for who does not listen.
    let start = Instant::now();
    let output = Command::new(BINARY).args(["check", "http://127.0.0.1:1"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("start the server first"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(30), "it waited for a server that does not listen");
    assert_eq!(refused(&["http://127.0.0.1:1", "--clients", "0"]).0, 2);
}
