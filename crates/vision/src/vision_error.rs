use std::path::PathBuf;

use nn::ExecutionError;
use nn::checkpoint::CheckpointError;

/// Why a network cannot be loaded, or fails.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    /// The checkpoint is not that of the network, or cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The description of a classifier is not that of its checkpoint.
    #[error("{} has {network} classes, and its description names {named}: a description with {network} names would work", file.display())]
    Classes {
        /// The checkpoint.
        file: PathBuf,
        /// The number of classes of its network.
        network: usize,
        /// The number of classes of its description.
        named: usize,
    },
    /// The device failed.
    #[error("the device failed")]
    Device(#[from] ExecutionError),
    /// The network computed values that are no numbers.
    #[error("the network computed scores that are no numbers: its checkpoint is damaged, or was not trained well")]
    NotFinite,
}
