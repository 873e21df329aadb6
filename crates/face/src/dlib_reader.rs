//! Reads the bytes that dlib's `serialize` writes (`dlib/serialize.h`).
//!
//! An integer is a control byte and a little-endian magnitude. The low four bits of the control byte are the
//! magnitude's length in bytes, and bit 7 is the sign. A floating-point number is two integers: the mantissa and the
//! exponent of two.

use std::ops::RangeInclusive;

use crate::FaceModelFormatError;

/// The fewest bytes of an integer.
pub(crate) const INTEGER: usize = 2;
/// The fewest bytes of a floating-point number.
pub(crate) const FLOAT: usize = 2 * INTEGER;

/// Reads from front to back. Counts are checked against the bytes that are left before anything is allocated.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn integer(&mut self, what: &'static str) -> Result<i64, FaceModelFormatError> {
        let truncated = FaceModelFormatError::Truncated { what, at: self.bytes.len() };
        let rest = &self.bytes[self.at..];
        let Some((&control, rest)) = rest.split_first() else { return Err(truncated) };
        let length = usize::from(control & 0x0f);
        if control & 0x70 != 0 || !(1..=8).contains(&length) {
            return Err(FaceModelFormatError::NoNumber { what, byte: control, at: self.at });
        }
        let Some(magnitude) = rest.get(..length) else { return Err(truncated) };
        let magnitude = magnitude.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        let Ok(magnitude) = i64::try_from(magnitude) else {
            return Err(FaceModelFormatError::NoNumber { what, byte: control, at: self.at });
        };
        self.at += 1 + length;
        Ok(if control & 0x80 == 0 { magnitude } else { -magnitude })
    }

    /// Reads an integer within limits.
    pub(crate) fn within(
        &mut self,
        what: &'static str,
        limits: RangeInclusive<i64>,
    ) -> Result<i64, FaceModelFormatError> {
        let at = self.at;
        let value = self.integer(what)?;
        if limits.contains(&value) {
            return Ok(value);
        }
        let (low, high) = limits.into_inner();
        let expected = if low == high { low.to_string() } else { format!("{low} to {high}") };
        Err(FaceModelFormatError::Value { what, found: value.to_string(), expected, at })
    }

    /// Reads the number of items that follow, of at least `bytes_each` bytes each.
    pub(crate) fn count(&mut self, what: &'static str, bytes_each: usize) -> Result<usize, FaceModelFormatError> {
        let at = self.at;
        let count = self.integer(what)?;
        let most = (self.bytes.len() - self.at) / bytes_each;
        match usize::try_from(count) {
            Ok(count) if count <= most => Ok(count),
            _ => {
                let expected = format!("at most {most}, for which the rest of the file has room,");
                Err(FaceModelFormatError::Value { what, found: count.to_string(), expected, at })
            }
        }
    }

    /// Reads the number of items that follow, at least one, of at least `bytes_each` bytes each.
    pub(crate) fn some(&mut self, what: &'static str, bytes_each: usize) -> Result<usize, FaceModelFormatError> {
        let at = self.at;
        match self.count(what, bytes_each)? {
            0 => Err(FaceModelFormatError::Value { what, found: "0".into(), expected: "1 or more".into(), at }),
            count => Ok(count),
        }
    }

    /// Reads a number from 0 to 1.
    pub(crate) fn share(&mut self, what: &'static str) -> Result<f64, FaceModelFormatError> {
        let at = self.at;
        let value = self.float(what)?;
        if (0.0..=1.0).contains(&value) {
            return Ok(value);
        }
        Err(FaceModelFormatError::Value { what, found: value.to_string(), expected: "a number from 0 to 1".into(), at })
    }

    /// Reads a finite number within the range of single precision.
    pub(crate) fn float(&mut self, what: &'static str) -> Result<f64, FaceModelFormatError> {
        let at = self.at;
        let (mantissa, exponent) = (self.integer(what)?, self.integer(what)?);
        // Exponents of f64 with a mantissa of 53 bits are -1074 to 971. dlib marks infinities and NaN by 32000 or more.
        let value = match i32::try_from(exponent) {
            Ok(exponent @ -1200..=1100) => {
                // Two steps, since one power of two may be beyond the range of f64 where the product is not.
                let half = exponent / 2;
                mantissa as f64 * 2f64.powi(half) * 2f64.powi(exponent - half)
            }
            _ => f64::NAN,
        };
        if value.abs() <= f64::from(f32::MAX) {
            return Ok(value);
        }
        let found = format!("{mantissa} x 2^{exponent}");
        Err(FaceModelFormatError::Value { what, found, expected: "a finite number of single precision".into(), at })
    }

    /// Reads a column of numbers. dlib writes a `matrix<T,0,1>` as its negated rows and columns, then the values.
    pub(crate) fn column(&mut self, what: &'static str, rows: usize) -> Result<Vec<f64>, FaceModelFormatError> {
        let at = self.at;
        let (found_rows, columns) = (self.integer(what)?, self.integer(what)?);
        if found_rows.unsigned_abs() != rows as u64 || columns.unsigned_abs() != 1 {
            let found = format!("a matrix of {} x {}", found_rows.unsigned_abs(), columns.unsigned_abs());
            return Err(FaceModelFormatError::Value { what, found, expected: format!("{rows} x 1"), at });
        }
        if rows > (self.bytes.len() - self.at) / FLOAT {
            return Err(FaceModelFormatError::Truncated { what, at: self.bytes.len() });
        }
        (0..rows).map(|_| self.float(what)).collect()
    }

    pub(crate) fn at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Fails if bytes are left.
    pub(crate) fn end(&self) -> Result<(), FaceModelFormatError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            extra => Err(FaceModelFormatError::Trailing { extra, at: self.at }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_dlibs_format_are_read() {
        // serialize(0), (-1), (1000), (0.75f) = 12582912 x 2^-24 compacted to 192 x 2^-8, (-8.0) = -1 x 2^3.
        let bytes = [1, 0, 0x81, 1, 2, 0xe8, 3, 1, 192, 0x81, 8, 0x81, 1, 1, 3];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.integer("a").unwrap(), 0);
        assert_eq!(reader.integer("a").unwrap(), -1);
        assert_eq!(reader.integer("a").unwrap(), 1000);
        assert_eq!(reader.float("a").unwrap(), 0.75);
        assert_eq!(reader.float("a").unwrap(), -8.0);
        assert!(reader.at_end());
        reader.end().unwrap();
        assert!(matches!(reader.integer("a"), Err(FaceModelFormatError::Truncated { what: "a", at: 15 })));
    }

    #[test]
    fn invalid_numbers_are_refused() {
        let message = |bytes: &[u8]| Reader::new(bytes).float("the score").unwrap_err().to_string();
        assert_eq!(
            message(b"0.5 "),
            "byte 0 (0x30) does not start a number in dlib's format, where the score is expected"
        );
        assert!(message(&[9, 1]).starts_with("byte 0 (0x09)"));
        assert!(message(&[8, 0, 0, 0, 0, 0, 0, 0, 0x80, 1, 0]).starts_with("byte 0 (0x08)"));
        assert!(message(&[1, 1, 2, 0, 125]).contains("the score is 1 x 2^32000"));
        assert!(message(&[2, 1]).contains("cut short"));
    }

    #[test]
    fn counts_are_checked_against_the_bytes_that_are_left() {
        let bytes = [4, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3];
        let error = Reader::new(&bytes).count("the number of trees", 2).unwrap_err().to_string();
        assert!(error.starts_with("the number of trees is 2147483647 (byte 0): at most 1"), "{error}");
        assert!(Reader::new(&[0x81, 5, 1, 1]).count("the number of trees", 1).is_err());
        assert!(matches!(
            Reader::new(&[0x81, 9, 0x81, 1, 1]).column("w", 9),
            Err(FaceModelFormatError::Truncated { .. })
        ));
    }
}
