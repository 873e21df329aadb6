//! Unmodified clients: boto3 with only `endpoint_url` set, and curl.

use std::process::Command;

use crate::python::{python, run};
use crate::support::{Up, repository, sample};

/// A script of this folder, configured as a client of a local cloud.
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
fn boto3_clients_work_unmodified() {
    let up = Up::start();
    run(&mut script(&up, "boto3_clients.py"));
}

/// The number of running model servers.
fn servers(up: &Up) -> usize {
    let listed = Command::new("ps").args(["-o", "args=", "--ppid", &up.pid().to_string()]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap().lines().filter(|line| line.trim() == "serve serve").count()
}

#[test]
fn endpoints_made_with_boto3_survive_a_kill() {
    let up = Up::start();
    run(script(&up, "boto3_endpoints.py").arg("create"));
    assert_eq!(servers(&up), 3, "each endpoint in service has one server");
    let folder = up.kill().unwrap();
    let up = Up::start_over(folder.path());
    run(script(&up, "boto3_endpoints.py").arg("restarted"));
    assert_eq!(servers(&up), 1);
    assert_eq!(std::fs::read_dir(folder.path().join("sagemaker")).unwrap().count(), 0, "model files are left");
}

#[tokio::test]
async fn curl_uploads_a_portrait() {
    let up = Up::start();
    run(Command::new("curl").args(["--silent", "--fail", "-T"]).arg(sample()).arg(format!("{}/images/ada", up.api)));
    assert_eq!(up.settled("ada").await["status"], "SUCCESS");
}
