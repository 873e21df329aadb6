//! The machine's clock is set forward and back by up to a day while jobs run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::audit::{Record, records};
use crate::binaries::Up;
use crate::client::{Client, Expected, Story};
use crate::in_process::World;
use crate::machine_clock::MachineClock;
use crate::story::photograph;
use crate::{alone, number, plan};

const CLIENTS: usize = 8;
/// How long the processes may take until all jobs are settled: two runs of the sweep.
const PATIENCE: Duration = Duration::from_secs(150);
const DAY: i64 = 86_400_000;
/// The settings of the clock, in milliseconds relative to the right time.
const SETTINGS: [i64; 8] = [-600_000, -1_200_000, DAY, 0, -DAY, DAY / 2, -DAY, 1_200_000];

/// Sets the clock again and again.
async fn set_clock(world: &World) {
    let mut ahead = 0;
    for setting in SETTINGS.into_iter().cycle() {
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.clock.set(setting - std::mem::replace(&mut ahead, setting));
    }
}

/// Returns what is wrong in the end.
async fn violations(seed: u64, jobs: usize) -> Vec<String> {
    // Jobs without a notice need the sweep, whose schedule has to go on whatever the machine's clock says.
    let plan = format!("{},drop-notice=0.2", plan(seed)).parse().unwrap();
    let world = World::start(plan, None).await;
    let stories: Vec<Story> = tokio::select! {
        stories = world.client.stories(seed, jobs, CLIENTS, None) => stories,
        () = world.drive() => unreachable!("the clock is driven for ever"),
        () = set_clock(&world) => unreachable!("the clock is set for ever"),
    };
    // The last step leaves the clock behind every moment that was recorded.
    world.clock.set(-2 * DAY);
    world.settle().await;
    let violations = judged(stories, &records(&world.client).await);
    world.cloud.stop().await;
    violations
}

/// What is wrong with the records of some stories.
fn judged(stories: Vec<Story>, records: &BTreeMap<String, Record>) -> Vec<String> {
    let mut violations = Vec::new();
    for story in stories {
        let record = records.get(&story.id);
        let status = record.map(|record| (record.status.as_str(), record.is_settled));
        let is_right = match (&story.expected, status) {
            (Expected::Gone, status) => status.is_none(),
            (_, None | Some((_, false))) => false,
            // An invocation expires when the clock is set forward while it is queued.
            (Expected::Success, Some((status, _))) => status == "SUCCESS" || status == "FAILED",
            (Expected::Failed(_), Some((status, _))) => status == "FAILED",
            (Expected::Cancelled, Some((status, _))) => status == "CANCELLED",
        };
        if !is_right {
            violations.push(format!("{}: {:?}, and is {status:?}", story.id, story.expected));
        }
    }
    violations
}

#[test]
fn every_job_ends_when_the_clock_is_set() {
    let first = number("SOAK_FIRST_SEED", 1);
    let jobs = usize::try_from(number("SOAK_JOBS", 120)).unwrap();
    for seed in first..first + number("SOAK_SEEDS", 1) {
        let violations = alone(violations(seed, jobs));
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    }
}

fn is_two_days_ago(millis: i64) -> bool {
    (jiff::Timestamp::now().as_millisecond() - 2 * DAY - millis).abs() < 600_000
}

/// The same with processes, whose deadlines are short, so that they pass at every step forward.
#[test]
fn every_job_ends_when_the_clock_of_the_processes_is_set() {
    let Some(clock) = MachineClock::new() else { return };
    let jobs = usize::try_from(number("SOAK_BINARY_JOBS", 60)).unwrap();
    let set_clock = async {
        for setting in SETTINGS.into_iter().cycle() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            clock.set(setting / 1000);
        }
    };
    let violations = alone(async {
        let data = tempfile::tempdir().unwrap();
        let up = Up::start_under(&clock, data.path());
        let client = Client::new(up.api.clone(), &up.aws).await;
        let stories: Vec<Story> = tokio::select! {
            stories = client.stories(1, jobs, CLIENTS, None) => stories,
            () = set_clock => unreachable!("the clock is set for ever"),
        };
        clock.set(-2 * DAY / 1000);
        // Server and functions go by the clock that is set.
        let put = client.http.put(format!("{}/images/late?ages=40", client.api)).body(photograph([9, 99, 199]));
        let date = put.send().await.unwrap().headers()["date"].to_str().unwrap().to_owned();
        let date = jiff::fmt::rfc2822::parse(&date).unwrap().timestamp().as_millisecond();
        assert!(is_two_days_ago(date), "{date}");
        let created = async {
            loop {
                match client.job("late").await {
                    Some(job) => return job.created_at.as_millis(),
                    None => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        let created = tokio::time::timeout(PATIENCE, created).await.unwrap();
        assert!(is_two_days_ago(created), "{created}");
        let start = Instant::now();
        loop {
            client.redrive().await;
            let violations = judged(stories.clone(), &records(&client).await);
            if violations.is_empty() || start.elapsed() > PATIENCE {
                return violations;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    assert!(violations.is_empty(), "{violations:#?}");
}
