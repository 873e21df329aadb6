//! Metrics, read from a program's output by the expressions of a job.

use std::collections::BTreeMap;

use regex::Regex;

use crate::sagemaker::records::{Metric, MetricDefinition};

/// The last value of each metric.
pub(super) struct Metrics {
    definitions: Vec<(String, Regex)>,
    pub(super) values: BTreeMap<String, Metric>,
    /// Whether a value changed since it was last stored.
    pub(super) changed: bool,
}

impl Metrics {
    /// The definitions were checked when the job was created.
    pub(super) fn new(definitions: &[MetricDefinition]) -> Self {
        let compiled = |definition: &MetricDefinition| {
            Regex::new(&definition.regex).ok().map(|regex| (definition.name.clone(), regex))
        };
        let definitions = definitions.iter().filter_map(compiled).collect();
        Self { definitions, values: BTreeMap::new(), changed: false }
    }

    /// Reads a line that was printed at `at`, in milliseconds since 1970. A value is the first group; what is no number is no value.
    pub(super) fn read(&mut self, line: &str, at: i64) {
        for (name, regex) in &self.definitions {
            let group = regex.captures(line).and_then(|captures| captures.get(1));
            if let Some(value) =
                group.and_then(|group| group.as_str().trim().parse::<f32>().ok()).filter(|v| v.is_finite())
            {
                self.values.insert(name.clone(), Metric { value, at });
                self.changed = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_each_expression_counts() {
        let definition = |name: &str, regex: &str| MetricDefinition { name: name.into(), regex: regex.into() };
        let mut metrics = Metrics::new(&[
            definition("loss", r"loss=([0-9.eE+-]+)"),
            definition("epoch", r"Epoch (\d+)"),
            definition("no group", "loss"),
            definition("no number", "([a-z]+)="),
        ]);
        metrics.read("Epoch 1: loss=0.5", 1);
        metrics.read("nothing here", 2);
        metrics.read("loss=1e-3; Epoch x; loss=7", 3);
        metrics.read("loss=-", 4);
        let seen: Vec<_> =
            metrics.values.iter().map(|(name, metric)| (name.as_str(), metric.value, metric.at)).collect();
        assert_eq!(seen, [("epoch", 1.0, 1), ("loss", 1e-3, 3)]);
    }
}
