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
    /// It is no file.
    #[error("{} is no file: a checkpoint that torch.save or safetensors wrote would work", file.display())]
    NoFile {
        /// The folder or whatever it is.
        file: PathBuf,
    },
    /// It is not laid out as PyTorch lays out files.
    #[error(
        "{} is no whole checkpoint: one that torch.save of PyTorch 0.4 and later or safetensors wrote would work; \
         if it should be one, copy or download it again",
        file.display()
    )]
    Damaged {
        /// Where it is.
        file: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Its content cannot be told.
    #[error(
        "the content of {} cannot be read: one with a dictionary of tensors, such as torch.save writes of \
         {{'state_dict': ..., 'latent_avg': ...}}, would work; if it should be one, copy or download it again",
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
        "{} holds more than tensors and settings: Python would use {python:?} to load it. Nothing of it was run; a \
         checkpoint of tensors alone, such as torch.save writes of {{'state_dict': ..., 'latent_avg': ...}}, would work",
        file.display()
    )]
    Code {
        /// Where it is.
        file: PathBuf,
        /// The class or function that would be used.
        python: String,
    },
    /// It claims far more than the file can hold.
    #[error(
        "the tensors of {} would take {tensors} bytes, far more than the {bytes} of the file: \
         one that was saved without expanded views of tensors would work",
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
        "{} is damaged, or was changed by something that kept the checksum: that is {found:08x}, but {written} was \
         written; copy or convert it again",
        file.display()
    )]
    Checksum {
        /// Where it is.
        file: PathBuf,
        /// The CRC-32 of the values.
        found: u32,
        /// What it should be, as the file says it.
        written: String,
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
    #[error("{value} in the tensor {tensor} is beyond what elements of 16 bits hold here: float32 would work")]
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
