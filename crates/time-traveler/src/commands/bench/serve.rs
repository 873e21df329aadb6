//! `bench serve`: the time that the model server adds to its work, by its own metrics.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use clap::Args;
use pipeline::Ages;
use reqwest::{Client, StatusCode};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::models::ModelFolder;
use crate::pictures::sample::SAMPLE;
use crate::runtime::runtime;
use crate::stack::programs::BuiltIn;

#[derive(Debug, Args)]
pub(crate) struct BenchServe {
    /// A picture with a face [default: a built-in portrait]
    photo: Option<PathBuf>,
    #[command(flatten)]
    model: ModelFolder,
    /// Ages of each strip
    #[arg(long, default_value_t)]
    ages: Ages,
    /// Number of clients, each of which sends one request after another
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// Number of requests of all clients together
    #[arg(long, value_name = "N", default_value_t = 100)]
    requests: usize,
    /// Print the times as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Parts of a request's time, by the names in the server's metrics.
const PARTS: [&str; 3] = ["waiting", "service", "overhead"];

pub(crate) fn run(bench: &BenchServe) -> anyhow::Result<()> {
    let picture = match &bench.photo {
        Some(photo) => std::fs::read(photo).with_context(|| format!("{} cannot be read", photo.display()))?,
        None => SAMPLE.to_vec(),
    };
    let server = Server::start(bench)?;
    let metrics = runtime()?.block_on(measured(&server.url, &picture, bench))?;
    let (mut line, mut lines) = (Map::new(), Vec::new());
    for part in PARTS {
        let [median, late] = [0.5, 0.99].map(|share| quantile(&metrics, &format!("aging_{part}_seconds"), share));
        lines.push(format!("  {part:<18} {:>9.3} ms median {:>9.3} ms of 99 in 100", median * 1e3, late * 1e3));
        line.insert(part.to_owned(), json!({"medianSeconds": median, "p99Seconds": late}));
    }
    let mut means = Map::new();
    for (name, count) in metrics.iter().filter(|(name, _)| name.starts_with("aging_stage_seconds_count")) {
        let stage = name.split('"').nth(1).unwrap_or_default();
        let mean = metrics.get(&name.replace("_count", "_sum")).copied().unwrap_or_default() / count;
        lines.push(format!("  {stage:<18} {:>9.3} ms mean", mean * 1e3));
        means.insert(stage.to_owned(), json!(mean));
    }
    if bench.json {
        let (clients, requests) = (bench.clients, bench.requests);
        print_line!("{}", json!({"clients": clients, "requests": requests, "seconds": line, "stageMeanSeconds": means}))
    } else {
        print_line!("{} requests of {} clients to the model server, by its metrics", bench.requests, bench.clients)?;
        lines.iter().try_for_each(|line| print_line!("{line}"))
    }
}

/// The model server as a child process.
struct Server {
    process: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(bench: &BenchServe) -> anyhow::Result<Self> {
        let queue_length = bench.clients.to_string();
        let program = BuiltIn::Serve.program([
            ("SAGEMAKER_BIND_TO_PORT", "0".to_owned()),
            ("BIND_HOST", "127.0.0.1".to_owned()),
            ("QUEUE_LENGTH", queue_length),
            ("DEFAULT_AGES", bench.ages.to_string()),
        ]);
        let mut command = Command::new(program.path);
        command.arg0(program.arg0).envs(program.environment).stderr(Stdio::piped());
        if let Some(folder) = &bench.model.folder {
            bench.model.engine()?;
            command.env("SM_MODEL_DIR", folder);
        }
        let mut process = command.spawn().context("the model server cannot be started")?;
        let log = process.stderr.take().context("the model server has no stderr")?;
        let mut server = Self { process, url: String::new() };
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let mut last = String::new();
        let address = lines.find_map(|line| {
            let said: Option<Value> = serde_json::from_str(&line).ok();
            last = line;
            Some(said?["address"].as_str()?.to_owned())
        });
        server.url = format!("http://{}", address.with_context(|| format!("the model server did not start: {last}"))?);
        // A full pipe would block the server.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(server)
    }
}

/// The server's metrics after the load.
async fn measured(url: &str, picture: &[u8], bench: &BenchServe) -> anyhow::Result<BTreeMap<String, f64>> {
    let client = Client::builder().no_proxy().build()?;
    let mut clients = JoinSet::new();
    for number in 0..usize::from(bench.clients) {
        let requests = (number..bench.requests).step_by(bench.clients.into()).count();
        let (client, url, picture) = (client.clone(), format!("{url}/invocations"), picture.to_vec());
        clients.spawn(async move {
            for _ in 0..requests {
                let answer = client.post(&url).body(picture.clone()).send().await?;
                let (status, bytes) = (answer.status(), answer.bytes().await?);
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
                ensure!(status == StatusCode::OK, "an invocation was answered {status}: {text}");
            }
            Ok(())
        });
    }
    for client in clients.join_all().await {
        client?;
    }
    let text = client.get(format!("{url}/metrics")).send().await?.text().await?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect())
}

/// The quantile of a histogram, by linear interpolation within a bucket as in Prometheus's `histogram_quantile`.
fn quantile(metrics: &BTreeMap<String, f64>, histogram: &str, share: f64) -> f64 {
    let prefix = format!("{histogram}_bucket{{le=\"");
    let bucket = |(name, count): (&String, &f64)| {
        let bound = name.strip_prefix(&prefix)?.strip_suffix("\"}")?;
        Some((bound.parse::<f64>().unwrap_or(f64::INFINITY), *count))
    };
    let mut buckets: Vec<(f64, f64)> = metrics.iter().filter_map(bucket).collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let rank = share * buckets.last().map_or(0.0, |(_, count)| *count);
    let (mut lower, mut below) = (0.0, 0.0);
    for (upper, count) in buckets {
        if count >= rank && count > below {
            return if upper.is_finite() { lower + (upper - lower) * (rank - below) / (count - below) } else { lower };
        }
        (lower, below) = (upper, count);
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_in_their_bucket() {
        let metrics: BTreeMap<String, f64> = [("0.001", 2.0), ("0.002", 6.0), ("0.01", 10.0), ("+Inf", 10.0)]
            .map(|(bound, count)| (format!("time_seconds_bucket{{le=\"{bound}\"}}"), count))
            .into();
        assert!((quantile(&metrics, "time_seconds", 0.5) - 0.001_75).abs() < 1e-9);
        assert!((quantile(&metrics, "time_seconds", 0.1) - 0.000_5).abs() < 1e-9);
        assert!((quantile(&metrics, "time_seconds", 1.0) - 0.01).abs() < 1e-9);
        assert_eq!(quantile(&metrics, "absent", 0.5), 0.0);
    }
}
