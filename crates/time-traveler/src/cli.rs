//! The command line: what it takes, and how it ends.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use pipeline::{Ages, PortraitId};

use crate::{age, demo, send, up};

#[derive(Debug, Parser)]
#[command(version, about = "Upload a portrait, get the same person back at other ages", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole pipeline on this machine, until Ctrl-C
    Up(Up),
    /// Send one portrait through the whole pipeline on this machine, showing each hop
    Demo(Demo),
    /// Send portraits to a pipeline that runs, here or anywhere
    Send(Send),
    /// Do the same work on one portrait with no cloud at all
    Age(Age),
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Port of the REST and HTTP APIs; 0: any free one
    #[arg(long, default_value_t = 8080)]
    pub(crate) port: u16,
    /// Port of the AWS endpoint; 0: any free one
    #[arg(long, default_value_t = 4566)]
    pub(crate) aws_port: u16,
    /// Where everything is kept
    #[arg(long, value_name = "DIR", default_value = ".time-traveler")]
    pub(crate) data: PathBuf,
    /// Folder of the model's files; without one the preview engine makes the pictures
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Ages of a portrait that asks for none
    #[arg(long, default_value_t)]
    pub(crate) ages: Ages,
    /// Print the addresses as one line of JSON when ready
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// A JPEG, PNG or WebP picture
    pub(crate) photo: PathBuf,
    /// Folder for the pictures [default: out/{id}]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Folder of the model's files; without one the preview engine makes the pictures
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Ages to see
    #[arg(long, default_value_t)]
    pub(crate) ages: Ages,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// JPEG, PNG or WebP pictures
    #[arg(required = true)]
    pub(crate) photos: Vec<PathBuf>,
    /// Address of the REST and HTTP APIs
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) api: String,
    /// Name of the portrait, for one picture [default: the file's]
    #[arg(long)]
    pub(crate) id: Option<PortraitId>,
    /// Ages to see [default: the pipeline's]
    #[arg(long)]
    pub(crate) ages: Option<Ages>,
    /// Folder for the pictures; one below it for each of several portraits [default: out/{id}]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print the jobs as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Age {
    /// A JPEG, PNG or WebP picture
    pub(crate) photo: PathBuf,
    /// The picture is an aligned square crop already
    #[arg(long)]
    pub(crate) aligned: bool,
    /// Folder of the model's files; without one the preview engine makes the pictures
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Ages to see
    #[arg(long, default_value_t)]
    pub(crate) ages: Ages,
    /// Folder for the pictures [default: out/{id}]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// What to compute on
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) device: Device,
    /// Print what was made as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    Auto,
    Cpu,
    Cuda,
}

/// Ends this process as clap does for arguments that make no sense together.
pub(crate) fn usage_error(message: &str) -> ! {
    Cli::command().error(ErrorKind::ArgumentConflict, message).exit()
}

/// Runs the command line of this process. Exit code 0: done; 1: failed, with the reason on stderr; 2: usage.
pub(crate) fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up(up) => up::run(&up),
        Command::Demo(demo) => demo::run(&demo),
        Command::Send(send) => send::run(send),
        Command::Age(age) => age::run(&age),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
