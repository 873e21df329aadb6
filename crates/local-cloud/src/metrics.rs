//! `GET /metrics` of the APIs' port, for Prometheus: the disk, the queues, the functions, the measured tables, and what the model
//! servers of endpoints say of themselves, under their endpoint's name.

mod exposition;

use std::fmt;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use rusqlite::Connection;

use crate::disk_space::DiskSpace;
use crate::dynamodb::{Reading, Tallies};
use crate::error::chain;
use crate::queue::{self, QueueState};
use crate::sagemaker::Observed;
use crate::services::Services;
use crate::stack::Measures;
use exposition::{Exposition, MEDIA_TYPE};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    queue: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    queue: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    endpoint: String,
    variant: String,
    container: String,
}

/// Labels whose names a stack gives.
type Labels = Vec<(String, String)>;

/// What is measured beside the services.
pub(crate) struct Measured {
    pub(crate) disk: Arc<DiskSpace>,
    pub(crate) tallies: Tallies,
    /// The stack's endpoints.
    pub(crate) own: Vec<String>,
}

/// The answer to a request.
pub(crate) async fn answer(services: &Services, measured: &Measured) -> Response {
    let observed = services.sagemaker.observed().await;
    match written(services, measured, &observed) {
        Ok(text) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(error = chain(&*error), "the metrics cannot be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn written(
    services: &Services,
    measured: &Measured,
    observed: &[Observed],
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let now = services.journal.clock().now_millis();
    let queues = services.journal.read(|connection: &Connection| queue::states(connection, now))?;
    let queues = with_empty(
        queues,
        services.lambda.queues().chain(measured.own.iter().map(|name| queue::of_endpoint(name))),
        now,
    );
    let mut own = Registry::with_prefix("local_cloud");
    disk(&mut own, &measured.disk);
    messages(&mut own, queues, now);
    services.lambda.usage.register(&mut own);
    servers(&mut own, observed);
    let mut tables = Registry::default();
    for (measures, reading) in measured.tallies.read()? {
        if let Some(reading) = reading {
            items(&mut tables, measures, &reading, now);
        }
    }
    let mut all = Exposition::default();
    all.add(&encoded(&own)?, &[])?;
    all.add(&encoded(&tables)?, &[])?;
    for server in observed {
        let mut labels = vec![("endpoint", server.endpoint.as_str()), ("variant", server.variant.as_str())];
        labels.extend(server.container.as_deref().map(|container| ("container", container)));
        let Some(text) = &server.metrics else { continue };
        if let Err(error) = all.add(text, &labels) {
            tracing::debug!(endpoint = server.endpoint, %error, "what a model server answers to GET /metrics is left out");
        }
    }
    Ok(all.text())
}

fn encoded(registry: &Registry) -> Result<String, fmt::Error> {
    let mut written = String::new();
    text::encode(&mut written, registry)?;
    Ok(written)
}

/// With the queues of these names that have no messages: a series that is missing would raise no alarm.
fn with_empty(mut states: Vec<QueueState>, names: impl Iterator<Item = String>, now: i64) -> Vec<QueueState> {
    for queue in names {
        if !states.iter().any(|state| state.queue == queue) {
            states.push(QueueState { queue, in_flight: 0, ready: 0, delayed: 0, oldest: now });
        }
    }
    states
}

fn disk(registry: &mut Registry, disk: &DiskSpace) {
    let (free, full) = (Gauge::<i64>::default(), Gauge::<i64>::default());
    // Some systems do not say.
    if let Some(bytes) = disk.free_bytes() {
        free.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let help = "Free space of the data folder's disk, beside the reserve";
        registry.register_with_unit("disk_free", help, Unit::Bytes, free);
    }
    full.set(i64::from(disk.check().is_err()));
    registry.register("disk_full", "1 while uploads are refused because the disk is full, else 0", full);
}

fn messages(registry: &mut Registry, queues: Vec<QueueState>, now: i64) {
    let messages = Family::<MessageLabels, Gauge>::default();
    let oldest = Family::<QueueLabel, Gauge>::default();
    for state in queues {
        let label = |name| MessageLabels { queue: state.queue.clone(), state: name };
        messages.get_or_create(&label("in_flight")).set(state.in_flight);
        messages.get_or_create(&label("ready")).set(state.ready);
        messages.get_or_create(&label("delayed")).set(state.delayed);
        let label = QueueLabel { queue: state.queue };
        oldest.get_or_create(&label).set((now - state.oldest).max(0) / 1000);
    }
    let help = "Messages of queues: lambda/ before a function's name, sagemaker/ before an endpoint's, sqs/ before a dead-letter queue's";
    registry.register("queue_messages", help, messages);
    let help = "Age of the oldest message of a queue, 0 where there is none";
    registry.register_with_unit("queue_oldest_message", help, Unit::Seconds, oldest);
}

fn servers(registry: &mut Registry, observed: &[Observed]) {
    let healthy = Family::<ServerLabels, Gauge>::default();
    for server in observed {
        let labels = ServerLabels {
            endpoint: server.endpoint.clone(),
            variant: server.variant.clone(),
            container: server.container.clone().unwrap_or_default(),
        };
        healthy.get_or_create(&labels).set(i64::from(server.is_healthy));
    }
    registry.register("model_server_healthy", "1 for a model server of an endpoint that is healthy, else 0", healthy);
}

/// The items of a table, by the names that its stack gives.
fn items(registry: &mut Registry, measures: &Measures, reading: &Reading, now: i64) {
    let (items, changes) = (Family::<Labels, Gauge>::default(), Family::<Labels, Counter>::default());
    for count in &reading.counts {
        let labels = vec![(measures.attribute.clone(), count.value.clone())];
        items.get_or_create(&labels).set(count.items);
        changes.get_or_create(&labels).inc_by(count.changes);
    }
    let oldest = Gauge::<i64>::default();
    let since = reading.oldest.as_ref().and_then(|moment| moment.parse::<jiff::Timestamp>().ok());
    oldest.set(since.map_or(0, |since| (now - since.as_millisecond()).max(0) / 1000));
    let (name, help) = &measures.items;
    registry.register(name, help, items);
    let (name, help) = &measures.changes;
    registry.register(name, help, changes);
    let (name, help) = &measures.oldest;
    registry.register_with_unit(name, help, Unit::Seconds, oldest);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::durability::Durability;
    use crate::journal::Journal;

    fn lines(registry: &Registry) -> String {
        let mut all = Exposition::default();
        all.add(&encoded(registry).unwrap(), &[]).unwrap();
        all.text()
    }

    fn value<'a>(text: &'a str, name: &str) -> &'a str {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_else(|| panic!("{text}"))
    }

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
        let queues = journal.read(|connection| queue::states(connection, now)).unwrap();
        let names = ["lambda/f", "sqs/d"].map(str::to_owned);
        let mut registry = Registry::with_prefix("local_cloud");
        disk(&mut registry, &DiskSpace::open(folder.path()));
        messages(&mut registry, with_empty(queues, names.into_iter(), now), now);
        let text = lines(&registry);
        assert!(value(&text, "local_cloud_disk_free_bytes").parse::<u64>().unwrap() > 0);
        assert_eq!(value(&text, "local_cloud_disk_full"), "0");
        for state in ["in_flight", "ready", "delayed"] {
            for (queue, messages) in [("lambda/f", "1"), ("sqs/d", "0")] {
                let name = format!("local_cloud_queue_messages{{queue=\"{queue}\",state=\"{state}\"}}");
                assert_eq!(value(&text, &name), messages, "{name}");
            }
        }
        assert_eq!(value(&text, "local_cloud_queue_oldest_message_seconds{queue=\"lambda/f\"}"), "7");
        assert_eq!(value(&text, "local_cloud_queue_oldest_message_seconds{queue=\"sqs/d\"}"), "0");
    }

    #[test]
    fn a_server_is_told_from_others_by_its_labels() {
        let server = |variant: &str, is_healthy| Observed {
            endpoint: "e".to_owned(),
            variant: variant.to_owned(),
            container: None,
            is_healthy,
            metrics: None,
        };
        let mut registry = Registry::default();
        servers(&mut registry, &[server("a", true), server("b", false)]);
        let text = lines(&registry);
        for (variant, healthy) in [("a", "1"), ("b", "0")] {
            let name = format!("model_server_healthy{{endpoint=\"e\",variant=\"{variant}\",container=\"\"}}");
            assert_eq!(value(&text, &name), healthy);
        }
    }
}
