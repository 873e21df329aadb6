/// What a `.npy` file of an array of `uint8` in C order begins with; the array follows.
///
/// NumPy's format, version 1.0 (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>): the magic
/// string, two bytes of version, the length of what follows as a little-endian `u16`, and a Python dictionary, padded
/// with blanks and ended by a line feed so that the array begins at a multiple of 64 bytes.
pub(crate) fn header((rows, columns, channels): (usize, usize, usize)) -> Vec<u8> {
    let mut dictionary =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows}, {columns}, {channels}), }}");
    let before = MAGIC.len() + 2;
    let end = (before + dictionary.len() + 1).next_multiple_of(64);
    while before + dictionary.len() + 1 < end {
        dictionary.push(' ');
    }
    dictionary.push('\n');
    let mut file = Vec::with_capacity(end);
    file.extend(MAGIC);
    // Three numbers and some words: far from the 65535 bytes that version 1.0 allows.
    file.extend((dictionary.len() as u16).to_le_bytes());
    file.extend(dictionary.as_bytes());
    file
}

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_header_that_numpy_writes() {
        let file = header((1024, 5120, 3));
        // numpy.save of such an array, NumPy 2: 118 bytes of dictionary.
        let dictionary = "{'descr': '|u1', 'fortran_order': False, 'shape': (1024, 5120, 3), }";
        assert_eq!(&file[..10], b"\x93NUMPY\x01\x00v\x00");
        assert_eq!(std::str::from_utf8(&file[10..]).unwrap(), format!("{dictionary:<117}\n"));
        for columns in [0, 7, 1024, 17 * 1024, 123_456_789] {
            assert_eq!(header((0, columns, 3)).len() % 64, 0);
        }
    }
}
