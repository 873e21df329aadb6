//! Many clients send many jobs under a plan of faults. Afterwards every job is audited.
//!
//! | variable | meaning |
//! |---|---|
//! | `SOAK_SEEDS`, `SOAK_JOBS` | seeds, and jobs a seed, for the handlers in this process |
//! | `SOAK_BINARY_SEEDS`, `SOAK_BINARY_JOBS` | the same for the real binaries |
//! | `SOAK_UNDONE` | portraits that are deleted 0 to 50 ms after their upload |
//! | `SOAK_CUTS` | power cuts, where the user may mount a disk |
//! | `SOAK_FIRST_SEED` | the first seed |
//! | `SOAK_BINARY` | another build of the command line, with `examples/quick_server` beside it |
//!
//! The defaults are small.

#![allow(clippy::unwrap_used, reason = "what a test finds missing is its failure")]

mod audit;
mod binaries;
mod client;
mod clock_steps;
mod damage;
mod full_disk;
mod in_process;
mod loop_disk;
mod machine_clock;
mod orders;
mod orphan_lists;
mod power_cut;
mod rate;
mod sabotage;
mod story;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use local_cloud::FaultPlan;

/// The command line: `SOAK_BINARY`, or the one built with this test.
fn binary() -> PathBuf {
    std::env::var_os("SOAK_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_time-traveler").into(), PathBuf::from)
}

fn number(variable: &str, default: u64) -> u64 {
    let value = std::env::var(variable).ok();
    value.map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable}={value} is not a number")))
}

/// A plan with every fault at 5 % or more.
fn plan(seed: u64) -> FaultPlan {
    format!("seed={seed},all=0.05,duplicate-event=0.1,drop-notice=0.1,delay-seconds=5,hang-seconds=0.2")
        .parse()
        .unwrap()
}

/// Runs work while no other test of this binary uses the machine, since concurrent tests would slow each other down.
fn alone<T>(work: impl Future<Output = T>) -> T {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}

/// The model server that answers within milliseconds: an example of `container`, beside the tested binaries.
fn quick_server() -> PathBuf {
    let server = binary().with_file_name("examples/quick_server");
    assert!(server.is_file(), "{} does not exist: cargo build -p container --example quick_server", server.display());
    server
}
