//! `bench pipeline`: the processor time, the throughput and the latency of the whole pipeline, by `up` as a child process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use local_cloud::Durability;
use pipeline::{Ages, JobView, Status, strip};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Map, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::measurement::median_of;
use super::processes::Time;
use super::up::Up;
use crate::choice::Choice;
use crate::pictures::sample::SAMPLE;
use crate::runtime::runtime;

/// Uploads at the same time. Further ones wait.
const UPLOADS: usize = 32;
/// Jobs that warm the pipeline up: one in this many.
const WARM: usize = 5;
/// How long all jobs may take.
const PATIENCE: Duration = Duration::from_secs(1800);
/// The time between two looks at the newest jobs. Looks take processor time too.
const LOOK: Duration = Duration::from_millis(500);
/// The jobs of a page of the list.
const PAGE: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct BenchPipeline {
    /// A picture to send [default: a built-in portrait; with --model-server, a small picture of one colour]
    photo: Option<PathBuf>,
    /// A program that keeps SageMaker's contract for containers, such as target/release/examples/quick_server, which takes
    /// milliseconds [default: the built-in model server]
    #[arg(long, value_name = "PROGRAM")]
    model_server: Option<PathBuf>,
    /// Ages to make of each picture
    #[arg(long, default_value = "40")]
    ages: Ages,
    /// Number of jobs
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
    /// Uploads a second. If the pipeline is slower, jobs wait in its queues
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    rate: f64,
    /// What acknowledged uploads survive, as with `up`
    #[arg(long, value_name = "EVENT", default_value_t, value_parser = Choice::<Durability>::of(&Durability::WORDS))]
    durability: Durability,
    /// Print the figures as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(bench: &BenchPipeline) -> anyhow::Result<()> {
    ensure!(bench.rate > 0.0, "--rate {} is no rate: a number above 0 would work", bench.rate);
    let photo = match (&bench.photo, &bench.model_server) {
        (Some(photo), _) => std::fs::read(photo).with_context(|| format!("{} cannot be read", photo.display()))?,
        (None, Some(_)) => small_picture()?,
        (None, None) => SAMPLE.to_vec(),
    };
    let data = tempfile::tempdir().context("a temporary folder cannot be made")?;
    let model_server = bench.model_server.iter().flat_map(|program| ["--model-server".as_ref(), program.as_os_str()]);
    let up = Up::start(data.path(), bench.durability, &model_server.collect::<Vec<_>>())?;
    let measured = runtime()?.block_on(measured(&up, photo, bench))?;
    measured.print(bench)
}

fn small_picture() -> anyhow::Result<Vec<u8>> {
    let mut png = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(64, 64, image::Rgb([90, 120, 150]));
    picture.write_to(&mut png, image::ImageFormat::Png).context("the picture cannot be encoded")?;
    Ok(png.into_inner())
}

/// The figures of a run.
struct Measured {
    /// Milliseconds of processor time for each job, by the name of the program.
    times: BTreeMap<String, [f64; 2]>,
    /// From the first upload to the last `SUCCESS`.
    elapsed: Duration,
    /// Milliseconds from each PUT to `SUCCESS`, as the job's record says.
    latencies: Vec<f64>,
    /// Bytes of resident memory, before and after.
    memory: [u64; 2],
}

async fn measured(up: &Up, photo: Vec<u8>, bench: &BenchPipeline) -> anyhow::Result<Measured> {
    let http = Client::builder().no_proxy().build()?;
    let photo = bytes::Bytes::from(photo);
    let jobs = bench.jobs as usize;
    let warm = jobs.div_ceil(WARM);
    upload(&http, up, &photo, bench, "warm", warm).await?;
    ended(&http, up, "warm", warm).await?;
    let before = up.usage()?;
    let start = Instant::now();
    let sent = upload(&http, up, &photo, bench, "job", jobs).await?;
    let ended = ended(&http, up, "job", jobs).await?;
    let after = up.usage()?;
    // The last look may have been late.
    let last = ended.values().max().copied().unwrap_or_default();
    let first = sent.values().min().copied().unwrap_or_default();
    let elapsed = u64::try_from(last - first).map_or(start.elapsed(), Duration::from_millis);
    let of_a_job = |milliseconds: u64| milliseconds as f64 / jobs as f64;
    let times = after.times.iter().map(|(name, time)| {
        let earlier = before.times.get(name).copied().unwrap_or(Time::default());
        let user = of_a_job(time.user.saturating_sub(earlier.user));
        (name.clone(), [user, of_a_job(time.system.saturating_sub(earlier.system))])
    });
    let latencies = sent.iter().filter_map(|(id, sent)| Some((ended.get(id)? - sent) as f64)).collect();
    Ok(Measured { times: times.collect(), elapsed, latencies, memory: [before.memory, after.memory] })
}

/// Uploads at the rate. Returns the time of each upload, in milliseconds since 1970.
async fn upload(
    http: &Client,
    up: &Up,
    photo: &bytes::Bytes,
    bench: &BenchPipeline,
    prefix: &str,
    jobs: usize,
) -> anyhow::Result<BTreeMap<String, i64>> {
    let (places, mut uploads, start) = (Arc::new(Semaphore::new(UPLOADS)), JoinSet::new(), Instant::now());
    for number in 0..jobs {
        let due = Duration::from_secs_f64(number as f64 / bench.rate);
        tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
        let place = Arc::clone(&places).acquire_owned().await?;
        let id = format!("{prefix}-{number}");
        let put = http.put(format!("{}/images/{id}?ages={}", up.api, bench.ages)).body(photo.clone());
        uploads.spawn(async move {
            let sent = jiff::Timestamp::now().as_millisecond();
            let answer = put.send().await?;
            drop(place);
            ensure!(answer.status().is_success(), "an upload was answered {}", answer.status());
            Ok((id, sent))
        });
    }
    uploads.join_all().await.into_iter().collect()
}

/// Waits until all jobs have ended. Returns the time of each end, in milliseconds since 1970.
async fn ended(http: &Client, up: &Up, prefix: &str, jobs: usize) -> anyhow::Result<BTreeMap<String, i64>> {
    let start = Instant::now();
    // The last upload's job is one of the last to end.
    let last = format!("{}/jobs/{prefix}-{}", up.api, jobs - 1);
    loop {
        let answer = http.get(&last).send().await?;
        if answer.status().is_success() && answer.json::<JobView>().await?.status.is_final() {
            let ended = all_ended(http, up, prefix).await?;
            if ended.len() == jobs {
                return Ok(ended);
            }
        }
        ensure!(start.elapsed() < PATIENCE, "the jobs have not ended after {} s", PATIENCE.as_secs());
        tokio::time::sleep(LOOK).await;
    }
}

#[derive(Deserialize)]
struct Page {
    jobs: Vec<JobView>,
    cursor: Option<String>,
}

async fn all_ended(http: &Client, up: &Up, prefix: &str) -> anyhow::Result<BTreeMap<String, i64>> {
    let (mut ended, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page = http.get(format!("{}/jobs?limit={PAGE}&cursor={cursor}", up.api)).send().await?;
        let page: Page = page.error_for_status()?.json().await?;
        for job in page.jobs.iter().filter(|job| job.id.as_str().starts_with(prefix)) {
            match (&job.error, job.status) {
                (Some(error), _) => bail!("the job {} failed: {error}", job.id),
                (None, Status::Success) => _ = ended.insert(job.id.to_string(), job.updated_at.as_millis()),
                _ => {}
            }
        }
        match page.cursor {
            Some(next) => cursor = next,
            None => return Ok(ended),
        }
    }
}

impl Measured {
    fn print(mut self, bench: &BenchPipeline) -> anyhow::Result<()> {
        let (jobs, seconds) = (bench.jobs, self.elapsed.as_secs_f64());
        let rate = f64::from(jobs) / seconds;
        self.latencies.sort_by(f64::total_cmp);
        let late = self.latencies[(self.latencies.len() - 1) * 99 / 100];
        let median = median_of(self.latencies.clone());
        let sum: f64 = self.times.values().flatten().sum();
        let [before, after] = self.memory;
        if bench.json {
            let times: Map<String, _> = self
                .times
                .iter()
                .map(|(name, [user, system])| (name.clone(), json!({"user": user, "system": system})))
                .collect();
            return print_line!(
                "{}",
                json!({
                    "jobs": jobs, "ages": bench.ages, "seconds": seconds, "jobsPerSecond": rate,
                    "processorMillisecondsPerJob": {"sum": sum, "programs": times},
                    "latencyMilliseconds": {"median": median, "p99": late},
                    "memoryBytes": {"before": before, "after": after},
                })
            );
        }
        let strip = strip::row_bytes(bench.ages.len()) * strip::PANEL / 1_000_000;
        print_line!(
            "{jobs} jobs of {} ages (strips of {strip} MB) at {} a second: done in {seconds:.1} s, {rate:.1} a second",
            bench.ages.len(),
            bench.rate
        )?;
        print_line!("  {:<20} {:>9} {:>9} {:>9}", "processor time", "program", "kernel", "a job")?;
        for (name, [user, system]) in &self.times {
            print_line!("  {name:<20} {user:>6.1} ms {system:>6.1} ms {:>6.1} ms", user + system)?;
        }
        print_line!("  {:<20} {:>9} {:>9} {sum:>6.1} ms", "all", "", "")?;
        print_line!("  {:<20} {median:>6.0} ms median, {late:.0} ms of 99 in 100", "PUT to SUCCESS")?;
        print_line!("  {:<20} {:>6} MB before, {} MB after", "memory", before / 1_000_000, after / 1_000_000)
    }
}
