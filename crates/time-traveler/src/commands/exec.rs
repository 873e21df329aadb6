//! `exec`: run a command, such as a script of the SageMaker SDK, against a local cloud.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context;
use clap::Args;
use local_cloud::{Conditions, Durability, Image, Running, Stack};

use crate::escape::Shown;
use crate::launcher::{Launch, default_bucket};
use crate::runtime::runtime;
use crate::stack::local::start;
use crate::stack::own_image::OwnImage;
use crate::stack::{built_in_image, own_images, stack_file};
use crate::terminal::hop_log::HopLog;

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Folder of a running `up`, whose cloud and images the command uses. If none runs there, it gets a cloud of its own, in a temporary
    /// folder
    #[arg(long, value_name = "DIR", default_value = ".time-traveler")]
    data: PathBuf,
    /// Use a cloud of its own, even if an `up` runs
    #[arg(long)]
    fresh: bool,
    /// A program that stands for an image, in training jobs, endpoints and local mode. It runs with the argument `train` or `serve`.
    /// Repeatable
    #[arg(long = "image", value_name = "NAME=COMMAND")]
    images: Vec<OwnImage>,
    /// A file of resources for a cloud of its own, in TOML: images, endpoints, buckets and tables
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the command, and returns its exit code.
pub(crate) fn run(exec: &Exec) -> anyhow::Result<ExitCode> {
    HopLog::of_failures().install();
    let own = own_images(&exec.images)?;
    let running = match exec.fresh {
        true => None,
        false => {
            Running::find(&exec.data).with_context(|| format!("what runs in {} cannot be told", exec.data.shown()))?
        }
    };
    runtime()?.block_on(async {
        match running {
            Some(_) if exec.stack.is_some() => anyhow::bail!(
                "the cloud in {} runs already, without --stack: start `up` with it, or use --fresh",
                exec.data.shown()
            ),
            Some(running) => with_running(exec, &running, own).await,
            None => with_fresh(exec, own).await,
        }
    })
}

/// The images of the command line are for local mode only: the running cloud has those that it was started with.
async fn with_running(exec: &Exec, running: &Running, own: Vec<Image>) -> anyhow::Result<ExitCode> {
    let theirs = running.images.iter().filter(|image| !own.iter().any(|own| own.repository == image.repository));
    let images: Vec<Image> = own.iter().chain(theirs).cloned().collect();
    Ok(exit_code(Launch::prepare(&running.aws, &images)?.run(&exec.command).await?))
}

async fn with_fresh(exec: &Exec, images: Vec<Image>) -> anyhow::Result<ExitCode> {
    let data = tempfile::tempdir().context("a temporary folder cannot be made")?;
    let images = [built_in_image(None)?].into_iter().chain(images).collect();
    let mut stack = Stack { buckets: vec![default_bucket()], images, ..Stack::default() };
    if let Some(file) = &exec.stack {
        stack_file::add(file, &mut stack)?;
    }
    // The folder does not survive the process.
    let conditions = Conditions { durability: Durability::Kill, ..Conditions::default() };
    let cloud = start(&stack, data.path(), 0, 0, conditions).await?;
    let launch = Launch::prepare(&format!("http://{}", cloud.aws_address()), &stack.images)?;
    let ended = launch.run(&exec.command).await;
    cloud.stop().await;
    Ok(exit_code(ended?))
}

/// The exit code as a shell gives it: that of a signal is 128 and its number.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1).into()
}
