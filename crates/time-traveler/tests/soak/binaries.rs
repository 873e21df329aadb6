//! Soaks of the real binaries: `up --chaos`, its functions and the quick model server, each a process.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local_cloud::FaultPlan;
use serde_json::Value;

use crate::audit::{History, audit, objects, orphans, records};
use crate::client::{Client, Story};
use crate::machine_clock::MachineClock;
use crate::story::Kind;
use crate::{alone, binary, number, plan, quick_server};

/// Clients at once.
const CLIENTS: usize = 24;
/// How long all jobs may take to settle after the load. It exceeds every deadline below.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long nothing may happen before all work counts as done. A failed event is retried after five seconds, and may
/// hang and fail again.
const QUIET: Duration = Duration::from_secs(15);
/// Short deadlines in seconds, so that the test does not take hours.
const TIMES: [(&str, &str); 5] = [
    ("REQUEST_TTL_SECONDS", "60"),
    ("INVOCATION_TIMEOUT_SECONDS", "10"),
    ("NOTICE_SECONDS", "5"),
    ("FIRST_LOOK_SECONDS", "2"),
    ("DELETION_SECONDS", "10"),
];

pub(crate) struct Up {
    process: Child,
    pub(crate) api: String,
    pub(crate) aws: String,
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Up {
    pub(crate) fn start(plan: Option<&FaultPlan>, data: &Path) -> Self {
        Self::start_with(plan, data, Stdio::null(), &[], &quick_server(), None)
    }

    /// Starts `up` with further arguments, and writes what it says to a file.
    pub(crate) fn start_saying(data: &Path, said: &Path, arguments: &[&str]) -> Self {
        Self::start_with(None, data, File::create(said).unwrap().into(), arguments, &quick_server(), None)
    }

    /// Starts `up`, its functions and the model server under a clock.
    pub(crate) fn start_under(clock: &MachineClock, data: &Path) -> Self {
        for function in ["image-processor", "job-tracker"] {
            clock.wrapped(&binary(), function);
        }
        let server = clock.wrapped(&quick_server(), "quick-server");
        let functions = clock.functions();
        let arguments = ["--functions", functions.to_str().unwrap()];
        Self::start_with(None, data, Stdio::null(), &arguments, &server, Some(&clock.library()))
    }

    fn start_with(
        plan: Option<&FaultPlan>,
        data: &Path,
        stderr: Stdio,
        arguments: &[&str],
        server: &Path,
        preload: Option<&Path>,
    ) -> Self {
        let chaos = plan.map(|plan| ["--chaos".to_owned(), plan.to_string()]);
        let mut process = Command::new(binary())
            .args(["up", "--port", "0", "--aws-port", "0", "--json"])
            .args(chaos.into_iter().flatten())
            .args(arguments)
            .arg("--model-server")
            .arg(server)
            .arg("--data")
            .arg(data)
            .envs(TIMES)
            .envs(preload.map(|library| ("LD_PRELOAD", library)))
            .env("RUST_LOG", std::env::var("SOAK_LOG").unwrap_or_else(|_| "warn".into()))
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let ready: Value = serde_json::from_str(&ready).expect("`up` did not start");
        let address = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self { process, api: address("api"), aws: address("aws") }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

/// Waits until all work is done. Returns the number of redriven events.
async fn settle(client: &Client) -> u64 {
    let (start, mut quiet, mut redriven) = (Instant::now(), Instant::now(), 0);
    while start.elapsed() < PATIENCE && quiet.elapsed() < QUIET {
        let again = client.redrive().await;
        redriven += again;
        let records = records(client).await;
        let settled = records.values().all(|record| record.is_settled);
        if again > 0 || !settled || !orphans(&objects(client).await, &records).is_empty() {
            quiet = Instant::now();
        }
        // The schedule of every ten minutes is too slow for a test.
        collect_orphans(client).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    redriven
}

async fn collect_orphans(client: &Client) {
    let event = serde_json::json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {},
        "resources": [format!("arn:aws:events:us-east-1:0:rule/{}", pipeline::event::ORPHANS)]});
    let lambda = aws_sdk_lambda::Client::new(&client.aws);
    let invoke = lambda.invoke().function_name("image-processor").payload(event.to_string().into_bytes().into());
    invoke.send().await.unwrap();
}

async fn soak(plan: &FaultPlan, jobs: usize) {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(Some(plan), data.path());
    let client = Client::new(up.api.clone(), &up.aws).await;
    let start = Instant::now();
    let stories: Vec<Story> = client.stories(plan.seed, jobs, CLIENTS, None).await;
    let load = start.elapsed();
    let redriven = settle(&client).await;
    let history = History::read(data.path());
    let violations = audit(&client, &stories, &history).await;
    println!(
        "seed {}: {jobs} jobs in {:.1} s, settled and audited after {:.1} s; {redriven} events redriven; {:?}",
        plan.seed,
        load.as_secs_f64(),
        start.elapsed().as_secs_f64(),
        history.faults(),
    );
    let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
    let first = violations.first().map(|first| history.of(&first.id)).unwrap_or_default();
    assert!(violations.is_empty(), "plan {plan}\n{} violations:\n{}\n{first}", all.len(), all.join("\n"));
}

/// `SOAK_UNDONE` portraits are deleted 0 to 50 ms after their uploads. The last of them is looked at again seconds later.
#[test]
fn no_portrait_comes_back_after_its_deletion() {
    let jobs = usize::try_from(number("SOAK_UNDONE", 150)).unwrap();
    for kind in [Kind::Undone, Kind::ReplacedAndUndone] {
        alone(async {
            let data = tempfile::tempdir().unwrap();
            let up = Up::start(None, data.path());
            let client = Client::new(up.api.clone(), &up.aws).await;
            let stories = client.stories(1, jobs, 8, Some(kind)).await;
            let come_back = async || records(&client).await.into_keys().collect::<Vec<_>>();
            assert_eq!(come_back().await, Vec::<String>::new(), "{kind:?}: at once");
            settle(&client).await;
            assert_eq!(come_back().await, Vec::<String>::new(), "{kind:?}: later");
            assert_eq!(objects(&client).await, BTreeSet::new());
            assert_eq!(stories.len(), jobs);
        });
    }
}

#[test]
fn every_job_ends_correctly_under_faults() {
    let jobs = usize::try_from(number("SOAK_BINARY_JOBS", 60)).unwrap();
    let first = number("SOAK_FIRST_SEED", 1);
    for seed in first..first + number("SOAK_BINARY_SEEDS", 1) {
        // The clock is real here, so delays are shorter.
        let plan: FaultPlan = format!("{},delay-seconds=2", plan(seed)).parse().unwrap();
        alone(soak(&plan, jobs));
    }
}
