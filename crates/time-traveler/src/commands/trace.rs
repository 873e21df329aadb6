//! `trace`: a portrait's way through the pipeline of this machine, with times, from the logs of its parts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use pipeline::{InferenceId, Owner, PortraitId, PortraitKey, Revision, Timestamp};
use serde_json::{Map, Value, json};

use crate::escape::{Shown, line};

/// The field of a log's line that is its text.
const MESSAGE: &str = "message";
/// What each line says of itself.
const OF_THE_LINE: [&str; 3] = ["timestamp", "level", "target"];
/// Fields that say where a line belongs. They are the same in all lines of a way, or shown at its beginning.
const KNOWN: [&str; 3] = ["id", "inference_id", "request"];

#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The portrait's id
    id: PortraitId,
    /// Whose it is, where portraits have owners: the subject of the token
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// The data folder of `up`
    #[arg(long, value_name = "DIR", default_value = ".time-traveler")]
    data: PathBuf,
    /// Print each step as one line of JSON
    #[arg(long)]
    json: bool,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    at: Timestamp,
    /// The log's name without its ending: the function, the endpoint, or `api-access`.
    part: String,
    fields: Map<String, Value>,
}

impl Step {
    /// The step that a line of a log is; `None` where it is no line of a time, or a program's own words.
    fn read(part: &str, line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let at = line.get("timestamp")?.as_str()?.parse().ok()?;
        let fields = match line.get("fields") {
            Some(fields) => fields.as_object()?.clone(),
            // A model server's lines have their fields beside the time.
            None => {
                let all = line.as_object()?.iter();
                let said = all.filter(|(name, _)| !OF_THE_LINE.contains(&name.as_str()));
                let fields: Map<String, Value> = said.map(|(name, value)| (name.clone(), value.clone())).collect();
                fields.contains_key(MESSAGE).then_some(fields)?
            }
        };
        Some(Self { at, part: part.to_owned(), fields })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// What the line says beside the fields that all lines share.
    fn detail(&self) -> String {
        let words = self.fields.iter().filter(|(name, value)| {
            *name != MESSAGE && !KNOWN.contains(&name.as_str()) && !value.is_null() && *value != &json!("")
        });
        let word = |(name, value): (&String, &Value)| {
            format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        words.map(word).collect::<Vec<_>>().join(" ")
    }
}

pub(crate) fn run(trace: &Trace) -> anyhow::Result<()> {
    let portrait = PortraitKey::new(trace.owner.as_deref().map(Owner::of), trace.id.clone());
    let way = way(&portrait, read(&trace.data)?);
    anyhow::ensure!(
        !way.is_empty(),
        "no log in {} names {portrait}: --data of its `up` would work, and --owner where portraits have owners",
        trace.data.join("logs").shown()
    );
    let first = way[0].at.as_millis();
    let mut request = None;
    for step in &way {
        let after = step.at.as_millis() - first;
        if trace.json {
            let line = json!({"at": step.at, "ms": after, "part": step.part, "fields": step.fields});
            print_line!("{line}")?;
            continue;
        }
        // Another request is another upload of the portrait.
        if step.text("request").is_some() && step.text("request") != request {
            request = step.text("request");
            print_line!("request {}", line(request.unwrap_or_default()))?;
        }
        let said = step.text(MESSAGE).unwrap_or_default();
        // Programs write the lines, and may repeat what clients sent.
        let (said, detail) = (line(said), step.detail());
        print_line!("{after:>8} ms  {}  {:<16} {said:<12} {}", step.at, line(&step.part), line(&detail))?;
    }
    Ok(())
}

/// The lines of all logs below a data folder.
fn read(data: &Path) -> anyhow::Result<Vec<Step>> {
    let logs = data.join("logs");
    let entries = fs::read_dir(&logs).with_context(|| format!("{} cannot be read", logs.shown()))?;
    let mut steps = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("{} cannot be read", logs.shown()))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(part) = name.strip_suffix(".log").or_else(|| name.strip_suffix(".log.old")) else { continue };
        // A program may write anything into its log.
        let text = fs::read(&path).with_context(|| format!("{} cannot be read", path.shown()))?;
        steps.extend(String::from_utf8_lossy(&text).lines().filter_map(|line| Step::read(part, line)));
    }
    Ok(steps)
}

/// The steps of a portrait, in the order of their times: those that name it, its invocations, or a request that brought it.
fn way(portrait: &PortraitKey, steps: Vec<Step>) -> Vec<Step> {
    let key = portrait.to_string();
    // All invocations for a portrait have the same beginning.
    let any = InferenceId::new(portrait, Revision::new("", "")).to_string();
    let invocation = any.split_once(':').map(|(name, _)| format!("{name}:")).unwrap_or_default();
    let names = |step: &Step| {
        step.text("id") == Some(&key) || step.text("inference_id").is_some_and(|id| id.starts_with(&invocation))
    };
    let requests: BTreeSet<String> =
        steps.iter().filter(|step| names(step)).filter_map(|step| step.text("request")).map(str::to_owned).collect();
    let belongs = |step: &Step| names(step) || step.text("request").is_some_and(|request| requests.contains(request));
    let mut way: Vec<Step> = steps.into_iter().filter(belongs).collect();
    way.sort_by_key(|step| step.at);
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(part: &str, second: u32, fields: Value) -> Step {
        let line = json!({"timestamp": format!("2026-11-21T13:08:{second:02}.000Z"), "fields": fields});
        Step::read(part, &line.to_string()).unwrap()
    }

    #[test]
    fn a_way_has_the_lines_of_its_portrait_and_of_its_request() {
        let revision = Revision::new("e", "20");
        let id = |key: &str| InferenceId::new(&key.parse().unwrap(), revision.clone()).to_string();
        for (key, other) in [("ada", "adam"), ("ann/ada", "bob/ada")] {
            let mine = [
                step("api-access", 1, json!({"message": "answered", "request": "r1"})),
                step("image-processor", 2, json!({"message": "accepted", "id": key, "request": "r1"})),
                step("face-aging", 3, json!({"message": "invocation", "inference_id": id(key)})),
                step("image-processor", 4, json!({"message": "split", "id": key, "request": "r1"})),
            ];
            let others = [
                step("api-access", 1, json!({"message": "answered", "request": "r2"})),
                step("image-processor", 2, json!({"message": "accepted", "id": other, "request": "r2"})),
                step("face-aging", 3, json!({"message": "invocation", "inference_id": id(other)})),
                step("image-processor", 3, json!({"message": "sweeping"})),
            ];
            let all = others.iter().chain(mine.iter().rev()).cloned().collect();
            assert_eq!(way(&key.parse().unwrap(), all), mine, "{key}");
        }
    }

    #[test]
    fn lines_that_are_no_steps_are_left_out() {
        for line in
            ["", "hello", "{}", "{\"timestamp\": 1}", "{\"timestamp\": \"2026-11-21T13:08:00Z\", \"fields\": []}"]
        {
            assert_eq!(Step::read("x", line), None, "{line}");
        }
        let flat =
            r#"{"timestamp":"2026-11-21T13:08:01Z","level":"INFO","message":"invocation","ms":1.5,"target":"a::b"}"#;
        assert_eq!(Step::read("x", flat), Some(step("x", 1, json!({"message": "invocation", "ms": 1.5}))));
        let split = step("x", 1, json!({"message": "split", "id": "ada", "request": null, "model": "sam", "ms": 1.5}));
        assert_eq!(split.detail(), "model=sam ms=1.5");
    }
}
