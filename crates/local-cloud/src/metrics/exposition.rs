//! Prometheus' text format: read from several sources, with labels added, and written as one text. *Exposition formats*, Prometheus
//! documentation; *The OpenMetrics specification*, section "Text format".
//!
//! What is written is version 0.0.4, which every scraper and `promtool` read. In OpenMetrics, a counter's family lacks the `_total` of
//! its samples; here it has it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The media type of what [`Exposition::text`] returns.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The endings of the samples that a family of several samples has.
const ENDINGS: [&str; 7] = ["_bucket", "_count", "_gcount", "_gsum", "_info", "_sum", "_total"];

/// Metric families by name.
#[derive(Debug, Default)]
pub(crate) struct Exposition(BTreeMap<String, Family>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    kind: Kind,
    /// As it is written: without line breaks.
    help: String,
    samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    #[default]
    Untyped,
}

#[derive(Debug, PartialEq, Eq)]
struct Sample {
    name: String,
    /// What stands between the braces, as it is written.
    labels: String,
    value: String,
}

/// Why a text is not in the format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line} is no sample: {text:?}")]
pub(crate) struct FormatError {
    line: usize,
    text: String,
}

impl Exposition {
    /// Adds the families of a text in either format. `labels` are given to each sample; a label of the same name that the sample has
    /// already becomes `exported_…`, as a scraper names it. A family that is here already as another kind is left out.
    pub(crate) fn add(&mut self, text: &str, labels: &[(&str, &str)]) -> Result<(), FormatError> {
        for (name, family) in read(text)? {
            let here = self.0.entry(name).or_insert_with(|| Family {
                kind: family.kind,
                help: family.help.clone(),
                samples: Vec::new(),
            });
            if here.kind == family.kind {
                here.samples.extend(family.samples.into_iter().map(|sample| sample.labelled(labels)));
            }
        }
        Ok(())
    }

    /// All families as text, in the order of their names.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (name, family) in &self.0 {
            if !family.help.is_empty() {
                line(&mut text, format_args!("# HELP {name} {}", family.help));
            }
            line(&mut text, format_args!("# TYPE {name} {}", family.kind.name()));
            for Sample { name, labels, value } in &family.samples {
                match labels.is_empty() {
                    true => line(&mut text, format_args!("{name} {value}")),
                    false => line(&mut text, format_args!("{name}{{{labels}}} {value}")),
                }
            }
        }
        text
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A string takes every text.
    let _ = writeln!(text, "{line}");
}

impl Kind {
    /// `None` for kinds that the written format lacks.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "counter" => Self::Counter,
            "gauge" | "info" | "stateset" => Self::Gauge,
            "histogram" => Self::Histogram,
            "summary" => Self::Summary,
            "untyped" | "unknown" => Self::Untyped,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }
}

impl Sample {
    fn labelled(mut self, added: &[(&str, &str)]) -> Self {
        let mut all: Vec<String> = Vec::new();
        for (name, value) in labels(&self.labels) {
            let is_taken = added.iter().any(|(added, _)| *added == name);
            all.push(format!("{}{name}={value}", if is_taken { "exported_" } else { "" }));
        }
        let value = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        all.extend(added.iter().map(|(name, text)| format!("{name}=\"{}\"", value(text))));
        self.labels = all.join(",");
        self
    }
}

/// The families of a text, by the names that the written format gives them.
fn read(text: &str) -> Result<BTreeMap<String, Family>, FormatError> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    // The kinds that the written format lacks.
    let mut dropped: Vec<&str> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            let mut words = comment.trim_start().splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("HELP"), Some(name), help) => {
                    families.entry(name.to_owned()).or_default().help = help.unwrap_or_default().replace("\\\"", "\"");
                }
                (Some("TYPE"), Some(name), Some(kind)) => match Kind::of(kind.trim()) {
                    Some(kind) => families.entry(name.to_owned()).or_default().kind = kind,
                    None => {
                        families.entry(name.to_owned()).or_default();
                        dropped.push(name);
                    }
                },
                _ => {}
            }
        } else if !line.is_empty() {
            let sample = sample(line).ok_or_else(|| FormatError { line: number + 1, text: line.to_owned() })?;
            match family_of(&sample.name, &families) {
                // When a series began is no sample of the written format.
                _ if sample.name.strip_suffix("_created").is_some_and(|name| families.contains_key(name)) => {}
                name if dropped.contains(&name.as_str()) => {}
                name => families.entry(name).or_default().samples.push(sample),
            }
        }
    }
    let total = |name: String, family: &Family| match family.kind {
        Kind::Counter if !name.ends_with("_total") && family.samples.iter().all(|one| one.name.ends_with("_total")) => {
            format!("{name}_total")
        }
        _ if !family.samples.is_empty() && family.samples.iter().all(|one| one.name == format!("{name}_info")) => {
            format!("{name}_info")
        }
        _ => name,
    };
    Ok(families
        .into_iter()
        .filter(|(name, family)| !family.samples.is_empty() && !dropped.contains(&name.as_str()))
        .map(|(name, family)| (total(name, &family), family))
        .collect())
}

/// The family of a sample: the declared one whose name it has, with or without an ending.
fn family_of(sample: &str, families: &BTreeMap<String, Family>) -> String {
    let stems = ENDINGS.iter().filter_map(|ending| sample.strip_suffix(ending));
    let mut names = std::iter::once(sample).chain(stems);
    names.find(|name| families.contains_key(*name)).unwrap_or(sample).to_owned()
}

/// `name{labels} value`, perhaps with a time or an exemplar behind it.
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' ', '\t'])?;
    let (name, rest) = line.split_at(end);
    let (inside, rest) = match rest.strip_prefix('{') {
        Some(rest) => {
            let end = end_of_labels(rest)?;
            (&rest[..end], &rest[end + 1..])
        }
        None => ("", rest),
    };
    let value = rest.split_whitespace().next()?;
    let number = match value {
        "+Inf" | "-Inf" | "NaN" => true,
        value => value.parse::<f64>().is_ok(),
    };
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"_:".contains(&byte);
    let is_name =
        !name.is_empty() && name.bytes().all(letters) && !name.starts_with(|first: char| first.is_ascii_digit());
    (number && is_name).then(|| Sample { name: name.to_owned(), labels: inside.to_owned(), value: value.to_owned() })
}

/// Where the brace is that ends labels: one in a value does not.
fn end_of_labels(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// The labels between braces: each name, and its value as it is written, with quotes.
fn labels(mut text: &str) -> Vec<(&str, &str)> {
    let mut labels = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, letter)| {
            let ends = *letter == '"' && !escaped;
            escaped = *letter == '\\' && !escaped;
            ends
        });
        let Some((end, _)) = end else { break };
        labels.push((name.trim_matches([',', ' ']), &rest[..=end]));
        text = &rest[end + 1..];
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, labels: &[(&str, &str)]) -> String {
        let mut all = Exposition::default();
        all.add(text, labels).unwrap();
        all.text()
    }

    #[test]
    fn open_metrics_become_the_text_format() {
        let text = "# HELP a_requests Invocations by \\\"code\\\".\n# TYPE a_requests counter\n\
            a_requests_total{code=\"200\"} 3 # {trace_id=\"x\"} 1\na_requests_created{code=\"200\"} 1.5e9\n\
            # HELP a_time_seconds Time.\n# TYPE a_time_seconds histogram\n# UNIT a_time_seconds seconds\n\
            a_time_seconds_sum 0.5\na_time_seconds_count 1\na_time_seconds_bucket{le=\"+Inf\"} 1\n\
            # TYPE b info\nb_info{version=\"1\"} 1\n# TYPE c gaugehistogram\nc_gsum 1\nc_bucket{le=\"1\"} 2\n# EOF\n";
        let wanted = "# HELP a_requests_total Invocations by \"code\".\n# TYPE a_requests_total counter\n\
            a_requests_total{code=\"200\"} 3\n\
            # HELP a_time_seconds Time.\n# TYPE a_time_seconds histogram\n\
            a_time_seconds_sum 0.5\na_time_seconds_count 1\na_time_seconds_bucket{le=\"+Inf\"} 1\n\
            # TYPE b_info gauge\nb_info{version=\"1\"} 1\n";
        assert_eq!(written(text, &[]), wanted);
        assert_eq!(written(wanted, &[]), wanted, "the text format stays as it is");
    }

    #[test]
    fn samples_get_labels_and_keep_their_own_under_another_name() {
        let text = "# TYPE g gauge\ng 1\ng{endpoint=\"a\\\"}\",x=\"1\"} NaN 1700000000\nalone{x=\"\"} -Inf\n";
        let wanted = "# TYPE alone untyped\nalone{x=\"\",endpoint=\"e\\\"\"} -Inf\n\
            # TYPE g gauge\ng{endpoint=\"e\\\"\"} 1\ng{exported_endpoint=\"a\\\"}\",x=\"1\",endpoint=\"e\\\"\"} NaN\n";
        assert_eq!(written(text, &[("endpoint", "e\"")]), wanted);
    }

    #[test]
    fn families_of_several_sources_stand_together() {
        let mut all = Exposition::default();
        all.add("# HELP r R.\n# TYPE r counter\nr_total 1\n", &[("endpoint", "a")]).unwrap();
        all.add("# HELP r Another.\n# TYPE r counter\nr_total 2\n# TYPE s gauge\ns 0\n", &[("endpoint", "b")]).unwrap();
        all.add("# TYPE s counter\ns 9\n", &[]).unwrap();
        let wanted = "# HELP r_total R.\n# TYPE r_total counter\nr_total{endpoint=\"a\"} 1\nr_total{endpoint=\"b\"} 2\n\
            # TYPE s gauge\ns{endpoint=\"b\"} 0\n";
        assert_eq!(all.text(), wanted);
    }

    #[test]
    fn what_is_no_metric_is_refused() {
        for text in ["<html>", "a{b=\"c\" 1", "a", "a b", "1a 2", "a{} x"] {
            let refused = Exposition::default().add(text, &[]);
            assert_eq!(refused, Err(FormatError { line: 1, text: text.to_owned() }), "{text}");
        }
    }
}
