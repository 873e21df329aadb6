//! Safetensors files, mapped into memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use bytes::Bytes;
use memmap2::{Advice, Mmap};
use rayon::prelude::*;
use safetensors::SafeTensors;

use super::save::CHECKSUM;
use super::stored::Values;
use super::{Checkpoint, CheckpointError, Format, StoredTensor};

/// Bytes whose checksum one task computes.
const BLOCK: usize = 16 << 20;

pub(super) fn open(file: &Path, handle: &File) -> Result<Checkpoint, CheckpointError> {
    // SAFETY: a mapping is undefined behaviour as soon as somebody else writes the file. Model files are put into place
    // whole and not written again, as `Checkpoint::open` says they must be.
    #[expect(unsafe_code, reason = "there is no mapping without that promise")]
    let mapping = unsafe { Mmap::map(handle) };
    let mapping = mapping.map_err(|source| CheckpointError::Open { file: file.to_owned(), source })?;
    // A hint that may be refused.
    drop(mapping.advise(Advice::WillNeed));
    let whole = Bytes::from_owner(mapping);

    let broken = |source| CheckpointError::Safetensors { file: file.to_owned(), source };
    let (header, metadata) = SafeTensors::read_metadata(&whole).map_err(broken)?;
    let values = whole.slice(size_of::<u64>() + header..);
    let tensors: BTreeMap<String, StoredTensor> = metadata
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            let bytes = values.slice(info.data_offsets.0..info.data_offsets.1);
            (name, StoredTensor::new(info.dtype, info.shape.clone(), Values::Mapped(bytes)))
        })
        .collect();
    let written = metadata.metadata().as_ref().and_then(|entries| entries.get(CHECKSUM));
    if let Some(written) = written {
        let found = checksum(&values);
        if u32::from_str_radix(written, 16) != Ok(found) {
            return Err(CheckpointError::Checksum { file: file.to_owned(), found, written: written.clone() });
        }
    }
    Ok(Checkpoint {
        file: file.to_owned(),
        file_bytes: whole.len() as u64,
        format: Format::Safetensors,
        tensors,
        flags: BTreeMap::new(),
    })
}

/// The CRC-32 of bytes that may be many.
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
