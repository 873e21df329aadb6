//! Checkpoints: named tensors in a file, as `torch.save`, safetensors or TensorFlow writes them, or arrays as NumPy pickles them.

mod arrays;
mod checkpoint_error;
mod mapped;
mod misfits;
mod pickle;
mod pickled;
mod save;
mod save_pytorch;
mod stored;
mod tensorflow;
mod wrapping;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

pub use arrays::ArraysError;
pub use checkpoint_error::CheckpointError;
pub(crate) use misfits::NAMED;
pub use misfits::{Misfit, Misfits};
pub use safetensors::Dtype;
pub use save::{ElementType, save};
pub use save_pytorch::save_pytorch;
pub use stored::StoredTensor;
pub use tensorflow::TensorFlowError;

/// The largest header that safetensors allows, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// A file's first bytes, which identify its format.
const HEAD: u64 = 16;

/// The format of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A zip archive with a pickle in it: PyTorch 1.6 and later.
    PyTorchZip,
    /// A sequence of pickles: PyTorch 0.1.10 to 1.5.
    PyTorchLegacy,
    /// The safetensors format: a JSON header, then the values.
    Safetensors,
    /// A pickle of NumPy's arrays by name.
    NumpyPickle,
    /// A graph whose variables became constants: `frozen_inference_graph.pb`.
    TensorFlowGraph,
    /// An index, and data files beside it: what TensorFlow's `Saver` writes.
    TensorFlowCheckpoint,
    /// No file: the values are computed.
    Computed,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PyTorchZip => "PyTorch (zip)",
            Self::PyTorchLegacy => "PyTorch (legacy)",
            Self::Safetensors => "safetensors",
            Self::NumpyPickle => "NumPy (pickle)",
            Self::TensorFlowGraph => "TensorFlow (frozen graph)",
            Self::TensorFlowCheckpoint => "TensorFlow (checkpoint)",
            Self::Computed => "computed",
        })
    }
}

/// The tensors of a checkpoint by name. Their values are read one tensor at a time, on demand.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    file: PathBuf,
    file_bytes: u64,
    format: Format,
    tensors: BTreeMap<String, StoredTensor>,
    /// The boolean entries beside the tensors, such as training options, by their path.
    flags: BTreeMap<String, bool>,
    /// The prefix that was taken off all names.
    prefix: String,
    /// The texts in the header of a safetensors file, but for the checksum.
    entries: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens a checkpoint. Its first and last bytes decide the format, not its name.
    ///
    /// The tensors of a `state_dict` in a PyTorch file are named as they are in it. A pickle is never run, and one that names
    /// anything but data is refused. Files of safetensors and TensorFlow and pickles of arrays are mapped into memory: they must not change
    /// while any part of them is used. Of a checkpoint of TensorFlow's, `file` is the index. Of a graph, its constants are read, and
    /// nothing is run.
    ///
    /// # Errors
    /// [`CheckpointError`]: the file does not exist, is truncated, damaged or of another format, or its pickle contains code.
    pub fn open(file: &Path) -> Result<Self, CheckpointError> {
        let unreadable = |source| CheckpointError::Open { file: file.to_owned(), source };
        // Opening a pipe would block until a writer opens it.
        if !file.metadata().map_err(unreadable)?.is_file() {
            return Err(CheckpointError::NoFile { file: file.to_owned() });
        }
        let mut handle = File::open(file).map_err(unreadable)?;
        let mut head = Vec::new();
        handle.by_ref().take(HEAD).read_to_end(&mut head).map_err(unreadable)?;
        handle.rewind().map_err(unreadable)?;
        let mut tail = Vec::new();
        // A shorter file has no such end.
        if handle.seek(SeekFrom::End(-(tensorflow::MAGIC.len() as i64))).is_ok() {
            handle.read_to_end(&mut tail).map_err(unreadable)?;
        }
        handle.rewind().map_err(unreadable)?;
        let length = head.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        if length.is_some_and(|length| length <= MAX_HEADER) && head.get(8) == Some(&b'{') {
            mapped::open(file, &handle)
        } else if arrays::is_one(&head) {
            let (mapping, whole) = mapped::map(file, &handle)?;
            arrays::open(file, &mapping, whole)
        } else if tail == tensorflow::MAGIC {
            tensorflow::open_bundle(file, &handle)
        } else if head.first() == Some(&tensorflow::FIRST_BYTE) {
            tensorflow::open_graph(file, &handle)
        } else {
            pickled::open(file, handle)
        }
    }

    /// Of a file with these tensors alone.
    fn of(file: &Path, file_bytes: u64, format: Format, tensors: BTreeMap<String, StoredTensor>) -> Self {
        let (file, flags, prefix, entries) = (file.to_owned(), BTreeMap::new(), String::new(), BTreeMap::new());
        Self { file, file_bytes, format, tensors, flags, prefix, entries }
    }

    /// A checkpoint without a file, whose tensors are [computed](StoredTensor::computed). Messages call it `name`.
    pub fn computed(name: &str, tensors: impl IntoIterator<Item = (String, StoredTensor)>) -> Self {
        Self::of(Path::new(name), 0, Format::Computed, tensors.into_iter().collect())
    }

    /// With a text beside the tensors, which [`save`] writes into the header.
    #[must_use]
    pub fn with_entry(mut self, name: &str, text: String) -> Self {
        self.entries.insert(name.to_owned(), text);
        self
    }

    /// A text beside the tensors of a safetensors file.
    pub fn entry(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(String::as_str)
    }

    /// With the tensors of another checkpoint too. Their names differ.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        self.tensors.extend(other.tensors);
        self
    }

    /// With a prefix before all names.
    #[must_use]
    pub fn prefixed(self, prefix: &str) -> Self {
        let tensors = self.tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect();
        Self { tensors, ..self }
    }

    /// With other tensors, made of these.
    #[must_use]
    pub fn mapped(&self, tensors: impl Fn(&str, &StoredTensor) -> Option<(String, StoredTensor)>) -> Self {
        let tensors = self.tensors.iter().filter_map(|(name, tensor)| tensors(name, tensor)).collect();
        Self { tensors, ..self.clone() }
    }

    /// With other names.
    #[must_use]
    pub fn renamed(&self, name: impl Fn(&str) -> String) -> Self {
        let tensors = self.tensors.iter().map(|(old, tensor)| (name(old), tensor.clone())).collect();
        Self { tensors, ..self.clone() }
    }

    /// The tensors with a prefix before their names, without it.
    #[must_use]
    pub fn within(&self, prefix: &str) -> Self {
        let inner =
            |(name, tensor): (&String, &StoredTensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()));
        Self { tensors: self.tensors.iter().filter_map(inner).collect(), ..self.clone() }
    }

    /// The path of the file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The size of the file, in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The format of the file.
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

    /// Drops all tensors except those with these names.
    pub fn keep(&mut self, names: &HashSet<String>) {
        self.tensors.retain(|name, _| names.contains(name));
    }

    /// Reads every tensor once, which checks the checksums of the file.
    ///
    /// # Errors
    /// [`CheckpointError::Tensor`]: the first tensor that cannot be read.
    pub fn verify(&self) -> Result<(), CheckpointError> {
        self.tensors.iter().try_for_each(|(name, tensor)| match tensor.raw() {
            Ok(_) => Ok(()),
            Err(source) => Err(CheckpointError::Tensor { file: self.file.clone(), tensor: name.clone(), source }),
        })
    }

    /// The values of a tensor that it has, as float32, row-major.
    ///
    /// # Errors
    /// [`CheckpointError::Tensor`]: it cannot be read.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let unreadable = |source| CheckpointError::Tensor { file: self.file.clone(), tensor: name.to_owned(), source };
        let bytes = self.tensors[name].floats().map_err(unreadable)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// A boolean entry beside the tensors of a PyTorch file: `name` in its root, `dictionary.name` in a dictionary there.
    pub fn flag(&self, path: &str) -> Option<bool> {
        self.flags.get(path).copied()
    }
}

#[cfg(test)]
mod tests;
