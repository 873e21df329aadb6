//! The command line: its commands, and its exit codes.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::age::{self, Age};
use crate::commands::bench::{self, Bench};
use crate::commands::check::{self, Check};
use crate::commands::classify::{self, Classify};
use crate::commands::completions::{self, Completions};
use crate::commands::dataset::{self, Dataset};
use crate::commands::demo::{self, Demo};
use crate::commands::detect::{self, Detect};
use crate::commands::evaluate::{self, Evaluate};
use crate::commands::exec::{self, Exec};
use crate::commands::faces::{self, Faces};
use crate::commands::man::{self, Man};
use crate::commands::model::{self, Model};
use crate::commands::redrive::{self, Redrive};
use crate::commands::send::{self, Send};
use crate::commands::serve::{self, Serve};
use crate::commands::token::{self, Token};
use crate::commands::tour::{self, Tour};
use crate::commands::trace::{self, Trace};
use crate::commands::train::{self, Train};
use crate::commands::up::{self, Up};
use crate::{escape, stdout};

#[derive(Debug, Parser)]
#[command(
    version,
    about = "Upload a portrait, get the same person back at other ages",
    after_help = "Begin with `time-traveler tour`, or with `time-traveler up` and a browser. `time-traveler COMMAND --help` explains a command.",
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole pipeline on this machine, until Ctrl-C
    Up(Up),
    /// Run a command, such as a SageMaker script, against a local cloud without Docker
    Exec(Exec),
    /// See a portrait travel through the pipeline, with each hop explained, in two minutes
    Tour(Tour),
    /// Send portraits through the whole pipeline on this machine and show each hop
    Demo(Demo),
    /// Send portraits to a running pipeline, on this machine or on AWS
    Send(Send),
    /// Age one portrait without the pipeline
    Age(Age),
    /// Find the faces of a photo and their landmarks, and cut out the largest face
    Faces(Faces),
    /// Find the faces or objects of photos by a network
    Detect(Detect),
    /// Tell the classes of photos by a network
    Classify(Classify),
    /// Inspect, convert, split, draw or make annotated pictures
    #[command(subcommand)]
    Dataset(Dataset),
    /// Measure how good detections are, by COCO's or Pascal VOC's figures
    Evaluate(Evaluate),
    /// Train a classifier of pictures or an object detector
    Train(Train),
    /// Inspect a checkpoint, convert it, pack a model folder, or export a network
    #[command(subcommand)]
    Model(Model),
    /// Handle the events of a dead-letter queue again
    Redrive(Redrive),
    /// Serve a model by SageMaker's contract for containers, without a container
    Serve(Serve),
    /// Print a bearer token for a pipeline of this machine whose portraits have owners
    Token(Token),
    /// Show a portrait's way through the pipeline of this machine, with times
    Trace(Trace),
    /// Test whether a server keeps SageMaker's contract for containers
    Check(Check),
    /// Measure how fast this machine does the work
    #[command(subcommand)]
    Bench(Bench),
    /// Print the script by which a shell completes these commands
    Completions(Completions),
    /// Print the first page of the manual, or write all its pages into a folder
    Man(Man),
}

/// Runs the command line of this process. Exit code 0: done; 1: failed, with the reason on stderr; 2: wrong usage. `exec` has that of
/// its command.
pub(crate) fn run() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(answer) => return answered(&answer),
    };
    let done = match command {
        Command::Up(up) => up::run(&up),
        Command::Exec(exec) => match exec::run(&exec) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Tour(tour) => tour::run(&tour),
        Command::Demo(demo) => demo::run(&demo),
        Command::Send(send) => send::run(&send),
        Command::Age(age) => age::run(&age),
        Command::Faces(faces) => faces::run(&faces),
        Command::Detect(detect) => detect::run(&detect),
        Command::Classify(classify) => classify::run(&classify),
        Command::Dataset(dataset) => dataset::run(&dataset),
        Command::Evaluate(evaluate) => evaluate::run(&evaluate),
        Command::Train(train) => train::run(&train),
        Command::Model(model) => model::run(&model),
        Command::Redrive(redrive) => redrive::run(&redrive),
        Command::Serve(serve) => serve::run(&serve),
        Command::Trace(trace) => trace::run(&trace),
        Command::Token(token) => token::run(&token),
        Command::Check(check) => check::run(&check),
        Command::Bench(bench) => bench::run(&bench),
        Command::Completions(completions) => completions::run(&completions, Cli::command()),
        Command::Man(man) => man::run(&man, Cli::command()),
    };
    match done.map_err(|error| error.downcast::<clap::Error>()) {
        Ok(()) => ExitCode::SUCCESS,
        // Arguments that clap alone could not refuse.
        Err(Ok(usage)) => answered(&usage.format(&mut Cli::command())),
        Err(Err(error)) => failed(&error),
    }
}

/// Prints what clap answers instead of a command: the help, the version, or what is wrong with the arguments.
fn answered(answer: &clap::Error) -> ExitCode {
    if !answer.use_stderr() {
        return match stdout::unless_closed(answer.print().and_then(|()| io::stdout().flush())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        };
    }
    let plain = answer.render().to_string();
    // An argument may be a file's name, which the shell wrote.
    match escape::lines(plain.trim_end()) {
        shown if shown == plain.trim_end() => drop(answer.print()),
        shown => note!("{shown}"),
    }
    ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2))
}

/// Prints why a command failed. Further lines of the reason, such as those of a log, are indented, so that they are not read as lines
/// of this program.
fn failed(error: &anyhow::Error) -> ExitCode {
    note!("error: {}", format!("{error:#}").replace('\n', "\n       "));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }
}
