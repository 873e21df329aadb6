//! The Python classes and functions that a pickle names, found without running it. Python's `pickletools` documents the opcodes.

use std::collections::HashMap;
use std::io::{self, Read};

/// The longest line or name of a pickle, in bytes.
const MAX_NAME: u64 = 1 << 12;

/// The classes and functions that a pickle names, as `module.name`, repetitions included.
pub(super) struct Globals {
    /// The names that appear in the pickle.
    pub(super) named: Vec<String>,
    /// Whether the pickle also has names that only running it would reveal.
    pub(super) hidden: bool,
}

/// Reads one pickle to its end, and lowers `limit` by its length.
///
/// # Errors
/// The data is no pickle, is truncated, or is longer than `limit` bytes.
pub(super) fn globals(pickle: &mut impl Read, limit: &mut u64) -> io::Result<Globals> {
    let mut bytes = Bytes { pickle, limit };
    let mut globals = Globals { named: Vec::new(), hidden: false };
    // STACK_GLOBAL takes its names from the stack, where they may come from the memo.
    let mut memo: HashMap<u32, Option<String>> = HashMap::new();
    let mut top: [Option<String>; 2] = [None, None];
    loop {
        let mut pushed = None;
        match bytes.byte()? {
            b'.' => return Ok(globals),
            // GLOBAL and INST: two lines.
            b'c' | b'i' => {
                let module = bytes.line()?;
                globals.named.push(format!("{module}.{}", bytes.line()?));
            }
            // STACK_GLOBAL.
            0x93 => match (&top[0], &top[1]) {
                (Some(module), Some(name)) => globals.named.push(format!("{module}.{name}")),
                _ => globals.hidden = true,
            },
            // EXT1, EXT2, EXT4: indices of the reader's registry.
            code @ 0x82..=0x84 => {
                bytes.skip([1, 2, 4][usize::from(code - 0x82)])?;
                globals.hidden = true;
            }
            // Strings: lines, and with a length prefix.
            b'V' => pushed = Some(bytes.line()?),
            b'X' => pushed = bytes.counted(4)?,
            0x8c => pushed = bytes.counted(1)?,
            0x8d => pushed = bytes.counted(8)?,
            // Memo: GET, BINGET, LONG_BINGET push what PUT, BINPUT, LONG_BINPUT, MEMOIZE have noted.
            b'g' => pushed = memo.get(&bytes.line_number()?).cloned().flatten(),
            b'h' => pushed = memo.get(&bytes.number(1)?).cloned().flatten(),
            b'j' => pushed = memo.get(&bytes.number(4)?).cloned().flatten(),
            code @ (b'p' | b'q' | b'r' | 0x94) => {
                let key = match code {
                    b'p' => bytes.line_number()?,
                    b'q' => bytes.number(1)?,
                    b'r' => bytes.number(4)?,
                    _ => memo.len() as u32,
                };
                memo.insert(key, top[1].clone());
                continue;
            }
            // PROTO and FRAME change nothing.
            0x80 => {
                bytes.skip(1)?;
                continue;
            }
            0x95 => {
                bytes.skip(8)?;
                continue;
            }
            // Other lines: INT, LONG, FLOAT, STRING, PERSID.
            b'I' | b'L' | b'F' | b'S' | b'P' => drop(bytes.line()?),
            // Numbers.
            b'K' => bytes.skip(1)?,
            b'M' => bytes.skip(2)?,
            b'J' => bytes.skip(4)?,
            b'G' => bytes.skip(8)?,
            // Long numbers and bytes, with a length prefix.
            0x8a | b'U' | b'C' => bytes.skip_counted(1)?,
            0x8b | b'T' | b'B' => bytes.skip_counted(4)?,
            0x8e | 0x96 => bytes.skip_counted(8)?,
            // Opcodes without an argument.
            b'('
            | b'0'
            | b'1'
            | b'2'
            | b'N'
            | b'R'
            | b'b'
            | b'd'
            | b'l'
            | b't'
            | b's'
            | b'a'
            | b'o'
            | b')'
            | b']'
            | b'}'
            | b'e'
            | b'u'
            | b'Q'
            | 0x81
            | 0x85..=0x89
            | 0x8f..=0x92
            | 0x97
            | 0x98 => (),
            other => return Err(invalid(format!("{other:#04x} is no opcode of a pickle"))),
        }
        top = [top[1].take(), pushed];
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

struct Bytes<'a, R> {
    pickle: &'a mut R,
    limit: &'a mut u64,
}

impl<R: Read> Bytes<'_, R> {
    fn take(&mut self, count: u64) -> io::Result<()> {
        *self.limit = self.limit.checked_sub(count).ok_or_else(|| invalid("the pickle is too long".to_owned()))?;
        Ok(())
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.take(1)?;
        let mut byte = [0];
        self.pickle.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn length(&mut self, bytes: usize) -> io::Result<u64> {
        self.take(bytes as u64)?;
        let mut number = [0; 8];
        self.pickle.read_exact(&mut number[..bytes])?;
        Ok(u64::from_le_bytes(number))
    }

    fn number(&mut self, bytes: usize) -> io::Result<u32> {
        u32::try_from(self.length(bytes)?).map_err(|_| invalid("a number of the memo is too large".to_owned()))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
                _ if line.len() as u64 == MAX_NAME => {
                    return Err(invalid("a line of the pickle is too long".to_owned()));
                }
                byte => line.push(byte),
            }
        }
    }

    fn line_number(&mut self) -> io::Result<u32> {
        let line = self.line()?;
        line.trim().parse().map_err(|_| invalid(format!("{line:?} is no number of the memo")))
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        self.take(count)?;
        if io::copy(&mut self.pickle.by_ref().take(count), &mut io::sink())? < count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn skip_counted(&mut self, bytes: usize) -> io::Result<()> {
        let count = self.length(bytes)?;
        self.skip(count)
    }

    /// A string, if it is short enough to be a name.
    fn counted(&mut self, bytes: usize) -> io::Result<Option<String>> {
        let count = self.length(bytes)?;
        if count > MAX_NAME {
            self.skip(count)?;
            return Ok(None);
        }
        self.take(count)?;
        let mut text = vec![0; count as usize];
        self.pickle.read_exact(&mut text)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pickle: &[u8]) -> (Vec<String>, bool) {
        let Globals { named, hidden } = globals(&mut &*pickle, &mut 1000).unwrap();
        (named, hidden)
    }

    #[test]
    fn names_in_every_spelling() {
        let system = (vec!["os.system".to_owned()], false);
        assert_eq!(named(b"cos\nsystem\n(S'ls'\ntR."), system);
        assert_eq!(named(b"(S'ls'\nios\nsystem\n."), system);
        assert_eq!(named(b"\x80\x04\x95\x05\0\0\0\0\0\0\0\x8c\x02os\x8c\x06system\x93."), system);
        // By way of the memo, and with something between.
        assert_eq!(named(b"\x80\x04\x8c\x06system\x94\x8c\x02os\x94NN0\x30h\x01h\x00\x93."), system);
        assert_eq!(named(b"X\x02\0\0\0osq\x07X\x06\0\0\0systemq\x08\x93."), system);
        assert!(named(b"\x80\x04\x8c\x02os\x8c\x03sysN\x93.").1, "a hidden name");
        assert_eq!(named(b"\x82\x01."), (vec![], true));
        assert_eq!(named(b"\x80\x02}(K\x01J\0\0\0\0G\0\0\0\0\0\0\0\0\x8a\x01\x05u."), (vec![], false));
    }

    #[test]
    fn other_data_and_long_pickles_are_errors() {
        for pickle in
            [&b""[..], b"\xff.", b"cos", b"X\xff\xff\xff\xff.", b"gx\n.", b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff."]
        {
            assert!(globals(&mut &*pickle, &mut 1000).is_err(), "{pickle:?}");
        }
        assert!(globals(&mut &[b'N'; 2000][..], &mut 1000).is_err());
    }
}
