//! How functions are used, for the metrics: what CloudWatch calls Invocations, Errors, Duration and ConcurrentExecutions.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FunctionLabel {
    function: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    function: String,
    outcome: &'static str,
}

/// The use of all functions since the start of the process.
pub(crate) struct Usage {
    invocations: Family<OutcomeLabels, Counter>,
    duration: Family<FunctionLabel, Histogram>,
    running: Family<FunctionLabel, Gauge>,
}

/// 1 ms to 66 s: the longest that a function of the pipeline may run is a minute.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

fn outcome(failed: bool) -> &'static str {
    if failed { "error" } else { "success" }
}

impl Usage {
    /// A function that has not run yet is there with zeros, so that a rate has a beginning.
    pub(super) fn new<'a>(functions: impl Iterator<Item = &'a str>) -> Self {
        let usage = Self {
            invocations: Family::default(),
            duration: Family::new_with_constructor(seconds),
            running: Family::default(),
        };
        for function in functions {
            for failed in [false, true] {
                drop(usage.invocations.get_or_create(&OutcomeLabels::of(function, failed)));
            }
            drop(usage.duration.get_or_create(&FunctionLabel::of(function)));
            drop(usage.running.get_or_create(&FunctionLabel::of(function)));
        }
        usage
    }

    /// An invocation begins.
    pub(super) fn begin(&self, function: &str) -> Running<'_> {
        let label = FunctionLabel::of(function);
        self.running.get_or_create(&label).inc();
        Running { usage: self, label, start: Instant::now() }
    }

    /// Adds the metrics to a registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Invocations of functions by outcome";
        registry.register("function_invocations", help, self.invocations.clone());
        let help = "Time of an invocation, a cold start included";
        registry.register_with_unit("function_duration", help, Unit::Seconds, self.duration.clone());
        registry.register("function_running", "Invocations under way", self.running.clone());
    }
}

impl FunctionLabel {
    fn of(function: &str) -> Self {
        Self { function: function.to_owned() }
    }
}

impl OutcomeLabels {
    fn of(function: &str, failed: bool) -> Self {
        Self { function: function.to_owned(), outcome: outcome(failed) }
    }
}

/// An invocation under way.
pub(super) struct Running<'a> {
    usage: &'a Usage,
    label: FunctionLabel,
    start: Instant,
}

impl Running<'_> {
    /// Counts the invocation with its outcome.
    pub(super) fn end(self, failed: bool) {
        self.usage.invocations.get_or_create(&OutcomeLabels::of(&self.label.function, failed)).inc();
        self.usage.duration.get_or_create(&self.label).observe(self.start.elapsed().as_secs_f64());
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.usage.running.get_or_create(&self.label).dec();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    fn written(usage: &Usage) -> String {
        let mut registry = Registry::default();
        usage.register(&mut registry);
        let mut written = String::new();
        text::encode(&mut written, &registry).unwrap();
        written
    }

    #[test]
    fn invocations_are_counted_by_outcome_and_while_they_run() {
        let usage = Usage::new(["f"].into_iter());
        assert!(written(&usage).contains("function_invocations_total{function=\"f\",outcome=\"error\"} 0\n"));
        let running = usage.begin("f");
        assert!(written(&usage).contains("function_running{function=\"f\"} 1\n"));
        running.end(true);
        drop(usage.begin("f"));
        let text = written(&usage);
        for line in [
            "function_invocations_total{function=\"f\",outcome=\"error\"} 1\n",
            "function_invocations_total{function=\"f\",outcome=\"success\"} 0\n",
            "function_duration_seconds_count{function=\"f\"} 1\n",
            "function_running{function=\"f\"} 0\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
