//! `up` as a child process, in a folder of its own and on free ports.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use local_cloud::Durability;
use serde::Deserialize;

use super::processes::{Usage, usage};

pub(super) struct Up {
    process: Child,
    /// The address of both APIs.
    pub(super) api: String,
    /// The address of the AWS endpoint.
    pub(super) aws: String,
}

#[derive(Deserialize)]
struct Ready {
    api: String,
    aws: String,
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Up {
    /// Starts it over a folder, with more arguments.
    pub(super) fn start(data: &Path, durability: Durability, more: &[&OsStr]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["up", "--port", "0", "--aws-port", "0", "--json", "--data"]).arg(data);
        command.args(["--durability", &durability.to_string()]).args(more);
        // Its lines of hops would take time.
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("`up` cannot start")?;
        let output = process.stdout.take().context("`up` has no output")?;
        let mut up = Self { process, api: String::new(), aws: String::new() };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let ready: Ready = serde_json::from_str(&line).context("`up` did not start: run it to see why")?;
        (up.api, up.aws) = (ready.api, ready.aws);
        Ok(up)
    }

    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        usage(self.process.id(), "up")
    }
}
