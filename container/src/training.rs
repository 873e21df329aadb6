//! Training: SageMaker's contract for training containers, and the same jobs for the command line.
//!
//! [`main`] is the program `train`: it reads the folders that SageMaker prepares, and runs a [`Job`].

mod classifier;
mod faster_rcnn;
mod folders;
mod hyperparameters;
mod job;
mod lines;
mod objects;
mod ssd;
mod stop;

use folders::Folders;
pub use hyperparameters::{HYPERPARAMETERS, Hyperparameter, Hyperparameters, HyperparametersError, Kind};
pub use job::{Job, JobKind, Notice, UnknownKind};
use lines::Lines;
pub use stop::Stop;

/// The longest description of a failure, in bytes. SageMaker shows 1024 characters.
const LONGEST_FAILURE: usize = 1000;

/// Trains as the folders say, until it is done or SIGTERM comes.
///
/// # Errors
/// Why the training failed. It is described in `output/failure` too.
pub fn main() -> anyhow::Result<()> {
    let folders = Folders::of_this_process();
    run(&folders).map_err(|error| {
        let mut text = format!("{error:#}");
        text.truncate(text.floor_char_boundary(LONGEST_FAILURE));
        match folders.write_failure(&text) {
            Ok(()) => error,
            Err(of_file) => error.context(format!("the failure cannot be described in a file: {of_file}")),
        }
    })
}

fn run(folders: &Folders) -> anyhow::Result<()> {
    crate::heap::keep_large_blocks();
    let stop = Stop::on_signals()?;
    let job = folders.job()?;
    let mut lines = Lines::default();
    let outcome = job.run(&stop, &mut |notice| lines.say(&notice))?;
    lines.end(outcome);
    Ok(())
}
