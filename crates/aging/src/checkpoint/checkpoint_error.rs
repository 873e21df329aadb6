use std::io;
use std::path::PathBuf;

use super::Misfits;

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be opened.
    #[error("the checkpoint {} cannot be opened", file.display())]
    Open {
        /// Where it should be.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is not what PyTorch writes.
    #[error(
        "{} is no whole checkpoint: a file that torch.save or safetensors wrote would work; if it should be one, \
         copy or download it again",
        file.display()
    )]
    PyTorch {
        /// Where it is.
        file: PathBuf,
        /// What is wrong with it.
        source: pytorch_reader::PytorchError,
    },
    /// It is not what safetensors writes.
    #[error(
        "{} is no whole safetensors checkpoint: copy, download or convert it again",
        file.display()
    )]
    Safetensors {
        /// Where it is.
        file: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },
    /// It would have Python run something.
    #[error(
        "{} holds more than tensors and settings: Python would call `{python}` to load it. Nothing of it was run; \
         a checkpoint of the state_dict alone would work",
        file.display()
    )]
    Code {
        /// Where it is.
        file: PathBuf,
        /// The class or function that would be called.
        python: String,
    },
    /// It claims far more than the file can hold.
    #[error(
        "the tensors of {} would take {tensors} bytes, but the file has only {bytes}: PyTorch writes no such file",
        file.display()
    )]
    Bomb {
        /// Where it is.
        file: PathBuf,
        /// What its tensors would take, in bytes.
        tensors: u64,
        /// What the file takes, in bytes.
        bytes: u64,
    },
    /// The values are not those that were written.
    #[error(
        "{} is damaged: its checksum is {found:08x}, but was {written:08x} when it was written; copy or convert it again",
        file.display()
    )]
    Checksum {
        /// Where it is.
        file: PathBuf,
        /// The CRC-32 of the values.
        found: u32,
        /// What it should be.
        written: u32,
    },
    /// A tensor's values cannot be read.
    #[error("the tensor {tensor} of {} cannot be read: copy or download the checkpoint again", file.display())]
    Tensor {
        /// Where the checkpoint is.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A value is too large for the elements that were asked for.
    #[error("{value} of the tensor {tensor} is beyond float16: bfloat16 would work")]
    Beyond {
        /// The tensor's name.
        tensor: String,
        /// The value.
        value: f32,
    },
    /// It is not the network's.
    #[error(transparent)]
    Misfits(#[from] Misfits),
    /// It cannot be written.
    #[error("the checkpoint {} cannot be written", file.display())]
    Write {
        /// Where it should go.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}
