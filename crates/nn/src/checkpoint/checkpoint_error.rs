use std::io;
use std::path::PathBuf;

use super::misfits::{Misfits, excerpt};
use super::tensorflow::TensorFlowError;

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be opened.
    #[error("the checkpoint {} cannot be opened", file.display())]
    Open {
        /// Its path.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The path is not that of a file.
    #[error("{} is no file: a checkpoint that torch.save or safetensors wrote would work", file.display())]
    NoFile {
        /// The path of the folder, pipe or device.
        file: PathBuf,
    },
    /// It is not laid out as PyTorch lays out files.
    #[error(
        "{} is no whole checkpoint: one that torch.save of PyTorch 0.4 and later or safetensors wrote would work; \
         if it should be one, copy or download it again",
        file.display()
    )]
    Damaged {
        /// Its path.
        file: PathBuf,
        /// The reader's reason.
        source: io::Error,
    },
    /// Its content is no dictionary of tensors.
    #[error(
        "the content of {} cannot be read: one with a dictionary of tensors, such as torch.save writes of \
         {{'state_dict': ...}}, would work; if it should be one, copy or download it again",
        file.display()
    )]
    PyTorch {
        /// Its path.
        file: PathBuf,
        /// The reader's reason.
        source: pytorch_reader::PytorchError,
    },
    /// It is not a complete safetensors file.
    #[error(
        "{} is no whole safetensors checkpoint: copy, download or convert it again",
        file.display()
    )]
    Safetensors {
        /// Its path.
        file: PathBuf,
        /// The reader's reason.
        source: safetensors::SafeTensorError,
    },
    /// It is not a file as TensorFlow writes it.
    #[error("{} cannot be read as a checkpoint of TensorFlow's", file.display())]
    TensorFlow {
        /// Its path.
        file: PathBuf,
        /// What is wrong with it.
        source: TensorFlowError,
    },
    /// Loading it in Python would run code.
    #[error(
        "{} holds more than tensors and settings: Python would use {python:?} to load it. Nothing of it was run; a \
         checkpoint of tensors alone, such as torch.save writes of {{'state_dict': ...}}, would work",
        file.display()
    )]
    Code {
        /// Its path.
        file: PathBuf,
        /// The Python class or function.
        python: String,
    },
    /// Its tensors claim far more memory than the file has.
    #[error(
        "the tensors of {} would take {tensors} bytes, far more than the {bytes} of the file: \
         one that was saved without expanded views of tensors would work",
        file.display()
    )]
    Bomb {
        /// Its path.
        file: PathBuf,
        /// The size that its tensors claim, in bytes.
        tensors: u64,
        /// The size of the file, in bytes.
        bytes: u64,
    },
    /// The values do not have the checksum in the header.
    #[error(
        "{} is damaged, or was changed by something that kept the checksum: that is {found:08x}, but {written} was \
         written; copy or convert it again",
        file.display()
    )]
    Checksum {
        /// Its path.
        file: PathBuf,
        /// The CRC-32 of the values.
        found: u32,
        /// The checksum in the header.
        written: String,
    },
    /// A tensor's values cannot be read.
    #[error("the tensor {tensor} of {} cannot be read: copy or download the checkpoint again", file.display())]
    Tensor {
        /// The path of the checkpoint.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The reader's reason.
        source: io::Error,
    },
    /// A value is too large for the requested element type.
    #[error("{value} in the tensor {tensor} is beyond what elements of 16 bits hold here: float32 would work")]
    Beyond {
        /// The tensor's name.
        tensor: String,
        /// The value.
        value: f32,
    },
    /// It has the tensors of the network under several prefixes, such as averaged weights beside the others.
    #[error(
        "{} has the network's weights more than once, with the prefixes {}: a checkpoint with one of them would work",
        file.display(), quoted(prefixes)
    )]
    Twice {
        /// Its path.
        file: PathBuf,
        /// The prefixes.
        prefixes: Vec<String>,
    },
    /// Its tensors are not those of the network.
    #[error(transparent)]
    Misfits(#[from] Box<Misfits>),
    /// It cannot be written.
    #[error("the checkpoint {} cannot be written", file.display())]
    Write {
        /// Its path.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

fn quoted(prefixes: &[String]) -> String {
    prefixes.iter().map(|prefix| format!("\"{}\"", excerpt(prefix))).collect::<Vec<_>>().join(", ")
}
