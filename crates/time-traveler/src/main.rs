//! Time Traveler's command line.

// `println!` and `eprintln!` panic when the reader of a pipe has gone: `print_line!` and `note!` do not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod stderr;
#[macro_use]
mod stdout;

mod choice;
mod cli;
mod client;
mod commands;
mod docker;
mod escape;
mod hex;
mod launcher;
mod memory;
mod models;
mod pictures;
mod processor;
mod runtime;
mod stack;
mod terminal;

use std::process::ExitCode;

use crate::stack::programs;

fn main() -> ExitCode {
    if let Some(arguments) = docker::called_as() {
        return docker::run(&arguments);
    }
    match programs::called_as() {
        Some(program) => program.run(),
        None => cli::run(),
    }
}
