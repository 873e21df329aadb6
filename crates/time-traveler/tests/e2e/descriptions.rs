//! Both APIs as a client meets them, held against their descriptions: schemathesis thinks up requests, good and bad, alone and one
//! after the other, and compares what is answered.

use std::process::Command;

use crate::python::{python, run};
use crate::support::{Up, repository};

fn keeps(description: &str) {
    let up = Up::start();
    let folder = repository().join("infra/openapi");
    // It keeps what it found where it runs.
    let place = tempfile::tempdir().unwrap();
    let mut schemathesis = Command::new(python().with_file_name("schemathesis"));
    schemathesis.arg("--config-file").arg(folder.join("schemathesis.toml"));
    schemathesis.arg("run").arg(folder.join(description)).args(["--url", &up.api]);
    // What it finds again is found from the same seed.
    schemathesis.args(["--checks", "all", "--continue-on-failure", "--seed", "7", "--no-color"]);
    run(schemathesis.current_dir(place.path()));
}

#[test]
fn the_rest_api_is_as_described() {
    keeps("rest-api.yaml");
}

#[test]
fn the_http_api_is_as_described() {
    keeps("http-api.yaml");
}
