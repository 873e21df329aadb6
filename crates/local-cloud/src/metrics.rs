//! `GET /metrics` of the APIs' port: the disk and the queues, in the OpenMetrics text format.

use std::fmt;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use rusqlite::Connection;

use crate::disk_space::DiskSpace;
use crate::journal::Journal;
use crate::queue::{self, QueueState};

/// *The OpenMetrics specification*, section "Exposition content type".
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    queue: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    queue: String,
    state: &'static str,
}

/// What is measured when it is asked for.
pub(crate) struct Metrics {
    journal: Arc<Journal>,
    disk: Arc<DiskSpace>,
}

impl Metrics {
    pub(crate) fn new(journal: Arc<Journal>, disk: Arc<DiskSpace>) -> Self {
        Self { journal, disk }
    }

    /// The answer to a request.
    pub(crate) fn answer(&self) -> Response {
        let now = self.journal.clock().now_millis();
        let written = self.journal.read(|connection: &Connection| queue::states(connection, now)).map(|queues| {
            let mut text = String::new();
            self.write(&mut text, queues, now).map(|()| text)
        });
        match written {
            Ok(Ok(text)) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response(),
            Ok(Err(error)) => failed(&error),
            Err(error) => failed(&error),
        }
    }

    fn write(&self, text: &mut String, queues: Vec<QueueState>, now: i64) -> fmt::Result {
        let mut registry = Registry::with_prefix("local_cloud");
        let (free, full) = (Gauge::<i64>::default(), Gauge::<i64>::default());
        let messages = Family::<MessageLabels, Gauge>::default();
        let oldest = Family::<QueueLabel, Gauge>::default();
        // Some systems do not say.
        if let Some(bytes) = self.disk.free_bytes() {
            free.set(i64::try_from(bytes).unwrap_or(i64::MAX));
            let help = "Free space of the data folder's disk, beside the reserve";
            registry.register_with_unit("disk_free", help, Unit::Bytes, free);
        }
        full.set(i64::from(self.disk.check().is_err()));
        registry.register("disk_full", "1 while uploads are refused because the disk is full, else 0", full);
        for state in queues {
            let label = |name| MessageLabels { queue: state.queue.clone(), state: name };
            messages.get_or_create(&label("in_flight")).set(state.in_flight);
            messages.get_or_create(&label("ready")).set(state.ready);
            messages.get_or_create(&label("delayed")).set(state.delayed);
            let label = QueueLabel { queue: state.queue };
            oldest.get_or_create(&label).set((now - state.oldest).max(0) / 1000);
        }
        let help = "Messages of queues: lambda/ before a function's name, sagemaker/ before an endpoint's, sqs/ before a queue's";
        registry.register("queue_messages", help, messages);
        let help = "Age of the oldest message of a queue";
        registry.register_with_unit("queue_oldest_message", help, Unit::Seconds, oldest);
        text::encode(text, &registry)
    }
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::error!(error = crate::error::chain(error), "the metrics cannot be read");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::durability::Durability;

    #[test]
    fn the_disk_and_the_queues_are_measured() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::default();
        let path = folder.path().join("journal.db");
        let journal = Arc::new(Journal::open(&path, clock.clone(), Durability::Kill).unwrap());
        let now = clock.now_millis();
        let send = |sent, delay| {
            let send = |connection: &rusqlite::Transaction<'_>| {
                queue::send(connection, "lambda/f", "r", "{}", sent, Duration::from_secs(delay))
            };
            journal.write(send).unwrap();
        };
        send(now - 7000, 0);
        send(now, 60);
        send(now, 0);
        queue::receive(&journal, "lambda/f").unwrap().unwrap();
        let metrics = Metrics::new(journal, DiskSpace::open(folder.path()));
        let mut text = String::new();
        let queues = metrics.journal.read(|connection| queue::states(connection, now)).unwrap();
        metrics.write(&mut text, queues, now).unwrap();
        let line =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{text}"));
        let free: u64 = line("local_cloud_disk_free_bytes ").parse().unwrap();
        assert!(free > 0);
        assert_eq!(line("local_cloud_disk_full "), "0");
        for state in ["in_flight", "ready", "delayed"] {
            let name = format!("local_cloud_queue_messages{{queue=\"lambda/f\",state=\"{state}\"}} ");
            assert_eq!(line(&name), "1", "{state}");
        }
        assert_eq!(line("local_cloud_queue_oldest_message_seconds{queue=\"lambda/f\"} "), "7");
        assert!(text.ends_with("# EOF\n"));
    }
}
