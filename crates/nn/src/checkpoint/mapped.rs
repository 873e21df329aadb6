//! Safetensors files, which are mapped into memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, Mmap, UncheckedAdvice};
use rayon::prelude::*;
use safetensors::SafeTensors;

use super::save::CHECKSUM;
use super::stored::Values;
use super::{Checkpoint, CheckpointError, Format, StoredTensor};

/// The bytes of one task of the checksum.
const BLOCK: usize = 16 << 20;

pub(super) fn open(file: &Path, handle: &File) -> Result<Checkpoint, CheckpointError> {
    let mapping = Mapping::of(file, handle)?;
    let whole = mapping.bytes();
    let broken = |source| CheckpointError::Safetensors { file: file.to_owned(), source };
    let (header, metadata) = SafeTensors::read_metadata(&whole).map_err(broken)?;
    let values = whole.slice(size_of::<u64>() + header..);
    let tensors: BTreeMap<String, StoredTensor> = metadata
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            let bytes = values.slice(info.data_offsets.0..info.data_offsets.1);
            (name, StoredTensor::new(info.dtype, info.shape.clone(), Values::Mapped(mapping.part(bytes))))
        })
        .collect();
    let written = metadata.metadata().as_ref().and_then(|entries| entries.get(CHECKSUM));
    if let Some(written) = written {
        let found = checksum(&values);
        if u32::from_str_radix(written, 16) != Ok(found) {
            return Err(CheckpointError::Checksum { file: file.to_owned(), found, written: written.clone() });
        }
    }
    let entries = metadata.metadata().iter().flatten().filter(|(name, _)| *name != CHECKSUM);
    Ok(Checkpoint {
        entries: entries.map(|(name, text)| (name.clone(), text.clone())).collect(),
        file: file.to_owned(),
        file_bytes: whole.len() as u64,
        format: Format::Safetensors,
        tensors,
        flags: BTreeMap::new(),
        prefix: String::new(),
    })
}

/// A file in memory.
pub(super) struct Mapping(Arc<Mmap>);

impl Mapping {
    /// Maps a file, which must not change as long as a part of it is used.
    pub(super) fn of(file: &Path, handle: &File) -> Result<Self, CheckpointError> {
        // SAFETY: a write to a mapped file is undefined behaviour. `Checkpoint::open` requires that the file does not change.
        #[expect(unsafe_code, reason = "every mapping needs that promise")]
        let mapping = unsafe { Mmap::map(handle) };
        let mapping = mapping.map_err(|source| CheckpointError::Open { file: file.to_owned(), source })?;
        // The system may refuse the hint.
        drop(mapping.advise(Advice::WillNeed));
        Ok(Self(Arc::new(mapping)))
    }

    /// All of it.
    pub(super) fn bytes(&self) -> Bytes {
        Bytes::from_owner(Owner(self.0.clone()))
    }

    /// A slice of its bytes, as the values of a tensor.
    pub(super) fn part(&self, bytes: Bytes) -> Mapped {
        Mapped { bytes, mapping: self.0.clone() }
    }
}

/// A shared mapping.
struct Owner(Arc<Mmap>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A part of a mapped file.
#[derive(Clone)]
pub(super) struct Mapped {
    pub(super) bytes: Bytes,
    mapping: Arc<Mmap>,
}

impl Mapped {
    /// Returns this part's memory to the system. The next read waits for the file.
    pub(super) fn release(&self) {
        let page = 1 << 12;
        let offset = self.bytes.as_ptr().addr() - self.mapping.as_ptr().addr();
        // Complete pages only: the first and the last may also hold parts of other tensors.
        let start = offset.next_multiple_of(page);
        let end = (offset + self.bytes.len()) / page * page;
        if end > start {
            // SAFETY: the mapping is read-only, so that the system reads the pages from the file again.
            #[cfg(unix)]
            #[expect(unsafe_code, reason = "anonymous memory would lose its content")]
            // The system may refuse the hint.
            drop(unsafe { self.mapping.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) });
        }
    }
}

/// The CRC-32 of bytes, computed by all cores.
fn checksum(bytes: &[u8]) -> u32 {
    let blocks: Vec<crc32fast::Hasher> = bytes
        .par_chunks(BLOCK)
        .map(|block| {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(block);
            hasher
        })
        .collect();
    let mut whole = crc32fast::Hasher::new();
    blocks.iter().for_each(|block| whole.combine(block));
    whole.finalize()
}
