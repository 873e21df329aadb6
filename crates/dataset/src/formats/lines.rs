//! The lines of a text file.

use std::io::{self, BufRead};

/// The most bytes of a line. A picture with ten thousand boxes takes one.
pub(crate) const MAX_LINE: usize = 16 << 20;

/// Reads a file line by line into one buffer.
pub(crate) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
}

/// A line, without its end.
pub(crate) enum Line<'a> {
    Text(&'a [u8]),
    /// More than [`MAX_LINE`] bytes. They have been passed over.
    TooLong,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), number: 0 }
    }

    /// The next line and its number, from 1. The byte order mark of a first line is passed over.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        self.line.clear();
        let mut limited = io::Read::take(&mut self.reader, MAX_LINE as u64 + 1);
        if limited.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.len() > MAX_LINE {
            self.pass_over()?;
            return Ok(Some((self.number, Line::TooLong)));
        }
        let mut text = &self.line[..];
        text = text.strip_suffix(b"\n").unwrap_or(text);
        text = text.strip_suffix(b"\r").unwrap_or(text);
        if self.number == 1 {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        Ok(Some((self.number, Line::Text(text))))
    }

    /// Reads on to the end of the line and keeps nothing of it.
    fn pass_over(&mut self) -> io::Result<()> {
        if self.line.ends_with(b"\n") {
            return Ok(());
        }
        loop {
            let read = self.reader.fill_buf()?;
            if read.is_empty() {
                return Ok(());
            }
            match read.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.reader.consume(end + 1);
                    return Ok(());
                }
                None => {
                    let all = read.len();
                    self.reader.consume(all);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::new(text);
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            all.push((number, if let Line::Text(text) = line { Some(text.to_vec()) } else { None }));
        }
        all
    }

    #[test]
    fn ends_of_any_system_are_no_part_of_a_line() {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(lines(b"\xef\xbb\xbfa\r\n\nb"), [(1, text("a")), (2, text("")), (3, text("b"))]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let mut text = vec![b'x'; MAX_LINE + 100_000];
        text.extend(b"\nshort\n");
        assert_eq!(lines(&text), [(1, None), (2, Some(b"short".to_vec()))]);
    }
}
