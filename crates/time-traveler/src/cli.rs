//! The command line: what it takes, and how it ends.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use aging::sam;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use image::ImageFormat;
use local_cloud::FaultPlan;
use nn::checkpoint::ElementType;
use nn::{DeviceChoice, Precision};
use pipeline::{Ages, PortraitId};

use crate::graphics::Graphics;
use crate::word::Word;
use crate::{age, bench, check, demo, faces, manual, model, redrive, send, up};

#[derive(Debug, Parser)]
#[command(
    version,
    about = "Upload a portrait, get the same person back at other ages",
    after_help = "Begin with `time-traveler up` and a browser, or with `time-traveler demo PHOTO`. `time-traveler COMMAND --help` says the rest.",
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
    /// Send portraits through the whole pipeline on this machine, showing each hop
    Demo(Demo),
    /// Send portraits to a pipeline that runs, here or anywhere
    Send(Send),
    /// Do the same work on one portrait with no cloud at all
    Age(Age),
    /// Find the faces of a photo and their landmarks, and cut out the largest
    Faces(Faces),
    /// Look into a checkpoint, convert it, pack it for SageMaker
    #[command(subcommand)]
    Model(Model),
    /// Have events that were given up handled again: those in a dead-letter queue
    Redrive(Redrive),
    /// Test whether a server keeps SageMaker's contract for containers
    Check(Check),
    /// Measure how fast this machine does the work
    #[command(subcommand)]
    Bench(Bench),
    /// Print what makes a shell complete these commands
    Completions(Completions),
    /// Print the manual's first page, or write all its pages into a folder
    Man(Man),
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell, for which bash and zsh take it by `source <(time-traveler completions SHELL)`
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Folder for the pages, such as ~/.local/share/man/man1
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
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
    /// Another model server than the built-in one: a program that keeps SageMaker's contract for containers
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) model_server: Option<PathBuf>,
    /// Folder of the functions as `cargo lambda build` leaves them, to run what is deployed [default: the built-in ones]
    #[arg(long, value_name = "DIR")]
    pub(crate) functions: Option<PathBuf>,
    /// Ages of a portrait that asks for none
    #[arg(long, default_value_t)]
    pub(crate) ages: Ages,
    /// What is to go wrong, and how often, such as seed=7,all=0.05,drop-notice=0.2: see ARCHITECTURE.md
    #[arg(long, value_name = "PLAN")]
    pub(crate) chaos: Option<FaultPlan>,
    /// Print the addresses as one line of JSON when ready
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Redrive {
    /// The dead-letter queue
    #[arg(long, default_value = "image-processor-dead-letters")]
    pub(crate) queue: String,
    /// The function that is invoked with each event
    #[arg(long, default_value = "image-processor")]
    pub(crate) function: String,
    /// The AWS endpoint, such as http://127.0.0.1:4566 of `up` [default: as the environment says, as for any AWS tool]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// Only show what lies there
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print what was done as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What else is made of a portrait's pictures.
#[derive(Debug, Args)]
pub(crate) struct View {
    /// Make no animation.gif of the ages
    #[arg(long)]
    pub(crate) no_animation: bool,
    /// Show the pictures in the terminal, by what it can; with a value by that, whatever stdout is
    #[arg(long, value_name = "kitty|iterm2|sixel|blocks", num_args = 0..=1, require_equals = true,
        default_missing_value = "auto", hide_possible_values = true, value_parser = Word::<Show>::of(Show::WORDS))]
    pub(crate) show: Option<Show>,
}

/// How pictures are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Show {
    Auto,
    By(Graphics),
}

impl Show {
    const WORDS: &[&str] = &["auto", "kitty", "iterm2", "sixel", "blocks"];

    /// What is to be used, if anything in particular.
    pub(crate) fn forced(self) -> Option<Graphics> {
        match self {
            Self::Auto => None,
            Self::By(graphics) => Some(graphics),
        }
    }
}

impl FromStr for Show {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Ok(match word {
            "auto" => Self::Auto,
            "kitty" => Self::By(Graphics::Kitty),
            "iterm2" => Self::By(Graphics::Iterm2),
            "sixel" => Self::By(Graphics::Sixel),
            "blocks" => Self::By(Graphics::Blocks),
            _ => return Err("kitty, iterm2, sixel, blocks or nothing works".to_owned()),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// JPEG, PNG or WebP pictures
    #[arg(required = true, value_name = "PHOTO")]
    pub(crate) photos: Vec<PathBuf>,
    /// Folder for the pictures; one below it for each of several portraits [default: out/{id}]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Folder of the model's files; without one the preview engine makes the pictures
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Ages to see
    #[arg(long, default_value_t)]
    pub(crate) ages: Ages,
    #[command(flatten)]
    pub(crate) view: View,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// JPEG, PNG or WebP pictures
    #[arg(required = true, value_name = "PHOTO")]
    pub(crate) photos: Vec<PathBuf>,
    /// Address of the REST API, which takes and gives pictures. Requests to API Gateway's own addresses are signed with AWS
    /// credentials, unless `TIME_TRAVELER_TOKEN` holds a bearer token
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) api: String,
    /// Address of the HTTP API, which tells of jobs [default: the REST API's]
    #[arg(long, value_name = "URL")]
    pub(crate) jobs_api: Option<String>,
    /// Sign requests for this AWS region, whatever the addresses
    #[arg(long, value_name = "REGION")]
    pub(crate) sign: Option<String>,
    /// Name of the portrait, for one picture [default: the file's]
    #[arg(long)]
    pub(crate) id: Option<PortraitId>,
    /// Ages to see [default: the pipeline's]
    #[arg(long)]
    pub(crate) ages: Option<Ages>,
    /// Folder for the pictures; one below it for each of several portraits [default: out/{id}]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) view: View,
    /// Print the jobs as one line of JSON
    #[arg(long, conflicts_with = "show")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Age {
    /// A JPEG, PNG or WebP picture
    pub(crate) photo: PathBuf,
    /// The picture is an aligned square crop already; for the preview engine, the landmarks are looked for all the same
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
    /// What the SAM engine computes on
    #[arg(long, value_name = "auto|cpu|cuda", default_value = "auto", hide_possible_values = true,
        value_parser = Word::<DeviceChoice>::of(&["auto", "cpu", "cuda"]))]
    pub(crate) device: DeviceChoice,
    /// What it computes with; bfloat16 pays on a GPU only
    #[arg(long, value_name = "float32|bfloat16", default_value = "float32", hide_possible_values = true,
        value_parser = Word::<Precision>::of(&["float32", "bfloat16"]))]
    pub(crate) precision: Precision,
    /// Threads of the CPU [default: the cores that may be used]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    #[command(flatten)]
    pub(crate) view: View,
    /// Print what was made as one line of JSON
    #[arg(long, conflicts_with = "show")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Faces {
    /// A JPEG, PNG or WebP picture
    pub(crate) photo: PathBuf,
    /// A HOG detector as dlib serializes it [default: a small one that is built in]
    #[arg(long, value_name = "FILE")]
    pub(crate) detector: Option<PathBuf>,
    /// A 68-point shape predictor as dlib serializes it [default: a small one that is built in]
    #[arg(long, value_name = "FILE")]
    pub(crate) landmarks: Option<PathBuf>,
    /// How often to double the picture's size first, which finds smaller faces [default: 1; 0 above 16 megapixels]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_UPSAMPLE)))]
    pub(crate) upsample: Option<u32>,
    /// The least score of a face; below 0 finds more, and more that are none
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true, value_parser = finite)]
    pub(crate) threshold: f64,
    /// Write the largest face, cut out and upright as SAM's encoder takes it: .png, .jpg or .webp
    #[arg(long, value_name = "OUT.png", value_parser = picture_file)]
    pub(crate) align: Option<PathBuf>,
    /// Width and height of that picture in pixels
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) size: u32,
    /// Print the faces as one line of JSON, in the detector's order
    #[arg(long)]
    pub(crate) json: bool,
}

/// The most that a picture is enlarged for the search, as a power of two.
pub(crate) const MAX_UPSAMPLE: u32 = 4;

/// The format that a file's name asks for, of those that are written.
pub(crate) fn picture_format(file: &Path) -> Option<ImageFormat> {
    let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];
    ImageFormat::from_path(file).ok().filter(|format| formats.contains(format))
}

fn picture_file(text: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(text);
    match picture_format(&file) {
        Some(_) => Ok(file),
        None => Err("a name that ends in .png, .jpg or .webp works".to_owned()),
    }
}

fn finite(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if f64::is_finite(number) => Ok(number),
        _ => Err("a number such as 0.5 or -0.2 works".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Where the server is, such as http://127.0.0.1:8080
    pub(crate) url: String,
    /// Process of the server, to be sent SIGTERM in the end
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pub(crate) pid: Option<u32>,
    /// What to send that works [default: a portrait that is built in]
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<PathBuf>,
    /// What that is [default: for a picture, what its bytes say]
    #[arg(long, value_name = "TYPE", requires = "body")]
    pub(crate) content_type: Option<String>,
    /// What to ask for
    #[arg(long, value_name = "TYPE", default_value = "*/*")]
    pub(crate) accept: String,
    /// X-Amzn-SageMaker-Custom-Attributes, such as ages=40
    #[arg(long, value_name = "TEXT")]
    pub(crate) custom_attributes: Option<String>,
    /// Requests at the same time
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clients)]
    pub(crate) clients: usize,
    /// Seconds that the server may take until it is healthy
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) wait: u64,
    /// Seconds that an answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    /// Print what was found as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn clients(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(clients @ 1..=1024) => Ok(clients),
        _ => Err("a whole number from 1 to 1024 works".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Finding, landmarking and cutting out a face
    Face(BenchFace),
    /// Ageing a face with the preview engine
    Preview(BenchPreview),
    /// Ageing a face with the SAM engine
    Aging(BenchAging),
    /// Splitting a strip into JPEGs
    Split(BenchSplit),
    /// What the model server itself adds to its work
    Serve(BenchServe),
    /// The functions as they are deployed: their size, cold starts and memory
    Functions(BenchFunctions),
}

#[derive(Debug, Args)]
pub(crate) struct BenchFunctions {
    /// Folder of the functions as `cargo lambda build` leaves them
    #[arg(default_value = "target/lambda")]
    pub(crate) functions: PathBuf,
    /// Cold starts of each, of whose times the median is told
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    /// Print the figures as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchServe {
    /// A picture with a face [default: a portrait that is built in]
    pub(crate) photo: Option<PathBuf>,
    /// Folder of the model's files; without one the preview engine makes the pictures
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Ages of each strip
    #[arg(long, default_value_t)]
    pub(crate) ages: Ages,
    /// Clients, each of which asks as soon as it was answered
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clients)]
    pub(crate) clients: usize,
    /// Requests of all of them
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) requests: usize,
    /// Print the times as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchSplit {
    /// A strip as `age` writes it [default: one of a portrait that is built in, at four ages]
    pub(crate) strip: Option<PathBuf>,
    /// Splits, of whose times the median is told
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    /// Print the times as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchAging {
    /// What to compute on
    #[arg(long, value_name = "auto|cpu|cuda", default_value = "auto", hide_possible_values = true,
        value_parser = Word::<DeviceChoice>::of(&["auto", "cpu", "cuda"]))]
    pub(crate) device: DeviceChoice,
    /// What to compute with
    #[arg(long, value_name = "float32|bfloat16", default_value = "float32", hide_possible_values = true,
        value_parser = Word::<Precision>::of(&["float32", "bfloat16"]))]
    pub(crate) precision: Precision,
    /// Threads of the CPU [default: the cores that may be used]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Width and height of the network's pictures in pixels: 256, 512 or 1024
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = output_size)]
    pub(crate) size: usize,
    /// A folder with a checkpoint [default: made-up weights]
    #[arg(long, value_name = "FOLDER", conflicts_with = "size")]
    pub(crate) model: Option<PathBuf>,
    /// How many ages a strip has
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) ages: u8,
    /// Strips, of whose times the median is told
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    /// Print the times as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn output_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if sam::OUTPUT_SIZES.contains(&size) => Ok(size),
        _ => Err("256, 512 or 1024 works".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct BenchPreview {
    /// A picture with a face [default: a portrait that is built in]
    pub(crate) photo: Option<PathBuf>,
    /// Runs of each measurement, of which the median is told
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    /// Print the times as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchFace {
    /// A picture with a face; it is resized to the sizes measured [default: a portrait that is built in]
    pub(crate) photo: Option<PathBuf>,
    /// A HOG detector as dlib serializes it [default: a small one that is built in]
    #[arg(long, value_name = "FILE")]
    pub(crate) detector: Option<PathBuf>,
    /// A 68-point shape predictor as dlib serializes it [default: a small one that is built in]
    #[arg(long, value_name = "FILE")]
    pub(crate) landmarks: Option<PathBuf>,
    /// Runs of each measurement, of which the median is told
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    /// Print the times as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// Tell what is in a checkpoint, and whether the SAM engine can use it
    Inspect(Inspect),
    /// Write a SAM checkpoint as safetensors, which loads at once
    Convert(Convert),
    /// Pack a model folder as SageMaker unpacks it
    Pack(Pack),
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A checkpoint: .pt or .safetensors
    pub(crate) checkpoint: PathBuf,
    /// Print what it is as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// A checkpoint: .pt or .safetensors
    pub(crate) checkpoint: PathBuf,
    /// The file to write [default: the checkpoint's name, ending in .safetensors]
    pub(crate) out: Option<PathBuf>,
    /// What its weights are to be made of [default: what they are]
    #[arg(long, value_name = "float32|float16|bfloat16", hide_possible_values = true,
        value_parser = Word::<ElementType>::of(&["float32", "float16", "bfloat16"]))]
    pub(crate) dtype: Option<ElementType>,
    /// Print what was written as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Pack {
    /// A model folder: model.safetensors or model.pt, and face models if others than the built-in ones are wanted
    pub(crate) model: PathBuf,
    /// The archive to write
    #[arg(long, value_name = "FILE", default_value = "model.tar.gz")]
    pub(crate) out: PathBuf,
    /// A face detector to take instead of the folder's, as dlib serializes it
    #[arg(long, value_name = "FILE")]
    pub(crate) detector: Option<PathBuf>,
    /// A 68-point shape predictor to take instead of the folder's, as dlib serializes it
    #[arg(long, value_name = "FILE")]
    pub(crate) landmarks: Option<PathBuf>,
    /// Print what was packed as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The whole command line, for what is made of it.
pub(crate) fn command() -> clap::Command {
    Cli::command()
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
        Command::Faces(faces) => faces::run(&faces),
        Command::Model(model) => model::run(&model),
        Command::Redrive(redrive) => redrive::run(&redrive),
        Command::Check(check) => check::run(&check),
        Command::Bench(bench) => bench::run(&bench),
        Command::Completions(completions) => manual::completions(&completions),
        Command::Man(man) => manual::run(&man),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
