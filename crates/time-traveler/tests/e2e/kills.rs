//! Jobs go on when `up` is killed ten times at random moments. `KILL_SEED` repeats the moments of an earlier run.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::boto3::script;
use crate::python::{python, run};
use crate::support::{PATIENCE, Up, repository};

const KILLS: usize = 10;

/// Random numbers: the same ones for the same seed (SplitMix64).
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let given = std::env::var("KILL_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0) >> 32);
        // Shown if the test fails.
        eprintln!("KILL_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// Waits for a random time of less than this many milliseconds.
    fn pause(&mut self, end: u64) {
        std::thread::sleep(Duration::from_millis(self.below(end)));
    }
}

/// The number of lines of the notes that begin so.
fn count(notes: &Path, beginning: &str) -> usize {
    let notes = std::fs::read_to_string(notes).unwrap_or_default();
    notes.lines().filter(|line| line.starts_with(beginning)).count()
}

/// Waits until the notes have this number of lines with this beginning.
fn wait_for(notes: &Path, beginning: &str, wanted: usize) {
    let start = Instant::now();
    while count(notes, beginning) < wanted {
        assert!(start.elapsed() < PATIENCE, "no {wanted} lines {beginning:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_training_job_survives_ten_random_kills() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let program = repository().join("crates/time-traveler/tests/e2e/counting.py");
    let image = format!("counting=/bin/sh -c '{} {} \"$@\"' sh", python().display(), program.display());
    let start = || Up::start_with(&data, &["--image", &image]);
    let notes = folder.path().join("notes");
    let mut moments = Moments::new();
    let mut up = start();
    let step = |up: &Up, step: &str| run(script(up, "boto3_training.py").arg(step).arg(&notes));
    step(&up, "create");
    let mut begun = 0;
    for _ in 0..KILLS {
        // Two of three kills meet the running program, the others its start. The job takes longer than all pauses together.
        if moments.below(3) > 0 {
            wait_for(&notes, "begins", begun + 1);
        }
        moments.pause(400);
        up.kill();
        begun = count(&notes, "begins");
        up = start();
    }
    step(&up, "ended");
    assert_eq!(count(&notes, "twice"), 0, "two programs of one job ran at once");
    assert!(count(&notes, "begins") > 1, "no kill met the program");
}

#[test]
fn a_transform_job_survives_ten_random_kills() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let program = repository().join("crates/local-cloud/tests/programs/batch_model.py");
    let image = format!("upper={} {}", python().display(), program.display());
    let start = || Up::start_with(&data, &["--image", &image]);
    let notes = folder.path().join("notes");
    let mut moments = Moments::new();
    let mut up = start();
    let step = |up: &Up, step: &str| run(script(up, "boto3_transform.py").arg(step).arg(&notes));
    step(&up, "create");
    for kill in 0..KILLS {
        // All over its 200 records: a few more have been sent at each kill. Some kills meet the start of the server.
        wait_for(&notes, "request", 17 * kill + usize::try_from(moments.below(17)).unwrap());
        moments.pause(60);
        up.kill();
        up = start();
    }
    step(&up, "ended");
    // The script found each record answered once. A kill costs the requests that were under way, three at most.
    let requests = count(&notes, "request");
    assert!((200..=230).contains(&requests), "{requests} requests for 200 records");
    assert!(count(&notes, "start") > 1, "no kill met the server");
}
