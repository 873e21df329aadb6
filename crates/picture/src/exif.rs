//! The orientation of a photograph, as its camera wrote it.

use image::metadata::Orientation;

const TAG: u16 = 0x0112;
/// The most entries of a directory that are looked at. Cameras write about twenty.
const MAX_ENTRIES: usize = 1024;

/// The orientation in an EXIF block (TIFF 6.0, section 2). `None`: it has none, or none of 1 to 8.
///
/// EXIF says `SHORT`. Some cameras write another integer type, or more than one value, of which the first counts. WebP and
/// PNG writers sometimes leave JPEG's prefix in front.
pub(crate) fn orientation(exif: &[u8]) -> Option<Orientation> {
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let big = match tiff.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let number = |at: usize, size: usize| -> Option<u32> {
        let bytes = tiff.get(at..at.checked_add(size)?)?;
        let join = |number: u32, byte: &u8| number << 8 | u32::from(*byte);
        Some(if big { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) })
    };
    let directory = number(4, 4)? as usize;
    let entries = (number(directory, 2)? as usize).min(MAX_ENTRIES);
    (0..entries).find_map(|n| {
        let entry = directory.checked_add(2 + 12 * n)?;
        if number(entry, 2)? != u32::from(TAG) {
            return None;
        }
        // BYTE and SBYTE, SHORT and SSHORT, LONG and SLONG.
        let size = match number(entry + 2, 2)? {
            1 | 6 => 1,
            3 | 8 => 2,
            4 | 9 => 4,
            _ => return None,
        };
        let count = number(entry + 4, 4)? as usize;
        // Up to four bytes are in the entry itself.
        let place = if count.checked_mul(size)? <= 4 { entry + 8 } else { number(entry + 8, 4)? as usize };
        let value = if count == 0 { return None } else { number(place, size)? };
        Orientation::from_exif(u8::try_from(value).ok()?)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An EXIF block whose second entry is the orientation.
    pub(crate) fn block(big: bool, kind: u16, count: u32, orientation: u32) -> Vec<u8> {
        let size = match kind {
            1 | 6 => 1,
            3 | 8 => 2,
            _ => 4,
        };
        let bytes = |number: u32, size: usize| {
            let bytes = number.to_be_bytes()[4 - size..].to_vec();
            if big { bytes } else { bytes.into_iter().rev().collect() }
        };
        let mut block = if big { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        block.extend(bytes(8, 4));
        block.extend(bytes(2, 2));
        // The width, which comes first.
        block.extend([bytes(0x0100, 2), bytes(4, 2), bytes(1, 4), bytes(6, 4)].concat());
        block.extend([bytes(0x0112, 2), bytes(u32::from(kind), 2), bytes(count, 4)].concat());
        let mut values = bytes(orientation, size);
        values.resize((count as usize * size).max(4), 0);
        if values.len() > 4 {
            // Behind the directory's end.
            block.extend(bytes(8 + 2 + 24 + 4, 4));
        } else {
            block.append(&mut values);
        }
        block.extend([0; 4]);
        block.append(&mut values);
        block
    }

    pub(crate) const KINDS: [u16; 6] = [1, 3, 4, 6, 8, 9];

    #[test]
    fn every_integer_type_in_both_byte_orders() {
        for big in [false, true] {
            for kind in KINDS {
                for count in [1, 2, 5] {
                    for value in 1..=8 {
                        let block = block(big, kind, count, u32::from(value));
                        let case = format!("big-endian {big}, type {kind}, {count} values, {value}");
                        assert_eq!(orientation(&block), Orientation::from_exif(value), "{case}");
                        let prefixed = [&b"Exif\0\0"[..], &block].concat();
                        assert_eq!(orientation(&prefixed), Orientation::from_exif(value), "{case}, prefixed");
                        for cut in 0..block.len() - 4 {
                            let found = orientation(&block[..cut]);
                            assert!(found.is_none() || found == Orientation::from_exif(value), "{case} at {cut}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_orientation_is_none() {
        for (kind, count, value) in [(3, 1, 0), (3, 1, 9), (4, 1, 0x106), (3, 0, 6), (5, 1, 6), (2, 1, 6), (11, 1, 6)] {
            assert_eq!(orientation(&block(false, kind, count, value)), None, "{kind} {count} {value}");
        }
        for bytes in [&b""[..], b"II*\0", b"MM\0*\xff\xff\xff\xff", b"Exif\0\0", b"II*\0\x08\0\0\0\xff\xff"] {
            assert_eq!(orientation(bytes), None);
        }
    }
}
