//! Soaks with the handlers in this process. They use the same wire protocols: all their calls go through the AWS SDK to
//! the local cloud. The test advances the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use futures::FutureExt;
use futures::future::join;
use http::Method;
use lambda::{Clients, ImageProcessor, JobTracker, Settings, Tenancy};
use local_cloud::{
    Authorizer, Clock, Cloud, Code, Conditions, Endpoint, FaultPlan, Function, HttpRoute, Image, InProcess, Listeners,
    Program, RetryPolicy, Rule, S3Integration, Schedule, Stack, Subscription, Table, Tokens,
};
use pipeline::{Owner, Timestamp, event};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::audit::{History, Violation, audit, check_list, objects, orphans, records};
use crate::client::{Client, Story};
use crate::sabotage::{Saboteur, Without};
use crate::story::Kind;
use crate::{alone, number, plan, quick_server};

const PROCESSOR: &str = "image-processor";
const TRACKER: &str = "job-tracker";
const DEAD_LETTERS: &str = "image-processor-dead-letters";
/// Clients at once.
const CLIENTS: usize = 48;
/// The most seeds before a missing mechanism has to be found. Some need a coincidence of two faults.
const SEEDS: u64 = 6;
/// The most that the clock is advanced in one step, when all work waits for it.
const STEP: Duration = Duration::from_secs(5);
/// The most steps at the end, well beyond every deadline.
const STEPS: usize = 4000;

pub(crate) fn settings() -> Settings {
    settings_of(Tenancy::Shared)
}

fn settings_of(tenancy: Tenancy) -> Settings {
    let set = |name: &str| match name {
        "TENANCY" => Some(tenancy.to_string()),
        "INPUT_BUCKET" => Some("portraits".to_owned()),
        "OUTPUT_BUCKET" => Some("time-traveler".to_owned()),
        "JOBS_TABLE" => Some("jobs".to_owned()),
        "ENDPOINT_NAME" => Some("face-aging".to_owned()),
        _ => None,
    };
    Settings::read(set).unwrap()
}

/// The configuration of clients in this process.
pub(crate) async fn config(endpoint: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "replaced"))
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(10)))
        .load()
        .await
}

/// The answer of a function to an event, or its error.
type Answer = Result<Value, String>;

/// A Lambda runtime that passes events to a handler. Each execution environment makes its own handler.
fn runtime<F, H>(handler: F) -> InProcess
where
    F: Fn(BTreeMap<String, String>) -> H + Send + Sync + 'static,
    H: AsyncHandler,
{
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    InProcess::new(move |environment| {
        let base = format!("http://{}/2018-06-01/runtime/invocation", environment["AWS_LAMBDA_RUNTIME_API"]);
        let (http, handler) = (http.clone(), handler(environment));
        async move {
            loop {
                let Ok(next) = http.get(format!("{base}/next")).send().await else { return };
                let id = next.headers()["lambda-runtime-aws-request-id"].to_str().unwrap().to_owned();
                let Ok(event) = next.json().await else { return };
                let (kind, body) = match handler.handle(event, id.clone()).await {
                    Ok(answer) => ("response", answer),
                    Err(message) => ("error", json!({"errorType": "HandlerError", "errorMessage": message})),
                };
                if http.post(format!("{base}/{id}/{kind}")).json(&body).send().await.is_err() {
                    return;
                }
            }
        }
        .boxed()
    })
}

trait AsyncHandler: Send + Sync + 'static {
    fn handle(&self, event: Value, request_id: String) -> impl Future<Output = Answer> + Send;
}

impl AsyncHandler for ImageProcessor {
    async fn handle(&self, event: Value, request_id: String) -> Answer {
        let handled = ImageProcessor::handle(self, &event, &request_id).await;
        handled.map(|()| Value::Null).map_err(|error| error.to_string())
    }
}

impl AsyncHandler for JobTracker {
    async fn handle(&self, event: Value, _: String) -> Answer {
        let answer = JobTracker::handle(self, event).await.map_err(|error| error.to_string())?;
        serde_json::to_value(answer).map_err(|error| error.to_string())
    }
}

/// The clients of one execution environment. It has its own credentials, and shares connections with all others.
fn clients(base: &SdkConfig, environment: &BTreeMap<String, String>, sabotage: Option<Without>) -> Clients {
    let variable = |name: &str| environment[name].clone();
    let credentials = Credentials::new(
        variable("AWS_ACCESS_KEY_ID"),
        variable("AWS_SECRET_ACCESS_KEY"),
        Some(variable("AWS_SESSION_TOKEN")),
        None,
        "lambda",
    );
    let config = base.to_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build();
    let clients = Clients::new(&config);
    let Some(sabotage) = sabotage else { return clients };
    Clients {
        s3: aws_sdk_s3::Client::from_conf(clients.s3.config().to_builder().interceptor(Saboteur(sabotage)).build()),
        dynamodb: aws_sdk_dynamodb::Client::from_conf(
            clients.dynamodb.config().to_builder().interceptor(Saboteur(sabotage)).build(),
        ),
        ..clients
    }
}

/// The command line's stack, except that the functions are tasks.
pub(crate) fn stack(base: &SdkConfig, clock: &Clock, sabotage: Option<Without>, tenancy: Tenancy) -> Stack {
    let read = |name: &str| -> Value {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra").join(name);
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    };
    let time = {
        let clock = clock.clone();
        lambda::Clock::new(move || Timestamp::from_millis(clock.machine_millis()))
    };
    let processor = {
        let (base, time) = (base.clone(), time.clone());
        runtime(move |variables| {
            ImageProcessor::new(settings_of(tenancy), clients(&base, &variables, sabotage), time.clone())
        })
    };
    let tracker = {
        let base = base.clone();
        runtime(move |variables| {
            JobTracker::new(settings_of(tenancy), clients(&base, &variables, sabotage), time.clone())
        })
    };
    let function = |name: &str, code, concurrency, retry| Function {
        name: name.to_owned(),
        code: Code::InProcess(code),
        timeout: Duration::from_secs(30),
        concurrency,
        memory_size: 1024,
        provisioned_concurrency: 1,
        retry,
    };
    let retry = match sabotage {
        Some(Without::Retries) => RetryPolicy { backoff: Vec::new(), dead_letter_queue: None },
        _ => RetryPolicy {
            backoff: vec![Duration::from_secs(1), Duration::from_secs(5)],
            dead_letter_queue: Some(DEAD_LETTERS.to_owned()),
        },
    };
    let none = RetryPolicy { backoff: Vec::new(), dead_letter_queue: None };
    let schedule = |name: &str, seconds| Schedule {
        name: name.to_owned(),
        rate: Duration::from_secs(seconds),
        function: PROCESSOR.to_owned(),
    };
    let sweep = if sabotage == Some(Without::PromptSweep) { 4 * 3600 } else { 60 };
    let schedules = [schedule("sweep", sweep), schedule(event::ORPHANS, 600)];
    let kept = |schedule: &Schedule| match sabotage {
        Some(Without::Sweep) => schedule.name != "sweep",
        Some(Without::OrphanCollection) => schedule.name == "sweep",
        _ => true,
    };
    let route =
        |method, path: &str| HttpRoute { method, path: path.to_owned(), function: TRACKER.to_owned(), redacts: None };
    let integration = |method, path: &str, bucket: &str, key: &str| S3Integration {
        method,
        path: path.to_owned(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        metadata: vec![("ages".to_owned(), "ages".to_owned())],
        fixed_metadata: Vec::new(),
        request_metadata: None,
        check_media_type: |_| Ok(()),
        max_body: 10 << 20,
        max_body_code: None,
        validate: |_| Ok(()),
    };
    let portrait = match tenancy {
        Tenancy::Shared => "{id}",
        Tenancy::Owner => "{owner}/{id}",
    };
    let server = quick_server();
    let environment = BTreeMap::from([("QUEUE_LENGTH".to_owned(), "64".to_owned())]);
    Stack {
        buckets: vec!["portraits".to_owned(), "time-traveler".to_owned()],
        tables: vec![Table { create: read("jobs-table.json"), time_to_live: Some("expiresAt".to_owned()) }],
        expirations: Vec::new(),
        measures: Vec::new(),
        functions: vec![function(PROCESSOR, processor, 16, retry), function(TRACKER, tracker, CLIENTS, none)],
        rules: vec![Rule {
            name: "uploads".to_owned(),
            pattern: read("upload-rule.json"),
            functions: vec![PROCESSOR.to_owned()],
        }],
        schedules: schedules.into_iter().filter(kept).collect(),
        subscriptions: ["success", "error"]
            .map(|topic| Subscription { topic: topic.to_owned(), function: PROCESSOR.to_owned() })
            .to_vec(),
        images: vec![Image {
            repository: "quick".to_owned(),
            program: Program { arg0: server.clone().into(), path: server, arguments: Vec::new(), environment },
            trains: false,
        }],
        endpoints: vec![Endpoint {
            name: "face-aging".to_owned(),
            image: "quick".to_owned(),
            environment: BTreeMap::new(),
            startup_timeout: Duration::from_secs(60),
            max_concurrent_invocations_per_instance: 8,
            s3_output_path: "s3://time-traveler/strips/".to_owned(),
            s3_failure_path: "s3://time-traveler/failures/".to_owned(),
            success_topic: Some("success".to_owned()),
            error_topic: Some("error".to_owned()),
        }],
        rest_api: vec![
            integration(Method::PUT, "/images/{id}", "portraits", &format!("uploads/{portrait}")),
            integration(
                Method::GET,
                "/images/{id}/{revision}/{file}",
                "time-traveler",
                &format!("images/{portrait}/{{revision}}/{{file}}"),
            ),
        ],
        http_api: vec![
            route(Method::GET, "/jobs"),
            route(Method::GET, "/jobs/{id}"),
            route(Method::DELETE, "/jobs/{id}"),
        ],
        authorizer: (tenancy == Tenancy::Owner)
            .then(|| Authorizer { name: "owner".to_owned(), spelling: |subject| Owner::of(subject).to_string() }),
        ..Stack::default()
    }
}

pub(crate) struct World {
    pub(crate) cloud: Cloud,
    pub(crate) clock: Clock,
    pub(crate) client: Client,
    sabotage: Option<Without>,
    data: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start(plan: FaultPlan, sabotage: Option<Without>) -> Self {
        Self::start_as(plan, sabotage, Tenancy::Shared).await
    }

    async fn start_as(plan: FaultPlan, sabotage: Option<Without>, tenancy: Tenancy) -> Self {
        let data = tempfile::tempdir().unwrap();
        let bind = async || TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let listeners = Listeners { aws: bind().await, api: bind().await };
        let endpoint = format!("http://{}", listeners.aws.local_addr().unwrap());
        let base = config(&endpoint).await;
        let clock = Clock::default();
        let conditions = Conditions { clock: clock.clone(), faults: Some(plan), ..Conditions::default() };
        let cloud =
            Cloud::start(&stack(&base, &clock, sabotage, tenancy), data.path(), listeners, conditions).await.unwrap();
        let client = Client::new(format!("http://{}", cloud.api_address()), &endpoint).await;
        Self { cloud, clock, client, sabotage, data }
    }

    /// Advances the clock whenever all work waits for it.
    pub(crate) async fn drive(&self) {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.step();
        }
    }

    /// Advances the clock if all work waits for it. Returns whether it did.
    fn step(&self) -> bool {
        let backlog = self.cloud.backlog().unwrap();
        let idle = backlog.ready == 0 && self.client.deleting.load(Ordering::SeqCst) == 0;
        if idle {
            let until = backlog.next.map_or(STEP, |next| {
                Duration::from_millis(u64::try_from(next - self.clock.now_millis()).unwrap_or(0) + 1)
            });
            self.clock.advance(until.min(STEP));
        }
        idle
    }

    async fn redrive(&self) -> u64 {
        if matches!(self.sabotage, Some(Without::Redriving | Without::Retries)) {
            0
        } else {
            self.client.redrive().await
        }
    }

    /// Continues until all work is done, or all deadlines have passed. Returns the number of redriven events.
    pub(crate) async fn settle(&self) -> u64 {
        let (mut steps, mut redriven) = (0, 0);
        while steps < STEPS {
            tokio::time::sleep(Duration::from_millis(4)).await;
            steps += usize::from(self.step());
            // Without memory, no job is ever recorded as done.
            if self.sabotage == Some(Without::Memory) && steps > 100 {
                break;
            }
            // Every 50 steps, check whether all work is done.
            if steps % 50 == 49 {
                steps += 1;
                redriven += self.redrive().await;
                let records = records(&self.client).await;
                let open = records.values().filter(|record| !record.is_settled).count();
                let backlog = self.cloud.backlog().unwrap();
                if open == 0 && backlog.ready + backlog.waiting == 0 && self.redrive().await == 0 {
                    let left = orphans(&objects(&self.client).await, &records);
                    if left.is_empty() || self.sabotage.is_some() && steps > 1000 {
                        break;
                    }
                }
            }
        }
        redriven
    }
}

/// Runs `jobs` jobs. Returns the violations, and the history of the first.
async fn soak(
    plan: &FaultPlan,
    jobs: usize,
    sabotage: Option<Without>,
    only: Option<Kind>,
) -> (Vec<Violation>, String) {
    let start = Instant::now();
    let world = World::start(plan.clone(), sabotage).await;
    let stories: Vec<Story> = tokio::select! {
        stories = world.client.stories(plan.seed, jobs, CLIENTS, only) => stories,
        () = world.drive() => unreachable!("the clock is driven for ever"),
    };
    let load = start.elapsed();
    let redriven = world.settle().await;
    let settled = start.elapsed();
    let history = History::read(world.data.path());
    let violations = audit(&world.client, &stories, &history).await;
    println!(
        "seed {}: {jobs} jobs in {:.1} s, settled after {:.1} s, audited after {:.1} s; {redriven} events redriven; {:?}",
        plan.seed,
        load.as_secs_f64(),
        settled.as_secs_f64(),
        start.elapsed().as_secs_f64(),
        history.faults(),
    );
    let first = violations.first().map(|first| format!("plan {plan}\n{first}\n{}", history.of(&first.id)));
    world.cloud.stop().await;
    (violations, first.unwrap_or_default())
}

#[test]
fn every_job_ends_correctly_under_faults() {
    let jobs = usize::try_from(number("SOAK_JOBS", 300)).unwrap();
    let first = number("SOAK_FIRST_SEED", 1);
    for seed in first..first + number("SOAK_SEEDS", 2) {
        let (violations, history) = alone(soak(&plan(seed), jobs, None, None));
        let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(violations.is_empty(), "{} violations:\n{}\n{history}", all.len(), all.join("\n"));
    }
}

/// Two tenants with the same ids and other photographs: each has what its own client did, and sees nothing else.
async fn tenants(plan: &FaultPlan, jobs: usize) -> (Vec<Violation>, String) {
    let world = World::start_as(plan.clone(), None, Tenancy::Owner).await;
    let tokens = Tokens::open(world.data.path()).unwrap();
    let now = jiff::Timestamp::now().as_second();
    let tenant = |name: &str, shift| world.client.of_tenant(name, &tokens.issue(name, &[], now, 3600), shift);
    let (ann, bob) = (tenant("ann", 0), tenant("bob", 1));
    let told = tokio::select! {
        told = join(ann.stories(plan.seed, jobs, CLIENTS / 2, None), bob.stories(plan.seed + 100, jobs, CLIENTS / 2, None)) => told,
        () = world.drive() => unreachable!("the clock is driven for ever"),
    };
    world.settle().await;
    let history = History::read(world.data.path());
    let mut violations = audit(&ann, &told.0, &history).await;
    violations.extend(audit(&bob, &told.1, &history).await);
    for (tenant, stories) in [(&ann, &told.0), (&bob, &told.1)] {
        violations.extend(check_list(tenant, stories).await);
    }
    println!("seed {}: {jobs} jobs of each of two tenants; {:?}", plan.seed, history.faults());
    let first = violations.first().map(|first| format!("plan {plan}\n{first}\n{}", history.of(&first.id)));
    world.cloud.stop().await;
    (violations, first.unwrap_or_default())
}

#[test]
fn two_tenants_with_the_same_ids_have_their_own_portraits_under_faults() {
    let jobs = usize::try_from(number("SOAK_JOBS", 300)).unwrap() / 3;
    let seed = number("SOAK_FIRST_SEED", 1);
    let (violations, history) = alone(tenants(&plan(seed), jobs));
    let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{} violations:\n{}\n{history}", all.len(), all.join("\n"));
}

/// Asserts that a disabled mechanism breaks one of `rules`. The test above shows that none is broken with it.
#[track_caller]
fn is_found(sabotage: Without, plan: &str, jobs: usize, only: Option<Kind>, rules: &[&str]) {
    for seed in 1..=SEEDS {
        let plan = format!("seed={seed},all=0.05,hang-seconds=0.2,{plan}").parse().unwrap();
        let (violations, _) = alone(soak(&plan, jobs, Some(sabotage), only));
        let found: BTreeSet<&str> = violations.iter().map(|violation| violation.rule).collect();
        println!("without {sabotage:?}: {} violations of {found:?}", violations.len());
        if rules.iter().any(|rule| found.contains(rule)) {
            return;
        }
    }
    panic!("disabling {sabotage:?} breaks none of {rules:?} in {SEEDS} seeds");
}

#[test]
fn missing_conditions_are_found() {
    // Throttled writes leave more time between a read and the write that depends on it.
    is_found(Without::Conditions, "throttle=0.2", 200, Some(Kind::Cancelled), &["outcome"]);
}

#[test]
fn without_memory_work_is_done_twice() {
    // Other faults are off, since they would justify a repeated invocation.
    is_found(Without::Memory, "all=0,duplicate-event=0.9", 40, Some(Kind::One), &["once"]);
}

#[test]
fn without_memory_an_older_upload_may_win() {
    is_found(Without::Memory, "all=0,delay-event=0.4", 40, Some(Kind::Replaced), &["newest"]);
}

#[test]
fn a_late_sweep_is_found() {
    is_found(Without::PromptSweep, "drop-notice=0.2", 40, Some(Kind::One), &["deadline"]);
}

#[test]
fn a_missing_if_match_is_found() {
    let (plan, only) = ("delay-event=0.4,delay-seconds=2", Some(Kind::ThereAndBack));
    is_found(Without::IfMatch, plan, 150, only, &["pictures"]);
}

#[test]
fn a_missing_sweep_is_found() {
    is_found(Without::Sweep, "drop-notice=0.2", 60, Some(Kind::One), &["stuck"]);
}

#[test]
fn missing_redrives_are_found() {
    is_found(Without::Redriving, "kill=0.9", 80, Some(Kind::One), &["lost"]);
}

#[test]
fn a_missing_orphan_collection_is_found() {
    let plan = "drop-notice=0.3,lose-answer=0.1";
    is_found(Without::OrphanCollection, plan, 100, Some(Kind::CancelledAndAgain), &["orphans"]);
}

#[test]
fn missing_retries_are_found() {
    is_found(Without::Retries, "kill=0.3", 80, Some(Kind::One), &["lost"]);
}

#[test]
fn a_missing_tombstone_is_found() {
    is_found(Without::Tombstones, "all=0,throttle=0.2", 60, Some(Kind::Undone), &["gone"]);
}
