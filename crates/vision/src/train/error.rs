//! Why a training cannot go on.

use std::io;
use std::path::PathBuf;

use nn::checkpoint::CheckpointError;
use picture::PictureError;

use super::task::Spoiled;

/// Why a training cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint is that of a training with other settings.
    #[error(
        "the training in {} has other settings, so this one cannot go on from it: an empty folder, or the same settings, would \
         work.\nIts settings: {found}\nThese settings: {wanted}", file.display()
    )]
    OtherSettings {
        /// The checkpoint.
        file: PathBuf,
        /// Its settings.
        found: String,
        /// The settings of this training.
        wanted: String,
    },
    /// A file is not a checkpoint of a training.
    #[error("{} is no checkpoint of a training: an empty folder would work", file.display())]
    NoTraining {
        /// The checkpoint.
        file: PathBuf,
    },
    /// The loss is not a number.
    #[error("the loss of step {step} is {loss}: a smaller learning rate would work, the largest is {rate:e} there")]
    Diverged {
        /// The step, from 1.
        step: usize,
        /// The loss.
        loss: f32,
        /// The largest learning rate of the step.
        rate: f64,
    },
    /// There is nothing to train with.
    #[error("there is no example to train with")]
    NoExamples,
    /// A picture cannot be read.
    #[error("the picture {} cannot be read", file.display())]
    Unreadable {
        /// Its file.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A picture cannot be decoded.
    #[error("the picture {} cannot be decoded", file.display())]
    Picture {
        /// Its file.
        file: PathBuf,
        /// Why.
        source: PictureError,
    },
    /// A picture has another size than the one that was annotated.
    #[error(
        "the picture {} has {} x {} pixels, and its annotations are for {} x {}: the picture that was annotated, or annotations of \
         this one, would work",
        file.display(), found[0], found[1], annotated[0], annotated[1]
    )]
    OtherSize {
        /// Its file.
        file: PathBuf,
        /// Its width and height in pixels, upright.
        found: [usize; 2],
        /// The width and height that the annotations are for.
        annotated: [usize; 2],
    },
    /// None of the examples of an epoch can be used.
    #[error("none of the examples can be used; {}: {}", first.example, first.reason)]
    AllSpoiled {
        /// The first one.
        first: Spoiled,
    },
}
