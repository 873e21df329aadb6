//! Jobs under a plan of faults: many, by many clients, and then every one of them is looked at.
//!
//! `SOAK_SEEDS` and `SOAK_JOBS` say how many seeds and jobs the handlers get in this process, `SOAK_BINARY_SEEDS` and
//! `SOAK_BINARY_JOBS` the real binaries, `SOAK_FIRST_SEED` where the seeds begin; without them there are few. `SOAK_BINARY` is another
//! build of the command line, with `examples/quick_server` beside it.

#![allow(clippy::unwrap_used, reason = "what a test finds missing is its failure")]

mod audit;
mod binaries;
mod client;
mod in_process;
mod rate;
mod sabotage;
mod story;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use local_cloud::FaultPlan;

/// The command line: `SOAK_BINARY`, or the one that was built with this.
fn binary() -> PathBuf {
    std::env::var_os("SOAK_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_time-traveler").into(), PathBuf::from)
}

fn number(variable: &str, default: u64) -> u64 {
    let value = std::env::var(variable).ok();
    value.map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable}={value} is no number")))
}

/// Every fault at 5 %, or more often.
fn plan(seed: u64) -> FaultPlan {
    format!("seed={seed},all=0.05,duplicate-event=0.1,drop-notice=0.1,delay-seconds=5,hang-seconds=0.2")
        .parse()
        .unwrap()
}

/// Has something done with the machine to itself, as far as this test goes: what takes seconds alone must not take minutes in company.
fn alone<T>(work: impl Future<Output = T>) -> T {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}

/// The model server of milliseconds, an example of `container`, beside the binaries that are tested.
fn quick_server() -> PathBuf {
    let server = binary().with_file_name("examples/quick_server");
    assert!(server.is_file(), "{} is missing: cargo build -p container --example quick_server", server.display());
    server
}
