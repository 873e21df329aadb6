//! WebP files: whether they are whole, and a check of animations that the decoder lacks.

use std::borrow::Cow;

/// The flags of an extended file that announce its metadata (RFC 9649, 2.7).
const FLAGS: [(&[u8; 4], u8); 2] = [(b"EXIF", 0x08), (b"XMP ", 0x04)];

/// A WebP file from its RIFF container (RFC 9649, 2.4). Bytes behind the container are allowed.
///
/// A file that breaks off behind its pixels, within its metadata or in front of its padding, is mended: the cut chunks are taken
/// out. `None`: pixels are missing.
pub(crate) fn whole(webp: &[u8]) -> Option<Cow<'_, [u8]>> {
    let size = |at: usize| usize::try_from(u32::from_le_bytes(*webp.get(at..)?.first_chunk()?)).ok();
    let end = size(4)?.checked_add(8)?;
    let mut at = 12usize;
    let mut pixels = false;
    let mut names = Vec::new();
    while at.checked_add(8)? <= end {
        let Some(next) = size(at + 4).and_then(|size| at.checked_add(8)?.checked_add(size)) else { break };
        if next > end.min(webp.len()) {
            break;
        }
        names.push(&webp[at..at + 4]);
        pixels |= matches!(&webp[at..at + 4], b"VP8 " | b"VP8L" | b"ANMF");
        // Chunks begin at even positions.
        at = next + next % 2;
    }
    if at.checked_add(8)? > end && end <= webp.len() {
        return Some(Cow::Borrowed(webp));
    }
    if !pixels {
        return None;
    }
    let mut mended = webp[..at.min(webp.len())].to_vec();
    mended.resize(at, 0);
    mended[4..8].copy_from_slice(&u32::try_from(at - 8).ok()?.to_le_bytes());
    if names[0] == b"VP8X" {
        for (name, flag) in FLAGS {
            if !names.contains(&&name[..]) {
                *mended.get_mut(20)? &= !flag;
            }
        }
    }
    Some(Cow::Owned(mended))
}

/// Whether the first frame of an animated WebP with transparency has the size that its frame header gives (RFC 9649, 2.7.1.1).
/// The decoder panics on any other size. All other files pass.
pub(crate) fn first_frame_fits(webp: &[u8]) -> bool {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte));
    let chunk = |bytes: &'_ [u8], at: usize| {
        let (head, rest) = bytes.get(at..)?.split_at_checked(8)?;
        let size = number(&head[4..]);
        Some((
            <[u8; 4]>::try_from(&head[..4]).ok()?,
            rest.len().min(size),
            at.checked_add(8)?.checked_add(size + size % 2)?,
        ))
    };
    let mut at = 12;
    while let Some((name, size, next)) = chunk(webp, at) {
        if name == *b"ANMF" {
            let frame = &webp[at + 8..][..size];
            let Some((_, _, opaque)) = chunk(frame, 16).filter(|(name, ..)| name == b"ALPH") else { return true };
            // The tag of a key frame, its start code, and both extents in 14 bits each.
            let Some(extents) = frame.get(opaque..).and_then(|chunk| chunk.get(8 + 6..8 + 10)) else { return true };
            let extent = |bytes: &[u8]| number(bytes) & 0x3fff;
            return (extent(&extents[..2]), extent(&extents[2..]))
                == (number(&frame[6..9]) + 1, number(&frame[9..12]) + 1);
        }
        at = next;
    }
    true
}
