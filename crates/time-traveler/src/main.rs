//! Time Traveler's command line.

mod age;
mod authorization;
mod bench;
mod bench_aging;
mod bench_functions;
mod bench_serve;
mod check;
mod cli;
mod client;
mod demo;
mod faces;
mod hops;
mod memory;
mod model;
mod output;
mod programs;
mod progress;
mod redrive;
mod send;
mod stack;
mod threads;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    match programs::called_as() {
        Some(program) => program.run(),
        None => cli::run(),
    }
}
