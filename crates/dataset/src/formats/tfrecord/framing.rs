//! Records in a file: length, checksum, bytes, checksum (TensorFlow's `record_writer.h`).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::DatasetError;

/// The most bytes of a record that is read.
pub const MAX_RECORD: u64 = 512 << 20;

/// Length (8 bytes) and the checksum of its bytes (4).
const HEADER: usize = 12;

/// The checksum as it is stored: rotated and moved, so that the checksum of bytes that hold checksums is sound.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// What is wrong with a file of records.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The bytes of one record are not those that were written. The next record can be read.
    #[error("the checksum of the record's bytes is wrong")]
    Data,
    /// The length is not the one that was written, so no later record can be found.
    #[error("the checksum of the record's length is wrong: nothing after it can be read")]
    Length,
    /// The file ends within a record.
    #[error("the file ends within the record")]
    Cut,
    /// A record that is longer than [`MAX_RECORD`].
    #[error("the record has {0} bytes: at most {MAX_RECORD} work, and nothing after it is read")]
    TooLong(u64),
    /// The file cannot be read on, or its compression is broken.
    #[error("the file cannot be read on: {0}")]
    Read(io::Error),
}

/// Reads records one after the other into one buffer.
pub struct Records<R> {
    reader: R,
    buffer: Vec<u8>,
    /// The byte at which the next record begins, after decompression.
    offset: u64,
    ended: bool,
}

impl Records<Box<dyn BufRead>> {
    /// Opens a file, which may be compressed as a whole with gzip or zlib.
    ///
    /// # Errors
    /// [`DatasetError::Io`]
    pub fn open(file: &Path) -> Result<Self, DatasetError> {
        let opened = File::open(file).map_err(DatasetError::io(file, "opened"))?;
        let mut reader = BufReader::with_capacity(1 << 18, opened);
        let start = reader.fill_buf().map_err(DatasetError::io(file, "read"))?;
        let reader: Box<dyn BufRead> = match start {
            _ if header(start).is_some() => Box::new(reader),
            [0x1f, 0x8b, ..] => Box::new(BufReader::with_capacity(1 << 17, MultiGzDecoder::new(reader))),
            // The first two bytes of zlib are a multiple of 31, with 8 for "deflate" (RFC 1950).
            [a, b, ..] if a & 15 == 8 && (u32::from(*a) * 256 + u32::from(*b)).is_multiple_of(31) => {
                Box::new(BufReader::with_capacity(1 << 17, ZlibDecoder::new(reader)))
            }
            _ => Box::new(reader),
        };
        Ok(Self::new(reader))
    }
}

/// The length of a record, if its checksum is right.
fn header(bytes: &[u8]) -> Option<u64> {
    let (length, checksum) = bytes.get(..HEADER)?.split_at(8);
    (masked(length) == u32::from_le_bytes(checksum.try_into().ok()?)).then_some(())?;
    Some(u64::from_le_bytes(length.try_into().ok()?))
}

impl<R: BufRead> Records<R> {
    /// Reads records of an uncompressed stream.
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), offset: 0, ended: false }
    }

    /// The next record and the byte at which it begins; `None` at the end. After [`Damage::Data`], the next call reads the next
    /// record; after any other damage, nothing comes.
    pub fn read_next(&mut self) -> Option<(u64, Result<&[u8], Damage>)> {
        if self.ended {
            return None;
        }
        let at = self.offset;
        match self.read() {
            Ok(None) => {
                self.ended = true;
                None
            }
            Ok(Some(())) => Some((at, Ok(&self.buffer))),
            Err(damage) => {
                self.ended = !matches!(damage, Damage::Data);
                Some((at, Err(damage)))
            }
        }
    }

    fn read(&mut self) -> Result<Option<()>, Damage> {
        let mut start = [0; HEADER];
        match self.fill(&mut start)? {
            0 => return Ok(None),
            HEADER => {}
            _ => return Err(Damage::Cut),
        }
        let length = header(&start).ok_or(Damage::Length)?;
        if length > MAX_RECORD {
            return Err(Damage::TooLong(length));
        }
        self.buffer.clear();
        // Memory grows with what is there, not with what the length promises.
        let read = (&mut self.reader).take(length).read_to_end(&mut self.buffer).map_err(Damage::Read)?;
        let mut checksum = [0; 4];
        if read as u64 != length || self.fill(&mut checksum)? != 4 {
            return Err(Damage::Cut);
        }
        self.offset += HEADER as u64 + length + 4;
        if masked(&self.buffer) == u32::from_le_bytes(checksum) { Ok(Some(())) } else { Err(Damage::Data) }
    }

    /// Reads until the buffer is full or the stream ends, and returns the number of bytes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Damage> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Damage::Read(error)),
            }
        }
        Ok(filled)
    }
}

/// Writes a record.
///
/// # Errors
/// Those of the writer.
pub fn write_record(writer: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = (bytes.len() as u64).to_le_bytes();
    writer.write_all(&length)?;
    writer.write_all(&masked(&length).to_le_bytes())?;
    writer.write_all(bytes)?;
    writer.write_all(&masked(bytes).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut file = Vec::new();
        for record in [&b"first"[..], b"", b"the third"] {
            write_record(&mut file, record).unwrap();
        }
        file
    }

    fn read(bytes: &[u8]) -> Vec<(u64, Result<Vec<u8>, String>)> {
        let mut records = Records::new(bytes);
        let mut all = Vec::new();
        while let Some((at, record)) = records.read_next() {
            all.push((at, record.map(<[u8]>::to_vec).map_err(|damage| damage.to_string())));
        }
        all
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let expected = [(0, Ok(b"first".to_vec())), (21, Ok(Vec::new())), (37, Ok(b"the third".to_vec()))];
        assert_eq!(read(&file()), expected);
    }

    #[test]
    fn damage_is_named_and_records_after_wrong_bytes_are_read() {
        let mut flipped = file();
        flipped[13] ^= 1;
        let found = read(&flipped);
        assert!(found[0].1.as_ref().unwrap_err().contains("bytes is wrong"), "{found:?}");
        assert_eq!((found.len(), found[2].1.as_deref().unwrap()), (3, &b"the third"[..]));
        let mut length = file();
        length[21] ^= 1;
        let found = read(&length);
        assert!(found.len() == 2 && found[1].1.as_ref().unwrap_err().contains("length is wrong"), "{found:?}");
        for cut in 38..file().len() {
            let found = read(&file()[..cut]);
            assert!(found.len() == 3 && found[2].1.as_ref().unwrap_err().contains("ends within"), "{cut} {found:?}");
        }
    }

    #[test]
    fn a_length_that_nobody_has_is_refused_without_memory() {
        let length = (MAX_RECORD + 1).to_le_bytes();
        let mut bytes = length.to_vec();
        bytes.extend(masked(&length).to_le_bytes());
        assert!(matches!(Records::new(&bytes[..]).read_next(), Some((0, Err(Damage::TooLong(_))))));
    }
}
