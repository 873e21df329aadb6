//! Unmodified Python clients: boto3 with nothing but `endpoint_url`, and curl.

use std::process::Command;

use crate::python::{python, run};
use crate::support::{Up, repository, sample};

/// A script of this folder, as a client of that cloud.
fn script(up: &Up, name: &str) -> Command {
    let mut command = Command::new(python());
    command
        .arg(repository().join("crates/time-traveler/tests/e2e").join(name))
        .env("TIME_TRAVELER_API", &up.api)
        .env("AWS_ENDPOINT_URL", &up.aws)
        .env("AWS_ACCESS_KEY_ID", "anything")
        .env("AWS_SECRET_ACCESS_KEY", "goes")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .current_dir(repository());
    command
}

#[test]
fn python_clients() {
    let up = Up::start();
    run(&mut script(&up, "boto3_clients.py"));
}

/// How many model servers run.
fn servers(up: &Up) -> usize {
    let listed = Command::new("ps").args(["-o", "args=", "--ppid", &up.pid().to_string()]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap().lines().filter(|line| line.trim() == "serve").count()
}

#[test]
fn endpoints_that_a_script_makes_outlive_a_kill() {
    let up = Up::start();
    run(script(&up, "boto3_endpoints.py").arg("create"));
    assert_eq!(servers(&up), 3, "one for each endpoint that is in service");
    let folder = up.kill().unwrap();
    let up = Up::start_over(folder.path());
    run(script(&up, "boto3_endpoints.py").arg("restarted"));
    assert_eq!(servers(&up), 1);
    assert_eq!(std::fs::read_dir(folder.path().join("sagemaker")).unwrap().count(), 0, "no files of models are left");
}

#[tokio::test]
async fn curl() {
    let up = Up::start();
    run(Command::new("curl").args(["--silent", "--fail", "-T"]).arg(sample()).arg(format!("{}/images/ada", up.api)));
    assert_eq!(up.settled("ada").await["status"], "SUCCESS");
}
