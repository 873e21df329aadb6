//! Splits an object into records.

use std::io::{self, BufRead, Read};

use crate::sagemaker::records::Split;

/// The first word of a record in RecordIO.
const RECORD_IO: u32 = 0xced7_230a;
/// Its bytes.
const MAGIC: [u8; 4] = RECORD_IO.to_le_bytes();

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SplitError {
    #[error("the record is larger than MaxPayloadInMB, which is {0} bytes")]
    TooLarge(usize),
    #[error("the object is not {0}")]
    Malformed(&'static str),
    #[error("the object cannot be read")]
    Io(#[from] io::Error),
}

impl SplitError {
    /// Whether no record after this one can be read.
    fn is_end(&self) -> bool {
        !matches!(self, Self::TooLarge(_))
    }
}

/// The records of an object.
pub(super) struct Records<R> {
    object: R,
    split: Split,
    /// Whether records keep the frames of RecordIO and TFRecord.
    framed: bool,
    /// The most bytes of a record.
    limit: usize,
    done: bool,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(object: R, split: Split, framed: bool, limit: usize) -> Self {
        Self { object, split, framed, limit, done: false }
    }

    /// The whole object.
    fn whole(&mut self) -> Result<Option<Vec<u8>>, SplitError> {
        self.done = true;
        let mut bytes = Vec::new();
        let most = u64::try_from(self.limit).unwrap_or(u64::MAX).saturating_add(1);
        (&mut self.object).take(most).read_to_end(&mut bytes)?;
        if bytes.len() > self.limit { Err(SplitError::TooLarge(self.limit)) } else { Ok(Some(bytes)) }
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<Option<Vec<u8>>, SplitError> {
        let mut line = Vec::new();
        let mut too_large = false;
        loop {
            let available = self.object.fill_buf()?;
            if available.is_empty() {
                self.done = true;
                if line.is_empty() && !too_large {
                    return Ok(None);
                }
                break;
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            // A line that is too large is read to its end, but not kept.
            let part = &available[..end.unwrap_or(available.len())];
            too_large |= line.len() + part.len() > self.limit;
            if !too_large {
                line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.object.consume(used);
            if end.is_some() {
                break;
            }
        }
        if too_large { Err(SplitError::TooLarge(self.limit)) } else { Ok(Some(line)) }
    }

    /// MXNet's RecordIO: a magic word, a word with a part's kind and length, the part, and padding to four bytes. A record with the
    /// magic word inside comes in several parts.
    fn record_io(&mut self) -> Result<Option<Vec<u8>>, SplitError> {
        const BAD: SplitError = SplitError::Malformed("RecordIO");
        let (mut record, mut continues, mut too_large) = (Vec::new(), false, false);
        loop {
            let mut head = [0; 8];
            if !continues && self.object.fill_buf()?.is_empty() {
                return Ok(None);
            }
            self.object.read_exact(&mut head).map_err(|_| BAD)?;
            let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            let (kind, length) = (word(4) >> 29, (word(4) & 0x1fff_ffff) as usize);
            // 0 is a whole record; 1, 2 and 3 are the first, an inner and the last part of one.
            if word(0) != RECORD_IO || kind > 3 || continues != (kind >= 2) {
                return Err(BAD);
            }
            let padded = length.next_multiple_of(4);
            let (before, kept): (&[u8], usize) = match (self.framed, continues) {
                (true, _) => (&head, padded),
                (false, true) => (&MAGIC, length),
                (false, false) => (&[], length),
            };
            // A record that is too large is read to its end, but not kept.
            too_large |= record.len() + before.len() + kept > self.limit;
            if too_large {
                record = Vec::new();
                if !self.skip(padded as u64)? {
                    return Err(BAD);
                }
            } else {
                record.extend_from_slice(before);
                let start = record.len();
                record.resize(start + padded, 0);
                self.object.read_exact(&mut record[start..]).map_err(|_| BAD)?;
                record.truncate(start + kept);
            }
            continues = true;
            if matches!(kind, 0 | 3) {
                return if too_large { Err(SplitError::TooLarge(self.limit)) } else { Ok(Some(record)) };
            }
        }
    }

    /// TFRecord: length and its checksum, the record and its checksum.
    fn tf_record(&mut self) -> Result<Option<Vec<u8>>, SplitError> {
        const BAD: SplitError = SplitError::Malformed("TFRecord");
        if self.object.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut head = [0; 12];
        self.object.read_exact(&mut head).map_err(|_| BAD)?;
        let length = u64::from_le_bytes([head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7]]);
        let wanted = length.checked_add(4).ok_or(BAD)?;
        let kept = if self.framed { wanted.saturating_add(12) } else { length };
        if kept > self.limit as u64 {
            return Err(if self.skip(wanted)? { SplitError::TooLarge(self.limit) } else { BAD });
        }
        // A damaged length must not fill the memory: the bytes come as they are there.
        let mut rest = Vec::new();
        (&mut self.object).take(wanted).read_to_end(&mut rest)?;
        if rest.len() as u64 != wanted {
            return Err(BAD);
        }
        Ok(Some(if self.framed {
            [head.as_slice(), &rest].concat()
        } else {
            rest.truncate(rest.len() - 4);
            rest
        }))
    }

    /// Reads bytes that are not kept. False if the object ends before.
    fn skip(&mut self, bytes: u64) -> io::Result<bool> {
        Ok(io::copy(&mut (&mut self.object).take(bytes), &mut io::sink())? == bytes)
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Vec<u8>, SplitError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = match self.split {
            Split::None => self.whole(),
            Split::Line => self.line(),
            Split::RecordIO => self.record_io(),
            Split::TFRecord => self.tf_record(),
        };
        if next.as_ref().is_err_and(SplitError::is_end) {
            self.done = true;
        }
        next.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(object: &[u8], split: Split, framed: bool, limit: usize) -> Vec<Result<Vec<u8>, String>> {
        // A small buffer, so that records cross its end.
        let object = io::BufReader::with_capacity(3, object);
        Records::new(object, split, framed, limit).map(|record| record.map_err(|error| error.to_string())).collect()
    }

    fn good(records: &[&[u8]]) -> Vec<Result<Vec<u8>, String>> {
        records.iter().map(|record| Ok(record.to_vec())).collect()
    }

    fn record_io(parts: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, part) in parts {
            bytes.extend(RECORD_IO.to_le_bytes());
            bytes.extend((kind << 29 | part.len() as u32).to_le_bytes());
            bytes.extend(*part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn tf_record(record: &[u8]) -> Vec<u8> {
        [&(record.len() as u64).to_le_bytes(), b"CRC1".as_slice(), record, b"CRC2"].concat()
    }

    #[test]
    fn lines_end_at_newlines_and_the_last_one_need_not() {
        assert_eq!(split(b"a\nbcd\n", Split::Line, false, 9), good(&[b"a", b"bcd"]));
        assert_eq!(split(b"a\n\nb", Split::Line, false, 9), good(&[b"a", b"", b"b"]));
        assert_eq!(split(b"", Split::Line, false, 9), []);
        let found = split(b"ab\nlong line\ncd", Split::Line, false, 4);
        assert_eq!((&found[0], &found[2]), (&Ok(b"ab".to_vec()), &Ok(b"cd".to_vec())), "only the long line is lost");
        assert!(found[1].as_ref().unwrap_err().contains("larger than MaxPayloadInMB"));
    }

    #[test]
    fn an_object_is_one_record_without_a_split() {
        assert_eq!(split(b"a\nb", Split::None, false, 3), good(&[b"a\nb"]));
        assert_eq!(split(b"", Split::None, false, 3), good(&[b""]));
        assert!(split(b"a\nbc", Split::None, false, 3)[0].is_err());
    }

    #[test]
    fn frames_are_kept_or_taken_off() {
        let object = [record_io(&[(0, b"hello")]), record_io(&[(1, b"ab"), (2, b"c"), (3, b"def")])].concat();
        let magic = RECORD_IO.to_le_bytes();
        let joined = [b"ab".as_slice(), &magic, b"c", &magic, b"def"].concat();
        assert_eq!(split(&object, Split::RecordIO, false, 99), good(&[b"hello", &joined]));
        let whole: Vec<u8> = split(&object, Split::RecordIO, true, 99).into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(whole, object);
        let object = [tf_record(b"one"), tf_record(b"")].concat();
        assert_eq!(split(&object, Split::TFRecord, false, 99), good(&[b"one", b""]));
        assert_eq!(split(&object, Split::TFRecord, true, 99), good(&[&tf_record(b"one"), &tf_record(b"")]));
    }

    #[test]
    fn a_frame_that_is_too_large_is_skipped_and_not_kept() {
        let (long, last) = (record_io(&[(1, b"abc"), (2, b"defgh"), (3, b"i")]), record_io(&[(0, b"last")]));
        let larger = |limit: usize| Err(format!("the record is larger than MaxPayloadInMB, which is {limit} bytes"));
        let object = [long.as_slice(), &last].concat();
        assert_eq!(split(&object, Split::RecordIO, false, 16), [larger(16), Ok(b"last".to_vec())]);
        assert_eq!(split(&object, Split::RecordIO, false, 17).len(), 2);
        assert!(split(&object, Split::RecordIO, false, 17)[0].is_ok());
        assert_eq!(split(&object, Split::RecordIO, true, 39), [larger(39), Ok(last)]);
        let object = [tf_record(b"longer"), tf_record(b"last")].concat();
        assert_eq!(split(&object, Split::TFRecord, false, 5), [larger(5), Ok(b"last".to_vec())]);
        assert_eq!(split(&object, Split::TFRecord, true, 20), [larger(20), Ok(tf_record(b"last"))]);
        // The announced bytes are not there.
        let head = [&(1_u64 << 40).to_le_bytes(), b"CRC1".as_slice(), b"few"].concat();
        assert_eq!(split(&head, Split::TFRecord, false, 5), [Err("the object is not TFRecord".to_owned())]);
    }

    #[test]
    fn a_damaged_frame_ends_the_object() {
        let mut object = record_io(&[(0, b"hello")]);
        object.extend(b"rubbish!");
        let found = split(&object, Split::RecordIO, false, 99);
        assert_eq!((found.len(), found[1].clone()), (2, Err("the object is not RecordIO".to_owned())));
        let mut object = tf_record(b"one");
        object.extend(&[255; 20]);
        assert_eq!(split(&object, Split::TFRecord, false, 99)[1], Err("the object is not TFRecord".to_owned()));
        assert!(split(&object[..10], Split::TFRecord, false, 99)[0].is_err());
        let too_large = split(&tf_record(b"one"), Split::TFRecord, false, 2);
        assert!(too_large.len() == 1 && too_large[0].as_ref().unwrap_err().contains("larger"), "{too_large:?}");
    }
}
