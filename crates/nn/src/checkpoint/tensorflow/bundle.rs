//! Checkpoints of TensorFlow: `model.ckpt-100.index`, and `model.ckpt-100.data-00000-of-00001` beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use prost::Message;

use super::element::dtype;
use super::message::{BundleEntry, BundleHeader};
use super::table::{self, masked};
use super::{TensorFlowError, extents};
use crate::checkpoint::mapped::Mapping;
use crate::checkpoint::stored::Values;
use crate::checkpoint::{Checkpoint, CheckpointError, Format, StoredTensor};

/// The last bytes of an index.
pub(in crate::checkpoint) const MAGIC: [u8; 8] = table::MAGIC.to_le_bytes();
/// The most data files.
const MOST_SHARDS: i32 = 1024;
/// The value of `endianness` for big-endian numbers.
const BIG: i32 = 1;

/// The variables of numbers, under their names. `file` is the index.
pub(in crate::checkpoint) fn open(file: &Path, handle: &File) -> Result<Checkpoint, CheckpointError> {
    let index = Mapping::of(file, handle)?;
    let broken = |source| CheckpointError::TensorFlow { file: file.to_owned(), source };
    let bytes = index.bytes();
    let entries = table::entries(&bytes).map_err(broken)?;
    let mut entries = entries.into_iter();
    // The header has the empty key, which is the first.
    let header = entries.next().filter(|(key, _)| key.is_empty());
    let (_, header) = header.ok_or_else(|| broken(TensorFlowError::Index("it has no header")))?;
    let header = BundleHeader::decode(header).map_err(|source| broken(TensorFlowError::Message("header", source)))?;
    if header.endianness == BIG {
        return Err(broken(TensorFlowError::Index("its numbers are big-endian")));
    }
    if !(1..=MOST_SHARDS).contains(&header.shards) {
        return Err(broken(TensorFlowError::Index("it names no data files, or too many")));
    }
    let mut shards = Shards { index: file, count: header.shards, open: BTreeMap::new() };
    let mut tensors = BTreeMap::new();
    for (key, value) in entries {
        // Names that are no UTF-8 are none of TensorFlow's.
        let Ok(name) = String::from_utf8(key) else { continue };
        let entry = BundleEntry::decode(value);
        let entry = entry.map_err(|source| broken(TensorFlowError::Message("description of a tensor", source)))?;
        if let Some(stored) = shards.stored(&name, &entry)? {
            tensors.insert(name, stored);
        }
    }
    let data: u64 = shards.open.values().map(|(mapping, _)| mapping.bytes().len() as u64).sum();
    Ok(Checkpoint::of(file, bytes.len() as u64 + data, Format::TensorFlowCheckpoint, tensors))
}

/// The data files of an index, each opened when the first tensor lies in it.
struct Shards<'a> {
    index: &'a Path,
    count: i32,
    /// Each with the bytes of its tensors.
    open: BTreeMap<i32, (Mapping, usize)>,
}

impl Shards<'_> {
    fn file(&self, shard: i32) -> PathBuf {
        self.index.with_extension(format!("data-{shard:05}-of-{:05}", self.count))
    }

    /// `None` where the variable has no numbers, or is a part of another.
    fn stored(&mut self, name: &str, entry: &BundleEntry) -> Result<Option<StoredTensor>, CheckpointError> {
        let index = self.index;
        let broken = |source| CheckpointError::TensorFlow { file: index.to_owned(), source };
        let wrong = |reason: &str| broken(TensorFlowError::tensor(name, reason));
        let Some(dtype) = dtype(entry.dtype) else { return Ok(None) };
        if !entry.slices.is_empty() {
            return Err(wrong("is stored in parts: a checkpoint without partitioned variables would work"));
        }
        if !(0..self.count).contains(&entry.shard) {
            return Err(wrong("lies in a data file that does not exist"));
        }
        let shape = extents(entry.shape.as_ref()).ok_or_else(|| wrong("has no size that can be used"))?;
        let needed = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        if usize::try_from(entry.size) != Ok(needed) {
            return Err(wrong("has not as many values as its size needs"));
        }
        if !self.open.contains_key(&entry.shard) {
            let file = self.file(entry.shard);
            let unreadable = |source| broken(TensorFlowError::Data { file: file.clone(), source });
            // Opening a pipe would block until a writer opens it.
            if !file.metadata().map_err(unreadable)?.is_file() {
                return Err(unreadable(io::ErrorKind::InvalidInput.into()));
            }
            let opened = File::open(&file).map_err(unreadable)?;
            self.open.insert(entry.shard, (Mapping::of(&file, &opened)?, 0));
        }
        let Some((mapping, read)) = self.open.get_mut(&entry.shard) else { return Ok(None) };
        let bytes = mapping.bytes();
        // Tensors that shared bytes would take far longer to check than the files are large.
        *read += needed;
        if *read > bytes.len() {
            return Err(wrong("and those before it need more bytes than their data file has"));
        }
        let end = usize::try_from(entry.offset).ok().and_then(|offset| Some(offset..offset.checked_add(needed)?));
        let Some(place) = end.filter(|place| place.end <= bytes.len()) else {
            return Err(wrong("lies behind the end of its data file: copy or download that again"));
        };
        let values = bytes.slice(place);
        if masked(crc32c::crc32c(&values)) != entry.checksum {
            return Err(wrong("is damaged: copy or download its data file again"));
        }
        Ok(Some(StoredTensor::new(dtype, shape, Values::Mapped(mapping.part(values)))))
    }
}
