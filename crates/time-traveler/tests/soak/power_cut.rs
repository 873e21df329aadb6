//! Power cuts at any moment: what was acknowledged is there after the next start, or the start says that it is lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pipeline::Status;
use reqwest::StatusCode;
use tokio::task::JoinSet;

use crate::binaries::Up;
use crate::client::{AGE, Client};
use crate::loop_disk::LoopDisk;
use crate::story::{colour, id, photograph};
use crate::{alone, number};

/// The size of the disk, in megabytes. A job takes seven.
const DISK: u64 = 600;
/// The number of clients.
const CLIENTS: usize = 6;
/// How long the jobs may take after the restart.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest error of a JPEG's flat colour, in levels.
const TOLERANCE: u8 = 4;

/// What the pipeline has acknowledged of a portrait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    Upload,
    Success,
    /// A deletion was sent, and may have been done.
    Deleting,
    Deletion,
}

#[derive(Default)]
struct Acknowledgements {
    of: Mutex<BTreeMap<usize, Acknowledged>>,
    /// Whether the power is being cut. What is acknowledged from then on counts for nothing: without power nothing would be.
    cut: AtomicBool,
}

impl Acknowledgements {
    fn set(&self, number: usize, state: Acknowledged) {
        let mut of = self.of.lock().unwrap();
        if !self.cut.load(Ordering::SeqCst) {
            of.insert(number, state);
        }
    }

    fn end(&self) {
        let _of = self.of.lock().unwrap();
        self.cut.store(true, Ordering::SeqCst);
    }
}

/// Uploads until the power is cut. Every fourth portrait is deleted once it has succeeded.
async fn upload(client: Client, mut number: usize, acknowledged: Arc<Acknowledgements>) {
    let set = |number, state| acknowledged.set(number, state);
    loop {
        let url = format!("{}/images/{}?ages={AGE}", client.api, id(number));
        let put = client.http.put(url).body(photograph(colour(number, 0))).send().await;
        if put.is_ok_and(|answer| answer.status() == StatusCode::OK) {
            set(number, Acknowledged::Upload);
            let job = format!("{}/jobs/{}", client.api, id(number));
            if let Ok(answer) = client.http.get(format!("{job}?wait=2")).send().await
                && let Ok(answer) = answer.json::<pipeline::JobView>().await
                && answer.status == Status::Success
            {
                set(number, Acknowledged::Success);
                if number % 4 == 3 {
                    set(number, Acknowledged::Deleting);
                    let deleted = client.http.delete(job).send().await;
                    if deleted.is_ok_and(|answer| answer.status() == StatusCode::NO_CONTENT) {
                        set(number, Acknowledged::Deletion);
                    }
                }
            }
        }
        number += CLIENTS;
    }
}

/// What is wrong with a portrait.
pub(crate) async fn wrong(
    client: &Client,
    number: usize,
    acknowledged: Acknowledged,
    deadline: Instant,
) -> Option<String> {
    let id = id(number);
    loop {
        let job = client.job(&id).await;
        let wrong = match (acknowledged, job) {
            (Acknowledged::Deleting, _) | (Acknowledged::Deletion, None) => None,
            (Acknowledged::Deletion, Some(job)) => return Some(format!("{id} came back: {job:?}")),
            (_, None) => Some(format!("{id} is gone")),
            (_, Some(job)) if job.status == Status::Success => {
                let mut wrong = None;
                for image in &job.images {
                    let answer = client.http.get(format!("{}{}", client.api, image.path)).send().await.unwrap();
                    let status = answer.status();
                    let picture = image::load_from_memory(&answer.bytes().await.unwrap());
                    let is_right = picture.is_ok_and(|picture| {
                        let (seen, sent) = (picture.to_rgb8()[(9, 9)].0, colour(number, 0));
                        // Only the first panel has the photograph's own colour.
                        image.age.is_some() || seen.iter().zip(sent).all(|(a, b)| a.abs_diff(b) <= TOLERANCE)
                    });
                    if !is_right {
                        wrong = Some(format!("{id}: {} is wrong, {status}", image.path));
                    }
                }
                wrong
            }
            (_, Some(job)) if job.status.is_final() => return Some(format!("{id}: {:?}, {:?}", job.status, job.error)),
            (_, Some(job)) => Some(format!("{id}: {:?}", job.status)),
        };
        if wrong.is_none() || Instant::now() > deadline {
            return wrong;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns the number of acknowledged portraits, or what was lost; `None` where no disk can be mounted.
async fn cut(seed: u64, durability: &str, patience: Duration) -> Option<Result<usize, String>> {
    let disk = LoopDisk::new(DISK)?;
    let data = disk.mounted().join("data");
    let acknowledged = Arc::<Acknowledgements>::default();
    {
        let said = disk.mounted().join("first");
        let up = Up::start_saying(&data, &said, &["--durability", durability]);
        let client = Client::new(up.api.clone(), &up.aws).await;
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(upload(client.clone(), number, Arc::clone(&acknowledged)));
        }
        // Up to a second and a half, by the seed.
        tokio::time::sleep(Duration::from_millis(40 + seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 1460)).await;
        acknowledged.end();
        disk.cut();
        clients.shutdown().await;
    }
    disk.power_up();
    let said = data.with_file_name("said");
    let up = Up::start_saying(&data, &said, &[]);
    let client = Client::new(up.api.clone(), &up.aws).await;
    let said = std::fs::read_to_string(&said).unwrap();
    let acknowledged = acknowledged.of.lock().unwrap().clone();
    let deadline = Instant::now() + patience;
    let mut violations = Vec::new();
    for (number, state) in &acknowledged {
        violations.extend(wrong(&client, *number, *state, deadline).await);
    }
    // This disk keeps its promises, so nothing may be lost at all.
    let is_well = violations.is_empty() && !said.contains("lost");
    let log = || std::fs::read_to_string(data.join("logs/image-processor.log")).unwrap_or_default();
    let what = || format!("seed {seed}: {violations:#?}\nof {acknowledged:?}\nthe start said: {said}\n{}", log());
    Some(if is_well { Ok(acknowledged.len()) } else { Err(what()) })
}

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    let first = number("SOAK_FIRST_SEED", 1);
    let (cuts, mut acknowledged) = (number("SOAK_CUTS", 3), 0);
    for seed in first..first + cuts {
        match alone(cut(seed, "power-cut", PATIENCE)) {
            Some(count) => acknowledged += count.unwrap(),
            None => return,
        }
    }
    println!("{cuts} power cuts, {acknowledged} acknowledged portraits");
}

/// The cuts can lose something.
#[test]
fn without_waiting_for_the_disk_a_power_cut_loses_uploads() {
    for seed in 1..20 {
        match alone(cut(seed, "kill", Duration::from_secs(2))) {
            Some(Ok(_)) => {}
            Some(Err(lost)) => return println!("{lost}"),
            None => return,
        }
    }
    panic!("20 cuts lost nothing");
}
