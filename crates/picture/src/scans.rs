//! JPEG files without their end marker.
//!
//! Decoders fill missing rows with grey, or do not check. A file that lacks its end is whole if it loses nothing by that: every
//! scan that its pixels need is there, and the last one has its last block. The first is counted here. The second is the
//! decoder's to find out, from a file that ends behind its last scan.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// The bits that the coefficients of a component still lack: 255 before the first scan, 0 once they are exact.
type Lacking = [u8; 64];

/// A JPEG up to its end.
pub(crate) enum End<'a> {
    /// The end marker is there.
    Marked,
    /// There is none, and the scans are complete: the file up to the last scan's end, with an end marker.
    Mended(Cow<'a, [u8]>),
    /// There is none, and scans are missing.
    Missing,
}

/// Finds the end of a JPEG (ITU-T T.81, B.1.1). Segments are skipped by their length, so that the end of an embedded thumbnail
/// does not count. Bytes behind the end are allowed: cameras write previews, films and padding there.
pub(crate) fn end(bytes: &[u8]) -> End<'_> {
    let mut lacking = BTreeMap::<u8, Lacking>::new();
    let mut exact = false;
    let mut scanned = false;
    let mut at = 2;
    // Behind the pixels, only what can stand between two scans continues the picture. Other bytes are in place of its end.
    let last = loop {
        let Some(found) = position(bytes, at, |byte| byte == 0xff) else { break bytes.len() };
        let Some(code) = position(bytes, found, |byte| byte != 0xff) else { break found };
        let marker = bytes[code];
        at = code + 1;
        match marker {
            0xd9 if scanned => return End::Marked,
            // An end in front of the pixels is none. A stuffed zero and RST stand within the pixels.
            0x00 | 0xd0..=0xd7 => continue,
            0x01..=0xbf | 0xd8 | 0xd9 if scanned => break found,
            // A second frame is none of this picture.
            0xc0..=0xc3 | 0xc5..=0xcb | 0xcd..=0xcf if scanned => break found,
            0x01..=0xbf | 0xd8 | 0xd9 => continue,
            _ => {}
        }
        let length = bytes.get(at..at + 2).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        let Some(segment) = length.and_then(|length| bytes.get(at + 2..at + length.max(2))) else {
            if scanned {
                break found;
            }
            return End::Missing;
        };
        match marker {
            // Arithmetic coding goes on without data, so that nobody can say where it ended (D.1.1).
            0xc9..=0xcb | 0xcd..=0xcf => exact = false,
            0xc0..=0xc2 => {
                exact = true;
                let components = segment.get(6..).unwrap_or_default().chunks_exact(3);
                lacking = components.map(|component| (component[0], [255; 64])).collect();
            }
            0xda => {
                scanned = true;
                note(segment, &mut lacking);
            }
            _ => {}
        }
        at += 2 + segment.len();
    };
    let complete = exact && scanned && lacking.values().flatten().all(|&bits| bits == 0);
    if complete { End::Mended(mended(&bytes[..last])) } else { End::Missing }
}

fn position(bytes: &[u8], from: usize, is: impl Fn(u8) -> bool) -> Option<usize> {
    Some(from + bytes.get(from..)?.iter().position(|&byte| is(byte))?)
}

/// Notes what a scan brings: its components, its band of coefficients, and the bits that it leaves to later scans (B.2.3). A
/// sequential scan brings all coefficients whole.
fn note(scan: &[u8], lacking: &mut BTreeMap<u8, Lacking>) {
    let count = scan.first().map_or(0, |&count| usize::from(count));
    let (Some(components), Some(&[first, last, bits])) =
        (scan.get(1..1 + 2 * count), scan.get(1 + 2 * count..).and_then(|band| band.first_chunk()))
    else {
        return;
    };
    for component in components.chunks_exact(2) {
        if let Some(band) = lacking.get_mut(&component[0]).and_then(|all| all.get_mut(first.into()..=last.into())) {
            band.fill(bits & 0x0f);
        }
    }
}

/// A file with an end marker behind its last scan. Zeros in front of it are no pixels: storage that was reserved and never
/// written is zero, and the padding of a scan's last byte is ones. A zero that is stuffed behind 0xff stays, and so does a single
/// one.
fn mended(bytes: &[u8]) -> Cow<'_, [u8]> {
    let zeros = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
    let data = bytes.len() - zeros;
    let kept = match bytes[..data].last() {
        // Half of the end marker.
        Some(0xff) if zeros == 0 => &bytes[..data - 1],
        Some(0xff) => &bytes[..=data],
        _ if zeros == 1 => bytes,
        _ => &bytes[..data],
    };
    Cow::Owned([kept, &[0xff, 0xd9]].concat())
}
