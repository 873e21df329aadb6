//! A user's photograph, decoded.

use std::path::Path;

use anyhow::Context;
use picture::RgbImage;
use pipeline::ForeignType;

use crate::escape::Shown;

/// Decodes a photograph. An error names the file, and the format if it is a known one that cannot be read.
pub(crate) fn decoded(bytes: &[u8], file: &Path) -> anyhow::Result<RgbImage> {
    let decoded = match ForeignType::sniff(bytes) {
        Some(foreign) => Err(foreign.into()),
        None => picture::decode(bytes).map_err(anyhow::Error::from),
    };
    decoded.with_context(|| format!("the photo {}", file.shown()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_cannot_be_read_is_named_with_the_file() {
        let error = decoded(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Path::new("IMG_0001.HEIC")).unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("IMG_0001.HEIC: this is a HEIC picture"), "{message}");
        let message = format!("{:#}", decoded(b"hello", Path::new("notes.txt")).unwrap_err());
        assert!(message.contains("notes.txt: this is not a JPEG, PNG or WebP picture"), "{message}");
    }
}
