//! The model server's answer, read as a strip.
//!
//! A server of another make may write the `.npy` of a strip in Fortran order, or in version 2 or 3 of the format. Both are read.

use std::borrow::Cow;

use ndarray::{ArrayViewD, Ix3};
use ndarray_npy::{ViewNpyError, ViewNpyExt};
use pipeline::{ForeignType, ImageType, strip};

/// The first bytes of a `.npy`.
const MAGIC: &[u8] = b"\x93NUMPY";
/// The most characters of an answer in words that a message quotes.
const QUOTED: usize = 80;

/// Why an answer is not a strip.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It is another kind of file.
    #[error("it is {0}: a .npy of uint8 would work")]
    Kind(String),
    /// The header cannot be read.
    #[error("its header as a .npy cannot be read: {0}")]
    Header(String),
    /// The `.npy` ends within its header.
    #[error("it announces a header of {0} bytes, more than it has")]
    HeaderLength(u32),
    /// The elements are not bytes.
    #[error("it is a .npy with elements of the type {0}: uint8, which is '|u1', would work")]
    Elements(String),
    /// It is shorter or longer than its header says.
    #[error("it is a .npy whose data has {difference} bytes {} than its header says", if *less { "less" } else { "more" })]
    Length {
        /// The bytes that are missing, or too many.
        difference: usize,
        /// Whether they are missing.
        less: bool,
    },
    /// Any other reason of the reader's.
    #[error("it cannot be read as a .npy: {0}")]
    Npy(String),
    /// The panels have another number or size than the job's.
    #[error(transparent)]
    Shape(#[from] strip::ShapeError),
}

/// The pixels of a strip, shape `(1024, 1024 * (1 + ages), 3)` in C order: in place if the answer has them so.
///
/// # Errors
/// [`AnswerError`]: the answer is not the `.npy` of such a strip.
pub(crate) fn pixels(answer: &[u8], ages: usize) -> Result<Cow<'_, [u8]>, AnswerError> {
    if !answer.starts_with(MAGIC) {
        return Err(AnswerError::Kind(kind(answer)));
    }
    // Since version 2, four bytes hold the header's length, and `view_npy` would reserve that much memory before it reads the header.
    if let [2..=255, _, a, b, c, d, rest @ ..] = &answer[MAGIC.len()..] {
        let header = u32::from_le_bytes([*a, *b, *c, *d]);
        if usize::try_from(header).is_ok_and(|header| header > rest.len()) {
            return Err(AnswerError::HeaderLength(header));
        }
    }
    let array = ArrayViewD::<u8>::view_npy(answer).map_err(|error| match error {
        // Its message repeats that of its source, whose type is private.
        ViewNpyError::ParseHeader(error) => AnswerError::Header(error.to_string().chars().take(2 * QUOTED).collect()),
        ViewNpyError::WrongDescriptor(found) => AnswerError::Elements(found.to_string().chars().take(QUOTED).collect()),
        ViewNpyError::MissingBytes(difference) => AnswerError::Length { difference, less: true },
        ViewNpyError::ExtraBytes(difference) => AnswerError::Length { difference, less: false },
        other => AnswerError::Npy(other.to_string()),
    })?;
    strip::check_shape(array.shape(), ages)?;
    match array.to_slice() {
        Some(pixels) => Ok(Cow::Borrowed(pixels)),
        None => {
            let array = array.into_dimensionality::<Ix3>().expect("a strip's shape has three extents");
            Ok(Cow::Owned(array.iter().copied().collect()))
        }
    }
}

/// The strip as clients get it: version 1 of the format, in C order. `None`: the answer, from which [`pixels`] were read, is so.
#[expect(clippy::ptr_arg, reason = "it matters whether the pixels are borrowed")]
pub(crate) fn rewritten(answer: &[u8], pixels: &Cow<'_, [u8]>, ages: usize) -> Option<Vec<u8>> {
    let first_version = answer.get(MAGIC.len()) == Some(&1);
    (!first_version || matches!(pixels, Cow::Owned(_))).then(|| [&strip::npy_header(ages)[..], pixels].concat())
}

/// What a file is by its first bytes.
fn kind(bytes: &[u8]) -> String {
    let known = match bytes {
        [] => "empty",
        [b'P', b'K', 3, 4, ..] => "a zip archive, such as a .npz",
        [0x1f, 0x8b, ..] => "compressed by gzip",
        [0x80, 2..=5, ..] => "a Python pickle",
        [b'P', b'A', b'R', b'1', ..] => "a Parquet file",
        _ => match ImageType::sniff(bytes) {
            Some(ImageType::Jpeg) => "a JPEG picture",
            Some(ImageType::Png) => "a PNG picture",
            Some(ImageType::WebP) => "a WebP picture",
            None => match ForeignType::sniff(bytes) {
                Some(foreign) => foreign.name(),
                None => return words(bytes),
            },
        },
    };
    known.to_owned()
}

/// What a file without a signature is: words, or bytes.
fn words(bytes: &[u8]) -> String {
    // A cut character at the end is not the text's fault.
    let head = &bytes[..bytes.len().min(4 * QUOTED)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or(""),
        Err(_) => "",
    };
    if text.is_empty() || text.contains(|character: char| character.is_control() && !character.is_whitespace()) {
        return format!("of an unknown kind, with the first bytes {:02x?}", &bytes[..bytes.len().min(8)]);
    }
    let kind = match text.trim_start().as_bytes() {
        [b'{' | b'[', ..] => "JSON",
        [b'<', ..] => "HTML or XML",
        _ => "text",
    };
    let quoted: String = text.trim().chars().take(QUOTED).collect();
    format!("{kind} that begins with {quoted:?}")
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, Array3, Array4, ShapeBuilder};
    use ndarray_npy::WriteNpyExt;

    use super::*;
    use crate::error::chain;

    fn npy<D: ndarray::Dimension, T: ndarray_npy::WritableElement>(array: &Array<T, D>) -> Vec<u8> {
        let mut bytes = Vec::new();
        array.write_npy(&mut bytes).unwrap();
        bytes
    }

    /// A strip of one age whose pixels are all different within a panel's row and column.
    fn strip_in(order: bool) -> Array3<u8> {
        let value = |(row, column, channel): (usize, usize, usize)| (row * 7 + column * 3 + channel * 101) as u8;
        Array3::from_shape_fn(strip::shape(1).set_f(order), value)
    }

    /// A `.npy` with the header of a later version: four bytes for its length.
    fn later(version: u8, npy: &[u8]) -> Vec<u8> {
        let length = u16::from_le_bytes([npy[8], npy[9]]);
        [MAGIC, &[version, 0], &u32::from(length).to_le_bytes(), &npy[10..]].concat()
    }

    fn message(answer: &[u8]) -> String {
        chain(&pixels(answer, 1).unwrap_err())
    }

    #[test]
    fn c_order_is_read_in_place() {
        let array = strip_in(false);
        let answer = npy(&array);
        let pixels = pixels(&answer, 1).unwrap();
        assert!(matches!(pixels, Cow::Borrowed(_)) && &*pixels == array.as_slice().unwrap());
        assert_eq!(rewritten(&answer, &pixels, 1), None);
    }

    #[test]
    fn fortran_order_and_later_versions_become_c_order_and_version_1() {
        let (c, fortran) = (npy(&strip_in(false)), npy(&strip_in(true)));
        assert!(fortran.windows(21).take(200).any(|bytes| bytes == b"'fortran_order': True"), "the input is not in it");
        for answer in [fortran.clone(), later(2, &c), later(3, &c), later(2, &fortran), later(3, &fortran)] {
            let pixels = pixels(&answer, 1).unwrap();
            assert!(&*pixels == strip_in(false).as_slice().unwrap());
            let written = rewritten(&answer, &pixels, 1).unwrap();
            assert!(written.starts_with(&strip::npy_header(1)) && written.ends_with(&pixels));
        }
    }

    #[test]
    fn other_arrays_are_named() {
        let batch = Array4::<u8>::zeros((1, 1024, 2048, 3));
        assert_eq!(
            message(&npy(&batch)),
            "the strip has the shape [1, 1024, 2048, 3], but 1 ages make (1024, 2048, 3)"
        );
        let floats = message(&npy(&Array3::<f32>::zeros((2, 2, 3))));
        assert_eq!(floats, "it is a .npy with elements of the type '<f4': uint8, which is '|u1', would work");
        let whole = npy(&strip_in(false));
        assert_eq!(message(&whole[..whole.len() - 9]), "it is a .npy whose data has 9 bytes less than its header says");
        assert_eq!(
            message(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}"),
            "it announces a header of 4294967295 bytes, more than it has"
        );
        assert_eq!(
            message(b"\x93NUMPY\x09\x00\x02\x00\x00\x00{}"),
            "its header as a .npy cannot be read: unknown version number: 9.0"
        );
    }

    #[test]
    fn other_kinds_of_files_are_named() {
        for (answer, named) in [
            (&b""[..], "empty"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG picture"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture"),
            (b"GIF89a\x01\0\x01\0", "a GIF picture"),
            (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "an AVIF picture"),
            (b"PK\x03\x04\x14\0", "a zip archive, such as a .npz"),
            (b"\x80\x04\x95", "a Python pickle"),
            (b" {\"boxes\": []}", "JSON that begins with \"{\\\"boxes\\\": []}\""),
            (b"<!DOCTYPE html>", "HTML or XML that begins with \"<!DOCTYPE html>\""),
            ("é".repeat(200).as_bytes(), &format!("text that begins with \"{}\"", "é".repeat(80))),
            (b"\x1b[2Jhello", "of an unknown kind, with the first bytes [1b, 5b, 32, 4a, 68, 65, 6c, 6c]"),
            (b"\x93NUMP", "of an unknown kind, with the first bytes [93, 4e, 55, 4d, 50]"),
        ] {
            assert_eq!(message(answer), format!("it is {named}: a .npy of uint8 would work"));
        }
    }
}
