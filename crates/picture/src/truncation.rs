//! Truncated files, by the structure of their format.

use image::ImageFormat;

/// Whether an encoded picture is complete. Decoders fill missing rows with grey, or do not check.
///
/// Bytes after the end are allowed: cameras write previews, films and padding there.
pub(crate) fn is_whole(format: ImageFormat, bytes: &[u8]) -> bool {
    match format {
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::Png => png(bytes),
        ImageFormat::WebP => webp(bytes),
        _ => None,
    }
    .is_some()
}

/// The position after the EOI marker (ITU-T T.81, B.1.1): segments are skipped by their length, so that the EOI of an
/// embedded thumbnail does not count.
fn jpeg(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    let mut scanned = false;
    loop {
        // Entropy-coded data, or fill bytes, up to the next marker.
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        at += bytes.get(at..)?.iter().position(|&byte| byte != 0xff)?;
        let marker = bytes[at];
        at += 1;
        match marker {
            0xd9 => return scanned.then_some(at),
            // A stuffed zero, TEM, reserved, RST and SOI stand alone.
            0x00..=0xbf | 0xd0..=0xd8 => {}
            _ => {
                scanned |= marker == 0xda;
                let length = bytes.get(at..at + 2)?;
                at += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
            }
        }
    }
}

/// The position after the IEND chunk (PNG 3rd edition, 5.3).
fn png(bytes: &[u8]) -> Option<usize> {
    let mut at = 8usize;
    loop {
        let chunk = bytes.get(at..)?;
        let length = u32::from_be_bytes(*chunk.first_chunk()?);
        // Length, type and checksum are four bytes each.
        at = at.checked_add(usize::try_from(length).ok()?)?.checked_add(12)?;
        if at > bytes.len() {
            return None;
        }
        if chunk.get(4..8)? == b"IEND" {
            return Some(at);
        }
    }
}

/// The position after the RIFF container (RFC 9649, 2.4), every chunk within it.
fn webp(bytes: &[u8]) -> Option<usize> {
    let size = |at: usize| usize::try_from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok();
    let end = size(4)?.checked_add(8)?;
    if end > bytes.len() {
        return None;
    }
    let mut at = 12usize;
    while at + 8 <= end {
        at = at.checked_add(8)?.checked_add(size(at + 4)?)?;
        if at > end {
            return None;
        }
        // Chunks begin at even positions.
        at += at % 2;
    }
    Some(end)
}
