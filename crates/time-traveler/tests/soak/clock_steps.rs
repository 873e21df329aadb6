//! The machine's clock is set forward and back by up to a day while jobs run.

use std::time::Duration;

use crate::audit::records;
use crate::client::{Expected, Story};
use crate::in_process::World;
use crate::{alone, number, plan};

const CLIENTS: usize = 8;
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
    let records = records(&world.client).await;
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
    world.cloud.stop().await;
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
