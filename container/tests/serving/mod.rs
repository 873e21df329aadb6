//! `serve` as a process of its own, and what the reference code computed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::Client;
use serde_json::Value;

pub(crate) fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/vision/tests/golden");
    std::fs::read(folder.join(name)).unwrap()
}

pub(crate) fn json(name: &str) -> Value {
    serde_json::from_slice(&golden(name)).unwrap()
}

/// `serve` in a process of its own.
pub(crate) struct Serve {
    process: Child,
    pub(crate) url: String,
    pub(crate) client: Client,
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(folder: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serve"));
    command.env_clear().envs(["PATH", "HOME"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.env("SM_MODEL_DIR", folder).env("BIND_HOST", "127.0.0.1").env("SAGEMAKER_BIND_TO_PORT", "0");
    command.env("DEVICE", "cpu").env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
    command.stderr(Stdio::piped());
    command
}

impl Serve {
    pub(crate) fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let mut process = command(folder, variables).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        let ready = log.by_ref().map(Result::unwrap).find_map(|line| {
            let value: Value = serde_json::from_str(&line).unwrap_or_default();
            seen.push(line);
            (value["message"] == "ready").then_some(value)
        });
        let Some(ready) = ready else { panic!("{}", seen.join("\n")) };
        // The log goes on.
        std::thread::spawn(move || log.for_each(drop));
        let url = format!("http://{}", ready["address"].as_str().unwrap());
        Self { process, url, client: Client::builder().no_proxy().build().unwrap() }
    }

    pub(crate) async fn invoke(&self, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let request = self.client.post(format!("{}/invocations", self.url)).header("content-type", content_type);
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/json");
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The code of a refusal.
    pub(crate) async fn refused(&self, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let (status, text) = self.invoke(content_type, body).await;
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(value["message"].as_str().unwrap().len() > 20, "{text}");
        (status, value["code"].as_str().unwrap().to_owned())
    }
}

/// Why `serve` does not start.
pub(crate) fn refusal(folder: &Path, variables: &[(&str, &str)]) -> String {
    let output = command(folder, variables).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
