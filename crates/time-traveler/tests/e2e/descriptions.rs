//! Both APIs are compared with their OpenAPI descriptions. schemathesis makes up valid and invalid requests, single
//! ones and sequences, and checks the answers.

use std::process::Command;

use crate::python::{python, run};
use crate::support::{Up, repository};

fn conforms_to(description: &str) {
    let up = Up::start();
    let folder = repository().join("infra/openapi");
    // schemathesis stores its findings in its working folder.
    let place = tempfile::tempdir().unwrap();
    let mut schemathesis = Command::new(python().with_file_name("schemathesis"));
    schemathesis.arg("--config-file").arg(folder.join("schemathesis.toml"));
    schemathesis.arg("run").arg(folder.join(description)).args(["--url", &up.api]);
    // A fixed seed makes its findings reproducible.
    schemathesis.args(["--checks", "all", "--continue-on-failure", "--seed", "7", "--no-color"]);
    run(schemathesis.current_dir(place.path()));
}

#[test]
fn the_rest_api_is_as_described() {
    conforms_to("rest-api.yaml");
}

#[test]
fn the_http_api_is_as_described() {
    conforms_to("http-api.yaml");
}
