//! The strip: every panel of a result side by side, in one `.npy`.
//!
//! NumPy format version 1.0, `uint8`, C order, shape `(1024, 1024 * (1 + ages), 3)`, RGB; panels from left to right:
//! the aligned original, then each age.

use std::ops::Range;

/// Width and height of a panel, in pixels.
pub const PANEL: usize = 1024;
/// Red, green, blue.
pub const CHANNELS: usize = 3;
/// The media type of a `.npy`.
pub const MEDIA_TYPE: &str = "application/x-npy";

/// The shape of a strip with this number of ages: rows, columns, channels.
pub fn shape(ages: usize) -> (usize, usize, usize) {
    (PANEL, PANEL * (1 + ages), CHANNELS)
}

/// The columns of panel `n`; 0 is the aligned original.
pub fn columns(n: usize) -> Range<usize> {
    n * PANEL..(n + 1) * PANEL
}

/// The bytes of one row of a strip with this number of ages.
pub fn row_bytes(ages: usize) -> usize {
    PANEL * (1 + ages) * CHANNELS
}

/// The header of the `.npy` file of a strip. The pixels follow it directly, so that they need not be copied.
///
/// NumPy's format, version 1.0 (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>): the magic
/// string, two bytes of version, the length of the rest as a little-endian `u16`, and a Python dictionary. The dictionary is
/// padded with blanks and ended by a line feed, so that the array begins at a multiple of 64 bytes.
pub fn npy_header(ages: usize) -> Vec<u8> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let (rows, columns, channels) = shape(ages);
    let mut dictionary =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows}, {columns}, {channels}), }}");
    let before = MAGIC.len() + 2;
    let end = (before + dictionary.len() + 1).next_multiple_of(64);
    while before + dictionary.len() + 1 < end {
        dictionary.push(' ');
    }
    dictionary.push('\n');
    let mut header = Vec::with_capacity(end);
    header.extend(MAGIC);
    // Three numbers and some words: far from the 65535 bytes that version 1.0 allows.
    header.extend((dictionary.len() as u16).to_le_bytes());
    header.extend(dictionary.as_bytes());
    header
}

/// The engine that a media type names, as containers of an earlier version wrote it: `application/x-npy; model=sam`.
pub fn model(media_type: &str) -> Option<&str> {
    let parameter = |part: &'_ str| part.trim().strip_prefix("model=").map(str::len);
    media_type.split(';').skip(1).find_map(|part| {
        let length = parameter(part)?;
        let name = part.trim();
        (length > 0).then(|| name[name.len() - length..].trim_matches('"'))
    })
}

/// Why an array is not a strip of a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the strip has the shape {found:?}, but {ages} ages make {expected:?}", expected = shape(*ages))]
pub struct ShapeError {
    /// The array's shape.
    pub found: Vec<usize>,
    /// The ages the job asked for.
    pub ages: usize,
}

/// Checks the shape of an array against the ages of a job.
///
/// # Errors
/// [`ShapeError`] where they differ.
pub fn check_shape(found: &[usize], ages: usize) -> Result<(), ShapeError> {
    let (rows, columns, channels) = shape(ages);
    if found == [rows, columns, channels] { Ok(()) } else { Err(ShapeError { found: found.to_vec(), ages }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometry() {
        assert_eq!(shape(4), (1024, 5120, 3));
        assert_eq!(columns(0), 0..1024);
        assert_eq!(columns(4).end, shape(4).1);
        assert_eq!(row_bytes(4), 15360);
        assert!(check_shape(&[1024, 5120, 3], 4).is_ok());
        let error = check_shape(&[1024, 1024, 3], 4).unwrap_err();
        assert_eq!(error.to_string(), "the strip has the shape [1024, 1024, 3], but 4 ages make (1024, 5120, 3)");
    }

    #[test]
    fn the_npy_header_is_the_one_that_numpy_writes() {
        let header = npy_header(4);
        // numpy.save of such an array, NumPy 2: 118 bytes of dictionary.
        let dictionary = "{'descr': '|u1', 'fortran_order': False, 'shape': (1024, 5120, 3), }";
        assert_eq!(&header[..10], b"\x93NUMPY\x01\x00v\x00");
        assert_eq!(std::str::from_utf8(&header[10..]).unwrap(), format!("{dictionary:<117}\n"));
        for ages in [0, 1, 16, 120, 120_562] {
            assert_eq!(npy_header(ages).len() % 64, 0);
        }
    }

    #[test]
    fn names_the_model() {
        assert_eq!(model("application/x-npy; model=preview"), Some("preview"));
        assert_eq!(model("image/png; q=1; model=\"sam\""), Some("sam"));
        assert_eq!(model("application/x-npy"), None);
        assert_eq!(model("application/x-npy; model="), None);
    }
}
