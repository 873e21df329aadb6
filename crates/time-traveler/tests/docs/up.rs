//! A running `time-traveler up`, at the addresses that documents name.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::binary;

/// Where `up` listens unless told otherwise, which is what documents say.
const API: &str = "http://127.0.0.1:8080";
const AWS: &str = "http://127.0.0.1:4566";

pub(crate) struct Up {
    child: Child,
    api: String,
    aws: String,
    _data: tempfile::TempDir,
}

/// Whether a text asks an address of `up`.
pub(crate) fn is_needed_by(text: &str) -> bool {
    [API, AWS].iter().any(|address| text.contains(address))
}

impl Up {
    /// On free ports, over an empty folder.
    pub(crate) fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut child = Command::new(binary())
            .args(["up", "--port", "0", "--aws-port", "0", "--json", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let ready: Value = serde_json::from_str(&ready).expect("`up` prints its addresses");
        let address = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self { child, api: address("api"), aws: address("aws"), _data: data }
    }

    /// A text with the addresses of this one.
    pub(crate) fn addressed(&self, text: &str) -> String {
        text.replace(API, &self.api).replace(AWS, &self.aws)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
