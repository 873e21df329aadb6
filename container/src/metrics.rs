//! `GET /metrics`, in the OpenMetrics text format.

use std::time::Duration;

use axum::http::StatusCode;
use nn::Stages;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The metrics of the server. Their names begin with a prefix of the handler's.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<CodeLabel, Counter>,
    /// Invocations that are not answered yet.
    pub(crate) in_flight: Gauge,
    /// Invocations that wait for the worker.
    pub(crate) queue_depth: Gauge,
    /// Invocations whose client left before the answer.
    pub(crate) abandoned: Counter,
    /// How often the model was loaded again.
    pub(crate) rebuilds: Counter,
    waiting: Histogram,
    service: Histogram,
    overhead: Histogram,
    stages: Family<StageLabel, Histogram>,
    batch_size: Histogram,
    resident_memory: Gauge,
    device_memory: Family<DeviceLabel, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeviceLabel {
    device: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

/// 1 ms to 66 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: u32,
}

impl Metrics {
    pub(crate) fn new(prefix: &str) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix(prefix),
            requests: Family::default(),
            in_flight: Gauge::default(),
            queue_depth: Gauge::default(),
            abandoned: Counter::default(),
            rebuilds: Counter::default(),
            waiting: seconds(),
            service: seconds(),
            // 62.5 µs to half a second; 1 ms is among them.
            overhead: Histogram::new(exponential_buckets(0.001 / 16.0, 2.0, 14)),
            stages: Family::new_with_constructor(seconds),
            batch_size: Histogram::new([1.0, 2.0, 3.0, 4.0, 8.0, 16.0]),
            resident_memory: Gauge::default(),
            device_memory: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Invocations by status code", metrics.requests.clone());
        registry.register("in_flight", "Invocations not yet answered", metrics.in_flight.clone());
        registry.register("queue_depth", "Invocations waiting for the worker", metrics.queue_depth.clone());
        registry.register("abandoned", "Invocations whose client left", metrics.abandoned.clone());
        registry.register("rebuilds", "How often the model was loaded again after a failure", metrics.rebuilds.clone());
        registry.register_with_unit("waiting", "Time in queues", Unit::Seconds, metrics.waiting.clone());
        registry.register_with_unit("service", "Time with the worker", Unit::Seconds, metrics.service.clone());
        let overhead = metrics.overhead.clone();
        registry.register_with_unit("overhead", "Time beyond reading, stages and waiting", Unit::Seconds, overhead);
        registry.register(
            "pass_requests",
            "Batch size: invocations that shared a step of the model",
            metrics.batch_size.clone(),
        );
        registry.register_with_unit("stage", "Time of each stage", Unit::Seconds, metrics.stages.clone());
        let memory = metrics.resident_memory.clone();
        registry.register_with_unit("resident_memory", "Resident memory of the process", Unit::Bytes, memory);
        let memory = metrics.device_memory.clone();
        registry.register_with_unit("device_memory", "Memory of the model on a GPU", Unit::Bytes, memory);
        metrics
    }

    pub(crate) fn device_memory(&self, bytes: u64) {
        self.device_memory.get_or_create(&DeviceLabel { device: 0 }).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A step ran on a batch of this size.
    pub(crate) fn batch(&self, invocations: usize) {
        self.batch_size.observe(invocations as f64);
    }

    pub(crate) fn stages(&self, stages: &Stages) {
        stages.iter().for_each(|(stage, time)| self.stage(stage, time));
    }

    pub(crate) fn stage(&self, stage: &'static str, time: Duration) {
        self.stages.get_or_create(&StageLabel { stage }).observe(time.as_secs_f64());
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        self.requests.get_or_create(&CodeLabel { code: status.as_u16().into() }).inc();
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.waiting.observe(time.as_secs_f64());
    }

    /// How long an invocation took beyond reading, stages and waiting.
    pub(crate) fn overhead(&self, time: Duration) {
        self.overhead.observe(time.as_secs_f64());
    }

    pub(crate) fn served(&self, time: Duration) {
        self.service.observe(time.as_secs_f64());
    }

    /// The OpenMetrics text.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        self.resident_memory.set(resident_memory().unwrap_or_default());
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

/// In bytes; `None` where the system has no `/proc`.
fn resident_memory() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<i64>().ok().map(|kilobytes| 1024 * kilobytes)
}

/// Counts in a gauge for as long as it lives.
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
