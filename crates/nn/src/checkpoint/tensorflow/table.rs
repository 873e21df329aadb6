//! Tables of LevelDB (its document "table format"), in which TensorFlow keeps the index of a checkpoint: sorted keys and their
//! values, in blocks with checksums.

use super::error::TensorFlowError;

/// The last bytes of a table, little-endian.
pub(super) const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
/// The bytes of a footer: two handles of up to 20 bytes, and the magic number.
const FOOTER: usize = 48;
/// The bytes after a block: the kind of its compression, and a checksum.
const TRAILER: usize = 5;
/// The longest key.
const MAX_KEY: usize = 4096;

/// A key, and its value in the table.
pub(super) type Entry<'t> = (Vec<u8>, &'t [u8]);

/// The keys and values of a table.
pub(super) fn entries(table: &[u8]) -> Result<Vec<Entry<'_>>, TensorFlowError> {
    let damaged = TensorFlowError::Index;
    let footer = table.last_chunk::<FOOTER>().ok_or(damaged("it is too short"))?;
    if !footer.ends_with(&MAGIC.to_le_bytes()) {
        return Err(damaged("its end is missing"));
    }
    let mut handles = &footer[..];
    // That of the index of filters, which TensorFlow does not write.
    handle(&mut handles)?;
    let blocks = block(table, handle(&mut handles)?)?;
    let mut all = Vec::new();
    // Blocks do not overlap, so that together they are no larger than the table.
    let mut end = 0;
    for (_, mut place) in pairs(blocks)? {
        let (offset, length) = handle(&mut place)?;
        if offset < end {
            return Err(damaged("its blocks overlap"));
        }
        end = offset.saturating_add(length);
        all.extend(pairs(block(table, (offset, length))?)?);
    }
    Ok(all)
}

/// The place of a block: offset and length.
fn handle(bytes: &mut &[u8]) -> Result<(usize, usize), TensorFlowError> {
    Ok((varint(bytes)?, varint(bytes)?))
}

fn varint(bytes: &mut &[u8]) -> Result<usize, TensorFlowError> {
    let number = prost::encoding::decode_varint(bytes).ok().and_then(|number| usize::try_from(number).ok());
    number.ok_or(TensorFlowError::Index("a number in it is broken"))
}

/// The content of a block whose checksum holds.
fn block(table: &[u8], (offset, length): (usize, usize)) -> Result<&[u8], TensorFlowError> {
    let damaged = TensorFlowError::Index;
    let end = offset.checked_add(length).and_then(|end| end.checked_add(TRAILER));
    let whole = end.and_then(|end| table.get(offset..end)).ok_or(damaged("a block lies outside of it"))?;
    let (content, trailer) = whole.split_at(length);
    let checksum = trailer.last_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    if checksum != Some(masked(crc32c::crc32c_append(crc32c::crc32c(content), &trailer[..1]))) {
        return Err(damaged("a checksum does not hold"));
    }
    if trailer[0] == 0 { Ok(content) } else { Err(TensorFlowError::Compressed) }
}

/// The keys and values of a block. A key shares its beginning with the one before it.
fn pairs(block: &[u8]) -> Result<Vec<Entry<'_>>, TensorFlowError> {
    let damaged = TensorFlowError::Index;
    let (rest, count) = block.split_last_chunk().ok_or(damaged("a block is too short"))?;
    let restarts = (u32::from_le_bytes(*count) as usize).checked_mul(4);
    let mut rest = restarts
        .and_then(|bytes| rest.len().checked_sub(bytes))
        .map(|end| &rest[..end])
        .ok_or(damaged("a block is too short"))?;
    let mut pairs = Vec::new();
    let mut key: Vec<u8> = Vec::new();
    while !rest.is_empty() {
        let (shared, own, length) = (varint(&mut rest)?, varint(&mut rest)?, varint(&mut rest)?);
        if shared > key.len() || shared.saturating_add(own) > MAX_KEY {
            return Err(damaged("a key is broken"));
        }
        let (name, after) = rest.split_at_checked(own).ok_or(damaged("a key is broken"))?;
        let (value, after) = after.split_at_checked(length).ok_or(damaged("a value is longer than its block"))?;
        rest = after;
        key.truncate(shared);
        key.extend_from_slice(name);
        pairs.push((key.clone(), value));
    }
    Ok(pairs)
}

/// A CRC-32C as LevelDB stores it, so that checksums of data with checksums stay good ones.
pub(super) fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}
