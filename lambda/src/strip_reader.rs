//! A strip, taken apart while it arrives.
//!
//! A strip has its panels side by side, and an encoder takes one panel. Each row is copied once, from the network's buffer to its panel:
//! a copy of a whole strip, which is larger than the nearest caches, takes a tenth of the time of its JPEG files.

use std::ops::Range;

use pipeline::strip;

use crate::answer::{self, AnswerError};

/// The bytes of a row of a panel.
const ROW: usize = strip::PANEL * strip::CHANNELS;
/// The bytes of the pixels of a panel.
pub(crate) const PANEL: usize = strip::PANEL * ROW;
/// By how many bytes an answer with another header may be longer than a strip: far more than the header of any other version or order is.
const LONGER: usize = 64 << 10;

/// The pixels of the panels of a strip: one panel after the other, each of shape `(1024, 1024, 3)`.
#[derive(Debug)]
pub(crate) struct Panels {
    /// The memory may be larger than the panels.
    memory: Vec<u8>,
    count: usize,
}

impl Panels {
    /// The panels of a strip of `ages` ages in this memory, with the pixels of earlier strips.
    fn new(mut memory: Vec<u8>, ages: usize) -> Self {
        let count = 1 + ages;
        memory.resize(memory.len().max(count * PANEL), 0);
        Self { memory, count }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The pixels of a panel; 0 is the aligned original.
    pub(crate) fn panel(&self, number: usize) -> &[u8] {
        assert!(number < self.count, "the strip has {} panels", self.count);
        &self.memory[number * PANEL..][..PANEL]
    }

    /// The memory, with the pixels.
    pub(crate) fn into_memory(self) -> Vec<u8> {
        self.memory
    }

    /// Writes pixels of the strip that begin at this byte of its pixels in C order.
    fn place(&mut self, at: usize, mut pixels: &[u8]) {
        let row_of_strip = self.count * ROW;
        let mut position = at;
        while !pixels.is_empty() {
            let (row, column) = (position / row_of_strip, position % row_of_strip);
            let (panel, within) = (column / ROW, column % ROW);
            let (placed, rest) = pixels.split_at(pixels.len().min(ROW - within));
            self.memory[panel * PANEL + row * ROW + within..][..placed.len()].copy_from_slice(placed);
            position += placed.len();
            pixels = rest;
        }
    }
}

/// An answer of a model server that has arrived.
#[derive(Debug)]
pub(crate) struct Strip {
    pub(crate) panels: Panels,
    /// The strip as clients get it, if the answer is in another order or version of the format.
    pub(crate) rewritten: Option<Vec<u8>>,
}

/// Reads the answer of a model server piece by piece.
#[derive(Debug)]
pub(crate) struct StripReader {
    ages: usize,
    /// The header that a strip begins with, unless a server of another make wrote it.
    header: Vec<u8>,
    panels: Panels,
    /// The number of bytes so far.
    seen: usize,
    /// The bytes, once they are known to begin with another header. No more are kept than a strip may have.
    other: Option<Vec<u8>>,
}

impl StripReader {
    /// Reads the strip of `ages` ages into this memory.
    pub(crate) fn new(memory: Vec<u8>, ages: usize) -> Self {
        let panels = Panels::new(memory, ages);
        Self { ages, header: strip::npy_header(ages), panels, seen: 0, other: None }
    }

    /// Takes the next bytes.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        let most = self.pixels().end + LONGER;
        if let Some(other) = &mut self.other {
            let room = most.saturating_sub(other.len());
            // What is too much is counted.
            other.extend_from_slice(&bytes[..bytes.len().min(room)]);
            self.seen += bytes.len();
            return;
        }
        if let Some(expected) = self.header.get(self.seen..).filter(|expected| !expected.is_empty()) {
            let (of_header, pixels) = bytes.split_at(bytes.len().min(expected.len()));
            if !expected.starts_with(of_header) {
                self.other = Some(self.header[..self.seen].to_vec());
                return self.add(bytes);
            }
            self.seen += of_header.len();
            bytes = pixels;
            if bytes.is_empty() {
                return;
            }
        }
        let Range { start, end } = self.pixels();
        let room = end.saturating_sub(self.seen);
        // What is too much is counted.
        self.panels.place(self.seen - start, &bytes[..bytes.len().min(room)]);
        self.seen += bytes.len();
    }

    /// Where the pixels are in an answer with the expected header.
    fn pixels(&self) -> Range<usize> {
        let start = self.header.len();
        start..start + self.panels.count() * PANEL
    }

    /// The answer is complete. Without a strip, the memory is returned with the error.
    ///
    /// # Errors
    /// [`AnswerError`]: the answer is not the `.npy` of such a strip.
    pub(crate) fn finish(mut self) -> Result<Strip, (AnswerError, Vec<u8>)> {
        match self.read() {
            Ok(rewritten) => Ok(Strip { panels: self.panels, rewritten }),
            Err(error) => Err((error, self.panels.into_memory())),
        }
    }

    /// Returns the strip as clients get it, if that is not the answer.
    fn read(&mut self) -> Result<Option<Vec<u8>>, AnswerError> {
        let Range { start, end } = self.pixels();
        let other = match self.other.take() {
            Some(beginning) if beginning.len() < self.seen => return Err(self.too_long(&beginning)),
            Some(other) => other,
            None if self.seen < start => self.header[..self.seen].to_vec(),
            None if self.seen == end => return Ok(None),
            None => return Err(AnswerError::Length { difference: self.seen.abs_diff(end), less: self.seen < end }),
        };
        let pixels = answer::pixels(&other, self.ages)?;
        self.panels.place(0, &pixels);
        Ok(answer::rewritten(&other, &pixels, self.ages))
    }

    /// Why an answer is refused of which only the beginning was kept.
    fn too_long(&self, beginning: &[u8]) -> AnswerError {
        let rest = self.seen - beginning.len();
        match answer::pixels(beginning, self.ages) {
            Ok(_) => AnswerError::Length { difference: rest, less: false },
            Err(AnswerError::Length { difference, less: false }) => {
                AnswerError::Length { difference: difference + rest, less: false }
            }
            // What was not kept is not missing.
            Err(AnswerError::Length { .. } | AnswerError::HeaderLength(_)) => {
                let other = shape(beginning).and_then(|found| strip::check_shape(&found, self.ages).err());
                let length = || {
                    let expected = self.pixels().end;
                    AnswerError::Npy(format!("it has {} bytes: {expected} would work", self.seen))
                };
                other.map_or_else(length, AnswerError::Shape)
            }
            Err(error) => error,
        }
    }
}

/// The shape that the header of a `.npy` names.
fn shape(npy: &[u8]) -> Option<Vec<usize>> {
    let header = String::from_utf8_lossy(&npy[..npy.len().min(1000)]);
    let (_, rest) = header.split_once("'shape': (")?;
    let (extents, _) = rest.split_once(')')?;
    extents.split(',').map(str::trim).filter(|extent| !extent.is_empty()).map(|extent| extent.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A strip whose neighbouring pixels differ.
    fn npy(ages: usize) -> Vec<u8> {
        let pixels = (0..strip::PANEL * strip::row_bytes(ages)).map(|n| (n % 251) as u8);
        strip::npy_header(ages).into_iter().chain(pixels).collect()
    }

    fn read(npy: &[u8], ages: usize, memory: Vec<u8>, piece: usize) -> Result<Strip, AnswerError> {
        let mut reader = StripReader::new(memory, ages);
        npy.chunks(piece).for_each(|piece| reader.add(piece));
        reader.finish().map_err(|(error, _)| error)
    }

    #[test]
    fn panels_have_their_columns_however_the_bytes_arrive() {
        let npy = npy(1);
        let pixels = &npy[strip::npy_header(1).len()..];
        for piece in [61, ROW + 1, 400_000, npy.len()] {
            let found = read(&npy, 1, vec![9; 5], piece).unwrap();
            assert_eq!((found.panels.count(), found.rewritten), (2, None));
            for number in 0..2 {
                let rows = pixels.chunks(strip::row_bytes(1)).map(|row| &row[number * ROW..][..ROW]);
                let same = found.panels.panel(number).chunks(ROW).eq(rows);
                assert!(same, "panel {number}, in pieces of {piece}");
            }
        }
    }

    #[test]
    fn memory_is_used_again_and_shows_nothing_of_an_earlier_strip() {
        let first = read(&npy(1), 1, Vec::new(), 1 << 16).unwrap().panels.into_memory();
        let address = first.as_ptr();
        let again = read(&npy(0), 0, first, 1 << 16).unwrap().panels;
        assert_eq!(again.panel(0).as_ptr(), address);
        let alone = read(&npy(0), 0, Vec::new(), 1 << 16).unwrap().panels;
        assert!(again.panel(0) == alone.panel(0));
        // The rest of a cut strip would be what was there before.
        let error = read(&npy(1)[..5000], 1, again.into_memory(), 100).unwrap_err();
        assert!(matches!(error, AnswerError::Length { less: true, .. }), "{error}");
    }

    #[test]
    fn a_length_is_refused_as_if_all_bytes_were_kept() {
        let whole = npy(1);
        let header = strip::npy_header(1).len();
        for answer in
            [&whole[..0], &whole[..9], &whole[..header], &whole[..whole.len() - 1], &[&whole[..], b"xy"].concat()]
        {
            let expected = answer::pixels(answer, 1).unwrap_err();
            assert_eq!(read(answer, 1, Vec::new(), 700_000).unwrap_err(), expected);
        }
    }

    #[test]
    fn an_answer_of_another_kind_is_kept_no_further_than_a_strip_may_reach() {
        let mut reader = StripReader::new(Vec::new(), 0);
        let (most, piece) = (reader.pixels().end + LONGER, vec![b'x'; 1 << 20]);
        (0..5).for_each(|_| reader.add(&piece));
        assert_eq!(reader.other.as_ref().map(Vec::len), Some(most));
        let (error, _) = reader.finish().unwrap_err();
        assert!(matches!(error, AnswerError::Kind(_)), "{error}");
    }

    #[test]
    fn what_was_not_kept_of_an_answer_is_not_missing() {
        let refused = |answer: &[u8]| read(answer, 0, Vec::new(), 1 << 20).unwrap_err();
        let found = vec![strip::PANEL, 3 * strip::PANEL, strip::CHANNELS];
        assert_eq!(refused(&npy(2)), AnswerError::Shape(strip::ShapeError { found, ages: 0 }));
        let npy = npy(0);
        let length = u16::from_le_bytes([npy[8], npy[9]]);
        let later = [&npy[..6], &[2, 0], &u32::from(length).to_le_bytes(), &npy[10..]].concat();
        let more = 3 * LONGER;
        let longer = [&later[..], &vec![0_u8; more]].concat();
        assert_eq!(refused(&longer), AnswerError::Length { difference: more, less: false });
        // A header of 4 GB, of which 4 MB have arrived.
        let header = [&npy[..6], &[2, 0, 255, 255, 255, 255], &vec![b' '; 4 << 20]].concat();
        assert!(matches!(refused(&header), AnswerError::Npy(_)));
    }

    #[test]
    fn another_header_is_read_by_its_words() {
        let npy = npy(1);
        let length = u16::from_le_bytes([npy[8], npy[9]]);
        let later = [&npy[..6], &[2, 0], &u32::from(length).to_le_bytes(), &npy[10..]].concat();
        for piece in [1 << 20, 50] {
            let found = read(&later, 1, Vec::new(), piece).unwrap();
            assert!(found.rewritten.is_some_and(|rewritten| rewritten == npy));
            assert_eq!(found.panels.panel(1)[..3], npy[npy.len() - strip::PANEL * strip::row_bytes(1) + ROW..][..3]);
        }
    }
}
