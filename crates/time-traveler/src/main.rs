//! Time Traveler's command line.

mod age;
mod animation;
mod authorization;
mod bench;
mod bench_aging;
mod bench_functions;
mod bench_serve;
mod check;
mod cli;
mod client;
mod delivery;
mod demo;
mod faces;
mod graphics;
mod hops;
mod lines;
mod manual;
mod memory;
mod model;
mod output;
mod palette;
mod panels;
mod programs;
mod progress;
mod redrive;
mod send;
mod sheet;
mod stack;
mod terminal;
mod threads;
mod up;
mod word;

use std::process::ExitCode;

fn main() -> ExitCode {
    match programs::called_as() {
        Some(program) => program.run(),
        None => cli::run(),
    }
}
