//! A check of animated WebP files that the decoder lacks.

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
