//! Checkpoints: the named tensors of a network, in a file as `torch.save` or safetensors writes it.

mod checkpoint_error;
mod mapped;
mod pickle;
mod pickled;
mod save;
mod stored;
mod weights;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

pub use checkpoint_error::CheckpointError;
pub use safetensors::Dtype;
pub use save::{ElementType, save};
pub use stored::StoredTensor;
pub use weights::{Misfit, Misfits};
pub(crate) use weights::{Weights, build, survey, wanted};

/// The largest header that safetensors allows, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// What kind of file a checkpoint came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A zip archive with a pickle in it: PyTorch 1.6 and later.
    PyTorchZip,
    /// Pickles one after the other: PyTorch 0.1.10 to 1.5.
    PyTorchLegacy,
    /// Hugging Face's safetensors.
    Safetensors,
    /// None: the tensors are computed.
    Computed,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PyTorchZip => "PyTorch (zip)",
            Self::PyTorchLegacy => "PyTorch (legacy)",
            Self::Safetensors => "safetensors",
            Self::Computed => "computed",
        })
    }
}

/// The tensors of a checkpoint by name, without their values, which are read one by one when they are asked for.
#[derive(Debug)]
pub struct Checkpoint {
    file: PathBuf,
    file_bytes: u64,
    format: Format,
    tensors: BTreeMap<String, StoredTensor>,
    /// The boolean entries of `opts`, as PyTorch's networks keep their training options beside the weights.
    flags: BTreeMap<String, bool>,
}

impl Checkpoint {
    /// Opens a checkpoint, whatever its name says: the first bytes tell the format.
    ///
    /// Of a PyTorch file, `state_dict` is opened up: its tensors carry the names that they have in it. Nothing of a
    /// pickle is run, and one that names anything but data is refused. A safetensors file is mapped into memory and must not change as long as anything of it is used.
    ///
    /// # Errors
    /// [`CheckpointError`]: no such file, cut off, damaged, of another kind, or one that brings code along.
    pub fn open(file: &Path) -> Result<Self, CheckpointError> {
        let unreadable = |source| CheckpointError::Open { file: file.to_owned(), source };
        // To open a pipe would wait for somebody to write into it.
        if !file.metadata().map_err(unreadable)?.is_file() {
            return Err(CheckpointError::NoFile { file: file.to_owned() });
        }
        let mut handle = File::open(file).map_err(unreadable)?;
        let mut head = Vec::new();
        handle.by_ref().take(9).read_to_end(&mut head).map_err(unreadable)?;
        handle.rewind().map_err(unreadable)?;
        let length = head.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        if length.is_some_and(|length| length <= MAX_HEADER) && head.get(8) == Some(&b'{') {
            mapped::open(file, &handle)
        } else {
            pickled::open(file, handle)
        }
    }

    /// A checkpoint without a file: tensors by name and shape, and what computes their values.
    pub(crate) fn computed(name: &str, tensors: impl IntoIterator<Item = (String, StoredTensor)>) -> Self {
        let tensors = tensors.into_iter().collect();
        Self { file: PathBuf::from(name), file_bytes: 0, format: Format::Computed, tensors, flags: BTreeMap::new() }
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// How large the file is, in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// What kind of file it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Its tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, StoredTensor> {
        &self.tensors
    }

    /// The number of all elements of all tensors.
    pub fn parameters(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.elements() as u64).sum()
    }

    /// Forgets every tensor but those of these names.
    pub fn keep(&mut self, names: &HashSet<String>) {
        self.tensors.retain(|name, _| names.contains(name));
    }

    /// Reads every tensor once, so that whatever the file's checksums tell is known.
    ///
    /// # Errors
    /// [`CheckpointError::Tensor`]: the first that cannot be read.
    pub fn verify(&self) -> Result<(), CheckpointError> {
        self.tensors.iter().try_for_each(|(name, tensor)| match tensor.raw() {
            Ok(_) => Ok(()),
            Err(source) => Err(CheckpointError::Tensor { file: self.file.clone(), tensor: name.clone(), source }),
        })
    }

    /// What the options it was trained with say to a question of yes or no, if they are there.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.flags.get(name).copied()
    }
}

#[cfg(test)]
mod tests;
