use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// What `GET /metrics` tells.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<CodeLabel, Counter>,
    /// Invocations that were read and are not answered.
    pub(crate) in_flight: Gauge,
    /// Invocations that wait for the device.
    pub(crate) queue_depth: Gauge,
    /// Invocations whose client left before their turn came or before they were done.
    pub(crate) abandoned: Counter,
    waiting: Histogram,
    service: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: u32,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        // 10 ms to 82 s.
        let seconds = || Histogram::new(exponential_buckets(0.01, 2.0, 14));
        let mut metrics = Self {
            registry: Registry::with_prefix("aging"),
            requests: Family::default(),
            in_flight: Gauge::default(),
            queue_depth: Gauge::default(),
            abandoned: Counter::default(),
            waiting: seconds(),
            service: seconds(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Invocations by status code", metrics.requests.clone());
        registry.register("in_flight", "Invocations not yet answered", metrics.in_flight.clone());
        registry.register("queue_depth", "Invocations waiting for the device", metrics.queue_depth.clone());
        registry.register("abandoned", "Invocations whose client left", metrics.abandoned.clone());
        registry.register_with_unit("waiting", "Time in the queue", Unit::Seconds, metrics.waiting.clone());
        registry.register_with_unit("service", "Time on the device", Unit::Seconds, metrics.service.clone());
        metrics
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        self.requests.get_or_create(&CodeLabel { code: status.as_u16().into() }).inc();
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.waiting.observe(time.as_secs_f64());
    }

    pub(crate) fn served(&self, time: Duration) {
        self.service.observe(time.as_secs_f64());
    }

    /// The OpenMetrics text, which Prometheus reads.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
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
