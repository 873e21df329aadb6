//! Uploads at a steady rate to the real binaries, without faults: none is lost, and memory does not grow.
//!
//! `SOAK_UPLOADS` is the number of uploads, and `SOAK_RATE` the number a second. The test prints the latencies from PUT
//! to SUCCESS.

use std::collections::{BTreeMap, HashMap};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::audit::{objects, orphans, records};
use crate::binaries::Up;
use crate::client::{AGE, Client};
use crate::story::{colour, id, photograph};
use crate::{alone, number};

/// How long all jobs may take after their uploads.
const PATIENCE: Duration = Duration::from_secs(600);
/// One upload in this many is sent before memory is first measured.
const WARM: usize = 5;
/// The largest growth of memory with many uploads, and with few, after which processes are not yet warm.
const GROWTH: (f64, f64) = (1.15, 1.6);
/// The number from which uploads count as many.
const MANY: usize = 1000;

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// The resident memory of a process and its descendants, in MB. Processes of the same program count as much as the largest of them:
/// each keeps the memory of its first strips, and some meet none for minutes.
fn memory(pid: u32) -> f64 {
    let listed = Command::new("ps").args(["-A", "-o", "pid=,ppid=,rss=,args="]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let rows = listed.lines().map(|line| {
        let mut words = line.split_whitespace();
        let [pid, parent, kilobytes] = [(); 3].map(|()| words.next().unwrap().parse::<u32>().unwrap());
        (pid, parent, kilobytes, words.next().unwrap_or_default())
    });
    let rows: Vec<_> = rows.collect();
    let (mut family, mut programs) = (vec![pid], BTreeMap::<&str, Vec<u32>>::new());
    while let Some(member) = family.pop() {
        for (_, _, kilobytes, program) in rows.iter().filter(|row| row.0 == member) {
            programs.entry(program).or_default().push(*kilobytes);
        }
        family.extend(rows.iter().filter(|row| row.1 == member).map(|row| row.0));
    }
    programs.values().map(|sizes| sizes.len() as f64 * f64::from(*sizes.iter().max().unwrap())).sum::<f64>() / 1000.0
}

/// Uploads at a rate. Returns the time of each upload, in milliseconds since 1970.
async fn upload(client: &Client, numbers: std::ops::Range<usize>, rate: f64) -> HashMap<String, i64> {
    let sent = Arc::new(Mutex::new(HashMap::new()));
    let mut tasks = JoinSet::new();
    let (start, first) = (Instant::now(), numbers.start);
    for number in numbers {
        let due = Duration::from_secs_f64((number - first) as f64 / rate);
        tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
        let (client, sent) = (client.clone(), Arc::clone(&sent));
        tasks.spawn(async move {
            sent.lock().unwrap().insert(id(number), now());
            let put = client.http.put(format!("{}/images/{}?ages={AGE}", client.api, id(number)));
            let answer = put.body(photograph(colour(number, 0))).send().await.unwrap();
            assert!(answer.status().is_success(), "{}", answer.status());
        });
    }
    tasks.join_all().await;
    Arc::into_inner(sent).unwrap().into_inner().unwrap()
}

/// Waits until `jobs` jobs are final. Returns the time of each end, in milliseconds since 1970.
async fn ended(client: &Client, jobs: usize) -> BTreeMap<String, i64> {
    let start = Instant::now();
    loop {
        let records = records(client).await;
        if records.len() == jobs && records.values().all(|record| record.is_settled) {
            assert!(records.values().all(|record| record.status == "SUCCESS"));
            let left = orphans(&objects(client).await, &records);
            assert!(left.is_empty() || start.elapsed() < PATIENCE, "orphaned objects: {left:?}");
            if left.is_empty() {
                return records.into_iter().map(|(id, record)| (id, record.ended)).collect();
            }
        }
        assert!(start.elapsed() < PATIENCE, "{} of {jobs} jobs", records.len());
        // These requests load the pipeline too, so they are rare.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

#[test]
fn no_upload_is_lost_and_memory_does_not_grow() {
    let uploads = usize::try_from(number("SOAK_UPLOADS", 200)).unwrap();
    alone(at_rate(uploads, number("SOAK_RATE", 40) as f64));
}

async fn at_rate(uploads: usize, rate: f64) {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(None, data.path());
    let client = Client::new(up.api.clone(), &up.aws).await;
    let warm = uploads / WARM;
    upload(&client, 0..warm, rate).await;
    ended(&client, warm).await;
    let before = memory(up.pid());
    let start = Instant::now();
    let sent = upload(&client, warm..warm + uploads, rate).await;
    let uploaded = start.elapsed();
    let highest = memory(up.pid());
    let ended = ended(&client, warm + uploads).await;
    let done = start.elapsed();
    let after = memory(up.pid());
    let mut latencies: Vec<i64> = sent.iter().map(|(id, sent)| ended[id] - sent).collect();
    latencies.sort_unstable();
    let share = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    println!(
        "{uploads} uploads in {:.1} s, all of them SUCCESS after {:.1} s; from PUT to SUCCESS: p50 {:.2} s, p99 {:.2} s, max {:.2} s; \
         {before:.0} MB before, {highest:.0} MB at the last upload, {after:.0} MB after",
        uploaded.as_secs_f64(),
        done.as_secs_f64(),
        share(0.5),
        share(0.99),
        share(1.0),
    );
    let growth = if uploads < MANY { GROWTH.1 } else { GROWTH.0 };
    assert!(after < growth * before, "{before:.0} MB before, {after:.0} MB after");
}
