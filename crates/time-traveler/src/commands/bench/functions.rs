//! `bench functions`: the size, cold starts and memory of the deployed functions, measured in the local cloud.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use local_cloud::Conditions;
use pipeline::{ImageType, Status};
use serde::Deserialize;
use serde_json::{Map, json};

use super::measurement::median_of;
use crate::client::{ApiAddresses, Client, Photo};
use crate::pictures::sample::SAMPLE;
use crate::runtime::runtime;
use crate::stack::local::start;
use crate::stack::programs::BuiltIn;
use crate::stack::{Parts, stack};

const FUNCTIONS: [BuiltIn; 2] = [BuiltIn::ImageProcessor, BuiltIn::JobTracker];

#[derive(Debug, Args)]
pub(crate) struct BenchFunctions {
    /// Folder of the functions that `cargo lambda build` built
    #[arg(default_value = "target/lambda")]
    functions: PathBuf,
    /// Number of cold starts of each function; the median of their times is reported
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Print the figures as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Lambda's report of an invocation, which the local cloud writes into the function's log.
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
    /// From the start of the process until its first request for work; cold starts only.
    init_duration_ms: Option<f64>,
    #[serde(rename = "maxMemoryUsedMB")]
    max_memory_used: Option<u64>,
}

/// The reports of a function.
#[derive(Debug, Default)]
struct Reports {
    init: Vec<f64>,
    /// From the start of the process to its first answer.
    first_answer: Vec<f64>,
    memory: u64,
}

pub(crate) fn run(bench: &BenchFunctions) -> anyhow::Result<()> {
    let mut reports = FUNCTIONS.map(|_| Reports::default());
    for _ in 0..bench.runs {
        let data = tempfile::tempdir().context("a temporary folder cannot be made")?;
        runtime()?.block_on(one_portrait(&bench.functions, data.path()))?;
        for (function, reports) in FUNCTIONS.into_iter().zip(&mut reports) {
            let log = data.path().join("logs").join(format!("{}.log", function.name()));
            reports.read(&log)?;
        }
    }
    let mut line = Map::new();
    for (function, reports) in FUNCTIONS.into_iter().zip(reports) {
        let zip = zipped(&bench.functions.join(function.name()).join("bootstrap"))?;
        let (starts, memory) = (reports.init.len(), reports.memory);
        let [(init, _), (answer, worst)] = [reports.init, reports.first_answer].map(median_and_most);
        if bench.json {
            let figures = json!({
                "coldStarts": starts, "zipBytes": zip, "initMilliseconds": init, "maxMemoryMegabytes": memory,
                "firstAnswerMilliseconds": {"median": answer, "most": worst},
            });
            line.insert(function.name().to_owned(), figures);
            continue;
        }
        print_line!("{}, {starts} cold starts", function.name())?;
        print_line!("  zipped             {:>9.2} MB", zip as f64 / 1e6)?;
        print_line!("  until it is ready  {init:>9.1} ms median")?;
        print_line!("  to its first answer {answer:>8.1} ms median {worst:>9.1} ms at most")?;
        print_line!("  memory             {memory:>9} MB at most")?;
    }
    if bench.json {
        print_line!("{}", json!(line))?;
    }
    Ok(())
}

/// Sends the sample portrait, at the default four ages, through functions that start cold.
async fn one_portrait(functions: &Path, data: &Path) -> anyhow::Result<()> {
    let mut stack = stack(&Parts { functions: Some(functions), ..Parts::default() })?;
    for function in &mut stack.functions {
        function.provisioned_concurrency = 0;
    }
    let cloud = start(&stack, data, 0, 0, Conditions::default()).await?;
    let photo = Photo { id: "portrait".parse()?, bytes: SAMPLE.to_vec(), media_type: ImageType::Png };
    let job = async {
        let client = Client::new(&ApiAddresses::local(cloud.api_address())).await?;
        let expected = client.upload(&photo, None).await?;
        client.wait(&expected, &mut |_| ()).await
    };
    let job = job.await;
    cloud.stop().await;
    let job = job?;
    ensure!(job.status == Status::Success, "the sample portrait ended {}: {:?}", job.status.as_str(), job.error);
    Ok(())
}

impl Reports {
    fn read(&mut self, log: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(log).with_context(|| format!("{} cannot be read", log.display()))?;
        for Report { record: Record { metrics } } in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            if let Some(init) = metrics.init_duration_ms {
                self.init.push(init);
                // Both figures have two decimals.
                self.first_answer.push(((init + metrics.duration_ms) * 100.0).round() / 100.0);
            }
            self.memory = self.memory.max(metrics.max_memory_used.unwrap_or_default());
        }
        ensure!(!self.init.is_empty(), "{} reports no cold start", log.display());
        Ok(())
    }
}

fn median_and_most(times: Vec<f64>) -> (f64, f64) {
    let most = times.iter().copied().fold(f64::MIN, f64::max);
    (median_of(times), most)
}

/// The size of a file in a zip archive, in bytes, without the archive's headers.
fn zipped(file: &Path) -> anyhow::Result<u64> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&bytes)?;
    Ok(encoder.finish()?.len() as u64)
}
