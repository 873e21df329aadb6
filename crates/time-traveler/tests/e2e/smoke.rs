//! `infra/smoke` tries out `up` as it does a deployment on AWS.

use std::process::{Command, Output};

use crate::support::{BINARY, Up, repository};

fn smoke(api: &str, options: &[&str]) -> (Output, String) {
    smoke_as(None, api, options)
}

fn smoke_as(token: Option<&str>, api: &str, options: &[&str]) -> (Output, String) {
    let mut smoke = Command::new("bash");
    smoke.arg(repository().join("infra/smoke")).args(["--api", api]).args(options);
    for name in ["TIME_TRAVELER_TOKEN", "AWS_ACCESS_KEY_ID"] {
        smoke.env_remove(name);
    }
    smoke.envs(token.map(|token| ("TIME_TRAVELER_TOKEN", token)));
    let done = smoke.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    (done, said)
}

#[test]
fn every_check_passes() {
    let up = Up::start();
    let (done, table) = smoke(&up.api, &["--origin", &up.api]);
    assert!(done.status.success(), "{table}{}", String::from_utf8_lossy(&done.stderr));
    assert!(table.lines().filter(|line| line.ends_with("  ok")).count() >= 25, "{table}");
}

#[test]
fn every_check_passes_with_an_owners_token() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &["--tenancy", "owner"]);
    let printed = Command::new(BINARY).args(["token", "ann", "--data"]).arg(data.path()).output().unwrap();
    let token = String::from_utf8(printed.stdout).unwrap();
    let (done, table) = smoke_as(Some(token.trim()), &up.api, &["--origin", &up.api]);
    assert!(done.status.success(), "{table}{}", String::from_utf8_lossy(&done.stderr));
    assert!(table.contains("the REST API without authorization"), "{table}");
    let (done, table) = smoke(&up.api, &["--patience", "0"]);
    assert_eq!(done.status.code(), Some(1), "{table}");
}

#[test]
fn what_does_not_serve_fails() {
    // A port that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (done, table) = smoke(&format!("http://127.0.0.1:{port}"), &["--patience", "0"]);
    assert_eq!(done.status.code(), Some(1), "{table}");
    assert!(table.contains("FAILED") && table.contains("checks failed"), "{table}");
}
