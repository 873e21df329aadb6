//! The mark of an SQLite database: how far its write-ahead log had come.
//!
//! SQLite takes a log that was cut, damaged or removed for the end of the database's history, and goes on from there. The mark, in a
//! file beside the database, shows at the next start that history went further. *WAL-mode File Format*, sqlite.org.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The header of a log, in bytes.
const HEADER: usize = 32;
/// The header of each of its frames, in bytes.
const FRAME: usize = 24;

/// A position in a log: the salts of its header, and the number of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    salts: [u8; 8],
    frames: u32,
}

/// What the mark says of a database.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The database is not older than its mark.
    Whole,
    /// There is no mark to compare with.
    Unknown,
    /// The database is older than its mark, or another one.
    Damaged(String),
}

/// The mark of a database that is open.
#[derive(Debug)]
pub(crate) struct Mark {
    database: PathBuf,
    files: Mutex<Files>,
}

#[derive(Debug)]
struct Files {
    mark: File,
    /// The index of the log. It stays open: SQLite's locks on it end when any file of the process on it is closed.
    index: Option<File>,
}

fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The log of a database.
pub(crate) fn log_of(database: &Path) -> PathBuf {
    beside(database, "-wal")
}

fn mark_of(database: &Path) -> PathBuf {
    beside(database, "-mark")
}

impl Mark {
    /// Opens the mark of a database that is in WAL mode. Its content stays until [`advance`](Self::advance).
    pub(crate) fn open(database: &Path) -> io::Result<Self> {
        let mark = File::options().create(true).truncate(false).write(true).open(mark_of(database))?;
        Ok(Self { database: database.to_owned(), files: Mutex::new(Files { mark, index: None }) })
    }

    /// Marks what is committed. `sync` runs between the look at the log and the mark.
    pub(crate) fn advance(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match &mut files.index {
            Some(index) => index,
            none => none.insert(File::open(beside(&self.database, "-shm"))?),
        };
        let position = position(index)?;
        sync()?;
        if let Some(Position { salts, frames }) = position {
            let mut bytes = [0; 16];
            bytes[0] = b'L';
            bytes[4..12].copy_from_slice(&salts);
            bytes[12..].copy_from_slice(&frames.to_be_bytes());
            write(&mut files.mark, &bytes)?;
        }
        Ok(())
    }

    /// Marks a database whose log is empty, and which is not written to any more.
    pub(crate) fn close(&self) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        write(&mut files.mark, &closed(&self.database)?)
    }

    /// Removes what the mark says.
    pub(crate) fn clear(&self) -> io::Result<()> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).mark.set_len(0)
    }
}

fn write(file: &mut File, bytes: &[u8; 16]) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(bytes)
}

/// The mark of a closed database: its size and its checksum.
fn closed(database: &Path) -> io::Result<[u8; 16]> {
    let (mut file, mut hasher, mut size) = (File::open(database)?, crc32fast::Hasher::new(), 0u64);
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
    let mut bytes = [0; 16];
    bytes[0] = b'C';
    bytes[4..8].copy_from_slice(&hasher.finalize().to_be_bytes());
    bytes[8..].copy_from_slice(&size.to_be_bytes());
    Ok(bytes)
}

/// The position of the last commit, from the index of the log, which every writer updates. `None`: the index is being written.
fn position(index: &mut File) -> io::Result<Option<Position>> {
    let mut bytes = [0; 96];
    index.seek(SeekFrom::Start(0))?;
    index.read_exact(&mut bytes)?;
    let (first, second) = bytes.split_at(48);
    let frames = u32::from_ne_bytes([first[16], first[17], first[18], first[19]]);
    let mut salts = [0; 8];
    salts.copy_from_slice(&first[32..40]);
    Ok((first == second).then_some(Position { salts, frames }))
}

/// Compares a database with its mark. No process may have it open.
pub(crate) fn check(database: &Path) -> io::Result<Verdict> {
    let mark = match fs::read(mark_of(database)) {
        Ok(mark) => mark,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Verdict::Unknown),
        Err(error) => return Err(error),
    };
    let name = database.file_name().unwrap_or_default().display();
    if !database.exists() {
        return Ok(Verdict::Damaged(format!("{name} is missing")));
    }
    let marked = match mark.as_slice() {
        bytes if bytes.len() == 16 && bytes[0] == b'L' => Position {
            salts: bytes[4..12].try_into().unwrap_or_default(),
            frames: u32::from_be_bytes(bytes[12..].try_into().unwrap_or_default()),
        },
        bytes if bytes.len() == 16 && bytes[0] == b'C' => {
            let is_same = bytes == closed(database)? && log(database)?.is_none_or(|log| log.frames == 0);
            let changed = || Verdict::Damaged(format!("{name} was changed since it was closed"));
            return Ok(if is_same { Verdict::Whole } else { changed() });
        }
        _ => return Ok(Verdict::Unknown),
    };
    let Some(log) = log(database)? else {
        return Ok(Verdict::Damaged(format!("{name}-wal is missing")));
    };
    let number = |salts: [u8; 8]| u32::from_be_bytes([salts[0], salts[1], salts[2], salts[3]]);
    Ok(if log.salts == marked.salts {
        if log.frames >= marked.frames {
            Verdict::Whole
        } else {
            let (found, expected) = (log.frames, marked.frames);
            Verdict::Damaged(format!("{name}-wal is sound up to frame {found} of at least {expected}"))
        }
    } else if number(log.salts).wrapping_sub(number(marked.salts)) < u32::MAX / 2 {
        // The log began anew after the mark, as after each checkpoint.
        Verdict::Whole
    } else {
        Verdict::Damaged(format!("{name}-wal is older than the last start"))
    })
}

/// Reads a log as SQLite does when it recovers: up to the first frame that does not continue the chain of checksums. `None`: there is no
/// log, or its header is damaged.
fn log(database: &Path) -> io::Result<Option<Position>> {
    let mut file = match File::open(log_of(database)) {
        Ok(file) => io::BufReader::with_capacity(1 << 18, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut header = [0; HEADER];
    if !read(&mut file, &mut header)? {
        return Ok(None);
    }
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (magic, page) = (word(&header, 0), word(&header, 8) as usize);
    let is_big = magic & 1 == 1;
    let mut sum = checksum(&header[..24], is_big, (0, 0));
    if magic & !1 != 0x377f_0682 || !(512..=65536).contains(&page) || sum != (word(&header, 24), word(&header, 28)) {
        return Ok(None);
    }
    let mut salts = [0; 8];
    salts.copy_from_slice(&header[16..24]);
    let (mut frame, mut frames, mut committed) = (vec![0; FRAME + page], 0, 0);
    while read(&mut file, &mut frame)? && frame[8..16] == salts {
        sum = checksum(&frame[..8], is_big, sum);
        sum = checksum(&frame[FRAME..], is_big, sum);
        if sum != (word(&frame, 16), word(&frame, 20)) {
            break;
        }
        frames += 1;
        // The last frame of a transaction has the size of the database.
        if word(&frame, 4) != 0 {
            committed = frames;
        }
    }
    Ok(Some(Position { salts, frames: committed }))
}

/// Fills a buffer. Returns `false` at the end of the file.
fn read(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Section *Checksum Algorithm* of the format. The length is a multiple of eight bytes.
fn checksum(bytes: &[u8], is_big: bool, (mut first, mut second): (u32, u32)) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let word = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if is_big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        first = first.wrapping_add(word(0)).wrapping_add(second);
        second = second.wrapping_add(word(4)).wrapping_add(first);
    }
    (first, second)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// A database in WAL mode with some commits, whose process was killed: a copy of the files of an open one.
    fn killed(rows: usize, marked: usize) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER, text TEXT)").unwrap();
        let mark = Mark::open(&path).unwrap();
        for row in 0..rows {
            connection.execute("INSERT INTO t VALUES (?, ?)", (row, "x".repeat(3000))).unwrap();
            if row < marked {
                mark.advance(|| Ok(())).unwrap();
            }
        }
        let copy = folder.path().join("killed.db");
        fs::copy(&path, &copy).unwrap();
        for ending in ["-wal", "-mark"] {
            fs::copy(beside(&path, ending), beside(&copy, ending)).unwrap();
        }
        (folder, copy)
    }

    fn damage(path: &Path) -> String {
        match check(path).unwrap() {
            Verdict::Damaged(what) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_database_is_whole_at_and_after_its_mark() {
        for marked in [10, 7] {
            let (_folder, path) = killed(10, marked);
            assert_eq!(check(&path).unwrap(), Verdict::Whole);
        }
        // The log begins anew after a checkpoint.
        let (_folder, path) = killed(600, 5);
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "wal_checkpoint", "RESTART").unwrap();
        connection.execute("INSERT INTO t VALUES (1, 'y')", ()).unwrap();
        let log = fs::read(log_of(&path)).unwrap();
        drop(connection);
        fs::write(log_of(&path), log).unwrap();
        assert_eq!(check(&path).unwrap(), Verdict::Whole);
    }

    #[test]
    fn a_log_that_is_cut_flipped_or_missing_is_damage() {
        let (_folder, path) = killed(10, 10);
        let log = fs::read(log_of(&path)).unwrap();
        fs::write(log_of(&path), &log[..log.len() / 2]).unwrap();
        assert!(damage(&path).starts_with("killed.db-wal is sound up to frame "), "{}", damage(&path));
        let mut flipped = log.clone();
        let middle = log.len() / 2;
        flipped[middle] ^= 1;
        fs::write(log_of(&path), &flipped).unwrap();
        assert!(damage(&path).starts_with("killed.db-wal is sound up to frame "));
        fs::remove_file(log_of(&path)).unwrap();
        assert_eq!(damage(&path), "killed.db-wal is missing");
        fs::remove_file(&path).unwrap();
        assert_eq!(damage(&path), "killed.db is missing");
        fs::remove_file(mark_of(&path)).unwrap();
        assert_eq!(check(&path).unwrap(), Verdict::Unknown);
    }

    #[test]
    fn a_closed_database_that_was_changed_is_damage() {
        let (_folder, path) = killed(10, 10);
        let connection = Connection::open(&path).unwrap();
        let mark = Mark::open(&path).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
        mark.close().unwrap();
        assert_eq!(check(&path).unwrap(), Verdict::Whole);
        drop(connection);
        assert_eq!(check(&path).unwrap(), Verdict::Whole, "SQLite removes an empty log at the end");
        let mut bytes = fs::read(&path).unwrap();
        bytes[5000] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(damage(&path), "killed.db was changed since it was closed");
    }
}
