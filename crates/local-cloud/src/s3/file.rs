//! The files of bodies. Large ones are written and read past the kernel's page cache: a body is read once or twice, mostly from
//! [memory](super::recent), and a copy in new pages of the cache costs ten times as much as the disk's own access to the memory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::pieces::{PAGE, PIECE, Piece, Pieces, bytes_of};
use crate::durability::Durability;
use crate::journal::sync_folder;

/// The pieces of one call of the kernel.
const AT_ONCE: usize = 4;

/// The folder of bodies.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
    durability: Durability,
}

impl Folder {
    /// Creates the folder if it is missing.
    pub(super) fn create(path: PathBuf, durability: Durability) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        Ok(Self { path, durability })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of this name.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// A new file that is removed unless it is kept: its writer may fail, or be dropped half-way.
#[derive(Debug)]
pub(super) struct Draft {
    folder: Folder,
    path: PathBuf,
    name: String,
    kept: bool,
}

impl Draft {
    /// Names a file in the folder of bodies. It does not exist yet.
    pub(super) fn new(folder: Folder) -> Self {
        let name = Uuid::new_v4().to_string();
        Self { path: folder.file(&name), folder, name, kept: false }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The whole file is written. If it has to survive a power cut, the disk has it before the journal knows it.
    pub(super) fn written(self, file: &File) -> io::Result<Self> {
        if self.folder.durability == Durability::PowerCut {
            file.sync_data()?;
            sync_folder(&self.folder.path)?;
        }
        Ok(self)
    }

    /// Keeps the file. Returns its name.
    pub(super) fn keep(mut self) -> String {
        self.kept = true;
        std::mem::take(&mut self.name)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            remove(&self.path);
        }
    }
}

/// Removes a file, if it exists. One that cannot be removed is collected at the next start.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "unused bytes cannot be removed");
    }
}

/// Writes a body piece by piece.
pub(super) struct Writer {
    draft: Draft,
    file: File,
    uncached: bool,
    /// The body's bytes so far.
    size: u64,
}

impl Writer {
    /// Creates the file. `large`: the body has more than one piece.
    pub(super) fn create(draft: Draft, large: bool) -> io::Result<Self> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        let (file, uncached) = open(&options, &draft.path, large)?;
        Ok(Self { draft, file, uncached, size: 0 })
    }

    /// Writes the next pieces. All pieces of a body but the last are full. The last one is [padded](Piece::pad).
    pub(super) fn write(&mut self, pieces: &[Arc<Piece>]) -> io::Result<()> {
        let start = self.size;
        self.size += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        match self.write_all(pieces) {
            Err(error) if self.uncached && is_unsupported(&error) => {
                // Some file systems open a file in this mode, but cannot write to it.
                self.file = File::options().write(true).open(&self.draft.path)?;
                self.uncached = false;
                self.file.seek(SeekFrom::Start(start))?;
                self.write_all(pieces)
            }
            written => written,
        }
    }

    fn write_all(&mut self, pieces: &[Arc<Piece>]) -> io::Result<()> {
        for pieces in pieces.chunks(AT_ONCE) {
            let mut slices: Vec<IoSlice<'_>> = pieces
                .iter()
                .map(|piece| IoSlice::new(if self.uncached { piece.padded() } else { piece.as_ref().as_ref() }))
                .collect();
            let mut left = &mut slices[..];
            while !left.is_empty() {
                match self.file.write_vectored(left) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(count) => IoSlice::advance_slices(&mut left, count),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// The whole file is written.
    pub(super) fn finish(self) -> io::Result<Draft> {
        if self.uncached && !self.size.is_multiple_of(PAGE as u64) {
            self.file.set_len(self.size)?;
        }
        self.draft.written(&self.file)
    }
}

/// Reads a range of a body in batches.
pub(super) struct Reader {
    file: File,
    uncached: bool,
    left: Range<u64>,
    pieces: Arc<Pieces>,
}

impl Reader {
    /// Opens a file, and reads the first batch. A later removal of the file does no harm.
    pub(super) fn open(path: &Path, range: Range<u64>, pieces: &Arc<Pieces>) -> io::Result<(Self, Vec<Bytes>)> {
        let large = range.end - range.start > PIECE as u64;
        let (file, uncached) = open(File::options().read(true), path, large)?;
        let mut reader = Self { file, uncached, left: range, pieces: Arc::clone(pieces) };
        match reader.next() {
            Err(error) if reader.uncached && is_unsupported(&error) => {
                (reader.file, reader.uncached) = (File::open(path)?, false);
                let batch = reader.next()?;
                Ok((reader, batch))
            }
            batch => batch.map(|batch| (reader, batch)),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// The next bytes of the range.
    pub(super) fn next(&mut self) -> io::Result<Vec<Bytes>> {
        if self.left.is_empty() {
            return Ok(Vec::new());
        }
        // Reads past the cache begin at a page.
        let skipped = if self.uncached { self.left.start % PAGE as u64 } else { 0 };
        let start = self.left.start - skipped;
        // At most four pieces.
        let wanted = (self.left.end - start).min((AT_ONCE * PIECE) as u64) as usize;
        let mut batch: Vec<Piece> = (0..wanted.div_ceil(PIECE)).map(|_| self.pieces.take()).collect();
        self.file.seek(SeekFrom::Start(start))?;
        let mut room = if self.uncached { wanted.next_multiple_of(PAGE) } else { wanted };
        let mut slices = Vec::with_capacity(batch.len());
        for piece in &mut batch {
            let part = room.min(PIECE);
            room -= part;
            slices.push(IoSliceMut::new(&mut piece.room()[..part]));
        }
        self.read_exact(&mut slices, wanted)?;
        for (number, piece) in batch.iter_mut().enumerate() {
            piece.set_len(wanted - number * PIECE);
        }
        self.left.start = start + wanted as u64;
        let mut bytes: Vec<Bytes> = batch.into_iter().map(|piece| bytes_of(&Arc::new(piece))).collect();
        // Less than a page.
        bytes[0] = bytes[0].slice(skipped as usize..);
        Ok(bytes)
    }

    /// Reads at least `wanted` bytes.
    fn read_exact(&mut self, slices: &mut [IoSliceMut<'_>], wanted: usize) -> io::Result<()> {
        let (mut left, mut count) = (slices, 0);
        while count < wanted {
            match self.file.read_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    count += read;
                    IoSliceMut::advance_slices(&mut left, read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Opens a file, past the page cache if it is `large` and the file system can do that. Returns whether it can.
fn open(options: &OpenOptions, path: &Path, large: bool) -> io::Result<(File, bool)> {
    #[cfg(target_os = "linux")]
    if large {
        let mut uncached = options.clone();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut uncached, libc::O_DIRECT);
        match uncached.open(path) {
            Err(error) if is_unsupported(&error) => {}
            opened => return opened.map(|file| (file, true)),
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = large;
    options.open(path).map(|file| (file, false))
}

/// Whether a file system cannot read or write past the page cache.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::super::pieces::Whole;
    use super::*;

    fn write(folder: &Path, pieces: &Arc<Pieces>, bytes: &[u8], uncached: bool) -> PathBuf {
        let mut writer =
            Writer::create(Draft::new(Folder::create(folder.to_owned(), Durability::Kill).unwrap()), uncached).unwrap();
        for piece in Whole::of(bytes, pieces).pieces().chunks(3) {
            writer.write(piece).unwrap();
        }
        let draft = writer.finish().unwrap();
        let path = draft.path().to_owned();
        draft.keep();
        path
    }

    fn read(path: &Path, range: Range<u64>, pieces: &Arc<Pieces>) -> io::Result<Vec<u8>> {
        let (mut reader, first) = Reader::open(path, range, pieces)?;
        let mut bytes = first.concat();
        while !reader.is_done() {
            bytes.extend(reader.next()?.concat());
        }
        Ok(bytes)
    }

    #[test]
    fn files_have_the_bytes_of_their_pieces_and_no_more() {
        let (folder, pieces) = (tempfile::tempdir().unwrap(), Arc::new(Pieces::default()));
        let bytes: Vec<u8> = (0..6 * PIECE + 777).map(|n| (n % 253) as u8).collect();
        for size in [0, 1, PAGE, PIECE, PIECE + 1, 2 * PIECE, bytes.len()] {
            for uncached in [false, true] {
                let path = write(folder.path(), &pieces, &bytes[..size], uncached);
                assert!(fs::read(path).unwrap() == bytes[..size], "{size} bytes, past the cache: {uncached}");
            }
        }
    }

    #[test]
    fn ranges_are_read_with_and_without_the_cache() {
        let (folder, pieces) = (tempfile::tempdir().unwrap(), Arc::new(Pieces::default()));
        let bytes: Vec<u8> = (0..6 * PIECE + 777).map(|n| (n % 253) as u8).collect();
        let path = write(folder.path(), &pieces, &bytes, true);
        let end = bytes.len();
        for range in [0..end, 1..end, 0..10, PAGE + 1..5 * PIECE + 3, PIECE - 1..3 * PIECE, end - 1..end, 5..5] {
            let found = read(&path, range.start as u64..range.end as u64, &pieces).unwrap();
            assert!(found == bytes[range.clone()], "{range:?}");
        }
        let beyond = read(&path, 0..end as u64 + 1, &pieces).unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_open_file_can_be_read_after_its_removal() {
        let (folder, pieces) = (tempfile::tempdir().unwrap(), Arc::new(Pieces::default()));
        let bytes = vec![9; 9 * PIECE];
        let path = write(folder.path(), &pieces, &bytes, true);
        let (mut reader, first) = Reader::open(&path, 0..bytes.len() as u64, &pieces).unwrap();
        remove(&path);
        let mut count: usize = first.iter().map(Bytes::len).sum();
        while !reader.is_done() {
            count += reader.next().unwrap().iter().map(Bytes::len).sum::<usize>();
        }
        assert_eq!(count, bytes.len());
        assert!(read(&path, 0..1, &pieces).is_err());
    }

    #[test]
    fn a_file_that_is_not_kept_is_removed() {
        let (folder, pieces) = (tempfile::tempdir().unwrap(), Arc::new(Pieces::default()));
        let mut writer =
            Writer::create(Draft::new(Folder::create(folder.path().to_owned(), Durability::PowerCut).unwrap()), true)
                .unwrap();
        writer.write(Whole::of(&[1; 2 * PIECE], &pieces).pieces()).unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
