//! The event `platform.report`, which Lambda writes to a function's log after each invocation (*Telemetry API schema reference*,
//! AWS Lambda Developer Guide).

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::Reply;
use crate::clock::now_rfc3339;
use crate::process::peak_memory;

/// The reports of one execution environment.
pub(super) struct Reports {
    log: PathBuf,
    pid: u32,
    memory_size: u32,
    /// Whether the next report is the first, which includes the time of the start.
    first: bool,
}

impl Reports {
    /// Reports of the process `pid`, appended to `log`. `memory_size` is the function's, in MB.
    pub(super) fn new(log: PathBuf, pid: u32, memory_size: u32) -> Self {
        Self { log, pid, memory_size, first: true }
    }

    /// Reports an invocation. `init` is the time from the start of the environment until it asked for its first event.
    pub(super) fn write(&mut self, request_id: &str, reply: &Reply, duration: Duration, init: Option<Duration>) {
        let milliseconds = |time: Duration| (time.as_secs_f64() * 1e5).round() / 100.0;
        let mut metrics = json!({
            "durationMs": milliseconds(duration),
            "billedDurationMs": duration.as_millis() + 1,
            "memorySizeMB": self.memory_size,
        });
        if let Some(bytes) = peak_memory(self.pid) {
            metrics["maxMemoryUsedMB"] = json!(bytes.div_ceil(1 << 20));
        }
        if let Some(init) = init.filter(|_| self.first) {
            metrics["initDurationMs"] = json!(milliseconds(init));
        }
        self.first = false;
        let status = if matches!(reply, Reply::Response(_)) { "success" } else { "error" };
        let record = json!({"requestId": request_id, "metrics": metrics, "status": status});
        let line = json!({"time": now_rfc3339(), "type": "platform.report", "record": record});
        let log = File::options().create(true).append(true).open(&self.log);
        if let Err(error) = log.and_then(|mut log| log.write_all(format!("{line}\n").as_bytes())) {
            tracing::warn!(%error, log = %self.log.display(), "the report of an invocation cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_first_report_has_the_time_of_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("f.log");
        let mut reports = Reports::new(log.clone(), std::process::id(), 512);
        let (duration, init) = (Duration::from_micros(12_345), Some(Duration::from_millis(7)));
        reports.write("one", &Reply::Response("{}".into()), duration, init);
        reports.write("two", &Reply::Error("{}".into()), duration, init);
        let text = std::fs::read_to_string(log).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let metrics = &lines[0]["record"]["metrics"];
        assert_eq!((&metrics["durationMs"], &metrics["billedDurationMs"]), (&json!(12.35), &json!(13)));
        assert_eq!((&metrics["initDurationMs"], &metrics["memorySizeMB"]), (&json!(7.0), &json!(512)));
        assert_eq!((&lines[0]["type"], &lines[0]["record"]["status"]), (&json!("platform.report"), &json!("success")));
        assert_eq!(lines[1]["record"]["status"], "error");
        assert!(lines[1]["record"]["metrics"]["initDurationMs"].is_null());
        #[cfg(target_os = "linux")]
        assert!(metrics["maxMemoryUsedMB"].as_u64().is_some_and(|megabytes| (1..10_000).contains(&megabytes)));
    }
}
