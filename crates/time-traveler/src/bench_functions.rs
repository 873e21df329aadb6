//! `bench functions`: the functions as they are deployed, in the local cloud: how large, how soon awake, with how much memory.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use local_cloud::Conditions;
use pipeline::{ImageType, Status};
use serde::Deserialize;
use serde_json::{Map, json};

use crate::bench::SAMPLE;
use crate::cli::BenchFunctions;
use crate::client::{Client, Photo};
use crate::programs::Inner;
use crate::stack::{Parts, stack};
use crate::up::{runtime, start};

const FUNCTIONS: [Inner; 2] = [Inner::ImageProcessor, Inner::JobTracker];

/// What the local cloud, as Lambda, reports of an invocation in the function's log.
#[derive(Debug, Deserialize)]
struct Report {
    record: Record,
}

#[derive(Debug, Deserialize)]
struct Record {
    metrics: Metrics,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    /// From the event to the answer, in milliseconds.
    duration_ms: f64,
    /// From the start of the process until it asked for work: of a cold start only.
    init_duration_ms: Option<f64>,
    #[serde(rename = "maxMemoryUsedMB")]
    max_memory_used: Option<u64>,
}

/// What was seen of a function.
#[derive(Debug, Default)]
struct Seen {
    init: Vec<f64>,
    /// From the start of the process to its first answer.
    first_answer: Vec<f64>,
    memory: u64,
}

pub(crate) fn run(bench: &BenchFunctions) -> anyhow::Result<()> {
    let mut seen = FUNCTIONS.map(|_| Seen::default());
    for _ in 0..bench.runs {
        let data = tempfile::tempdir().context("a temporary folder cannot be made")?;
        runtime()?.block_on(one_portrait(&bench.functions, data.path()))?;
        for (function, seen) in FUNCTIONS.into_iter().zip(&mut seen) {
            let log = data.path().join("logs").join(format!("{}.log", function.name()));
            seen.read(&log)?;
        }
    }
    let mut line = Map::new();
    for (function, seen) in FUNCTIONS.into_iter().zip(seen) {
        let zip = zipped(&bench.functions.join(function.name()).join("bootstrap"))?;
        let (starts, memory) = (seen.init.len(), seen.memory);
        let [(init, _), (answer, worst)] = [seen.init, seen.first_answer].map(median_and_most);
        if bench.json {
            let figures = json!({
                "coldStarts": starts, "zipBytes": zip, "initMilliseconds": init, "maxMemoryMegabytes": memory,
                "firstAnswerMilliseconds": {"median": answer, "most": worst},
            });
            line.insert(function.name().to_owned(), figures);
            continue;
        }
        println!("{}, {starts} cold starts", function.name());
        println!("  zipped             {:>9.2} MB", zip as f64 / 1e6);
        println!("  until it is ready  {init:>9.1} ms median");
        println!("  to its first answer {answer:>8.1} ms median {worst:>9.1} ms at most");
        println!("  memory             {memory:>9} MB at most");
    }
    if bench.json {
        println!("{}", json!(line));
    }
    Ok(())
}

/// Has fresh functions turn the sample portrait into a strip of five panels, and split it.
async fn one_portrait(functions: &Path, data: &Path) -> anyhow::Result<()> {
    let mut stack = stack(&Parts { functions: Some(functions), ..Parts::default() })?;
    for function in &mut stack.functions {
        function.provisioned_concurrency = 0;
    }
    let cloud = start(&stack, data, 0, 0, Conditions::default()).await?;
    let api = format!("http://{}", cloud.api_address());
    let photo = Photo { id: "portrait".parse()?, bytes: SAMPLE.to_vec(), media_type: ImageType::Png };
    let job = async {
        let client = Client::new(&api, &api, None).await?;
        let expected = client.upload(&photo, None).await?;
        client.wait(&expected, &mut |_| ()).await
    };
    let job = job.await;
    cloud.stop().await;
    let job = job?;
    ensure!(job.status == Status::Success, "the sample portrait ended {}: {:?}", job.status.as_str(), job.error);
    Ok(())
}

impl Seen {
    fn read(&mut self, log: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(log).with_context(|| format!("{} cannot be read", log.display()))?;
        for Report { record: Record { metrics } } in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            if let Some(init) = metrics.init_duration_ms {
                self.init.push(init);
                // Of figures with two decimals.
                self.first_answer.push(((init + metrics.duration_ms) * 100.0).round() / 100.0);
            }
            self.memory = self.memory.max(metrics.max_memory_used.unwrap_or_default());
        }
        ensure!(!self.init.is_empty(), "{} tells of no start", log.display());
        Ok(())
    }
}

fn median_and_most(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() - 1])
}

/// How many bytes a file takes in a zip file, headers aside.
fn zipped(file: &Path) -> anyhow::Result<u64> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&bytes)?;
    Ok(encoder.finish()?.len() as u64)
}
