//! A model's files: the archive is fetched from S3 and unpacked. No entry can leave its folder.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use crate::durability::Durability;
use crate::journal::{Journal, sync_folder};
use crate::s3::{ObjectStore, StoreError, split_uri};

/// The limits of an archive. A gzip file can hold a thousand times its size, and the disk is this machine's. A few of the largest
/// checkpoints, which take some gigabytes each, still fit.
///
/// The header of an entry, with its name, is held in memory.
const LIMITS: Limits = Limits { bytes: 16 << 30, entries: 100_000, header: 1 << 20 };

/// Why there are no model files. The first two messages are SageMaker's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelDataError {
    #[error("Failed to download model data from URL \"{location}\"")]
    Download {
        location: String,
        #[source]
        source: StoreError,
    },
    #[error(
        "Failed to extract model data archive from URL \"{location}\". Please ensure that the object located at the URL \
         is a valid tar.gz archive"
    )]
    Extract {
        location: String,
        #[source]
        source: UnpackError,
    },
    #[error("the folder {folder} cannot be used")]
    Folder {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Why an archive cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error("it cannot be unpacked")]
    Io(#[from] io::Error),
    #[error("{0:?} leads out of the folder")]
    LeadsOut(PathBuf),
    #[error("{0:?} is a link: only files and folders are unpacked here")]
    Link(PathBuf),
    #[error("{0:?} is neither a plain file nor a folder")]
    Special(PathBuf),
    #[error("it holds more than {0} files and folders")]
    TooMany(usize),
}

#[derive(Clone, Copy)]
struct Limits {
    bytes: u64,
    entries: usize,
    /// Bytes of one entry's headers.
    header: u64,
}

/// Whether an unpacking is broken off. A blocking task cannot be aborted, so it looks at this. Clones are the same.
#[derive(Clone, Default)]
struct Cancelled(Arc<Mutex<bool>>);

impl Cancelled {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Breaks off an unpacking for which nobody waits any more.
struct BreakOff(Cancelled);

impl Drop for BreakOff {
    fn drop(&mut self) {
        *self.0.lock() = true;
    }
}

/// Fetches a model's archive and unpacks it into `folder`, unless the folder exists. Without an archive the folder is empty. The
/// folder appears only when it is complete. If this is dropped, nothing of it is left.
pub(crate) async fn fetch(
    location: Option<&str>,
    folder: &Path,
    store: &ObjectStore,
    journal: &Arc<Journal>,
) -> Result<(), ModelDataError> {
    let unusable = |source| ModelDataError::Folder { folder: folder.to_owned(), source };
    if folder.is_dir() {
        return Ok(());
    }
    let Some(location) = location else { return fs::create_dir_all(folder).map_err(unusable) };
    let failed = |source| ModelDataError::Download { location: location.to_owned(), source };
    let (bucket, key) = split_uri(location).ok_or_else(|| failed(StoreError::NoSuchKey(location.to_owned())))?;
    let (_, file) = store.open_file(bucket, key).await.map_err(failed)?;
    let cancelled = Cancelled::default();
    let _waiting = BreakOff(cancelled.clone());
    let installed = {
        let (folder, journal) = (folder.to_owned(), Arc::clone(journal));
        tokio::task::spawn_blocking(move || {
            let archive = BufReader::with_capacity(1 << 18, file);
            // A task that goes on would keep the process from ending.
            install(archive, &folder, journal.durability(), &cancelled, || journal.is_stopping())
        })
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error).into()))
    };
    match installed {
        Ok(appeared) => appeared.map_err(unusable),
        Err(source) => Err(ModelDataError::Extract { location: location.to_owned(), source }),
    }
}

/// Unpacks an archive into a draft beside `folder`, which becomes the folder. Nothing is left of an archive that cannot be unpacked. The
/// inner error is that of the folder.
fn install(
    archive: impl Read,
    folder: &Path,
    durability: Durability,
    cancelled: &Cancelled,
    stopped: impl Fn() -> bool,
) -> Result<io::Result<()>, UnpackError> {
    let draft = folder.with_extension("partial");
    let unpacked = || -> Result<io::Result<()>, UnpackError> {
        if draft.exists() {
            fs::remove_dir_all(&draft)?;
        }
        fs::create_dir_all(&draft)?;
        unpack(archive, &draft, LIMITS, || stopped() || *cancelled.lock())?;
        // After a power cut, a folder must not be there with files that are not.
        if durability == Durability::PowerCut {
            sync_tree(&draft)?;
        }
        // The lock is held until the folder has its name: the one that breaks this off finds it there, or never.
        let cancelled = cancelled.lock();
        if *cancelled {
            return Err(io::Error::other("nobody waits for it").into());
        }
        Ok(fs::rename(&draft, folder))
    };
    let unpacked = unpacked();
    if !matches!(unpacked, Ok(Ok(()))) {
        remove(&draft);
    }
    Ok(unpacked?.and_then(|()| match (durability, folder.parent()) {
        (Durability::PowerCut, Some(parent)) => sync_folder(parent),
        _ => Ok(()),
    }))
}

/// Has the disk take the files and the folders of a folder, which has no links.
fn sync_tree(folder: &Path) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => File::open(entry.path())?.sync_all()?,
            }
        }
        sync_folder(&folder)?;
    }
    Ok(())
}

/// Removes a folder of model files. One that cannot be removed is collected at the next start.
pub(crate) fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "unused model files cannot be removed");
    }
}

fn unpack(archive: impl Read, folder: &Path, limits: Limits, stopped: impl Fn() -> bool) -> Result<(), UnpackError> {
    let header = Cell::new(Some(limits.header));
    let decoded = Bounded {
        inner: MultiGzDecoder::new(archive),
        left: limits.bytes,
        limit: limits.bytes,
        header: &header,
        stopped,
    };
    let mut archive = Archive::new(decoded);
    let mut entries = archive.entries()?;
    let mut number = 0;
    loop {
        header.set(Some(limits.header));
        let Some(entry) = entries.next() else { break };
        let mut entry = entry?;
        header.set(None);
        number += 1;
        if number > limits.entries {
            return Err(UnpackError::TooMany(limits.entries));
        }
        let name = entry.path()?.into_owned();
        let path = inside(folder, &name)?;
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir_all(&path)?,
            EntryType::Regular | EntryType::Continuous => {
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent)?;
                }
                io::copy(&mut entry, &mut File::create(&path)?)?;
            }
            // Metadata of the whole archive, such as the commit of `git archive`.
            EntryType::XGlobalHeader => {}
            EntryType::Symlink | EntryType::Link => return Err(UnpackError::Link(name)),
            _ => return Err(UnpackError::Special(name)),
        }
    }
    header.set(None);
    // The checksum is at the end.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

/// The path of an entry, which is the folder itself for `/` and `./`. A leading slash is taken off, as GNU tar does: the SageMaker SDK
/// packs a model under the name `/`. The folder has no links, so the name alone determines the path.
fn inside(folder: &Path, name: &Path) -> Result<PathBuf, UnpackError> {
    let mut path = folder.to_owned();
    for component in name.components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(UnpackError::LeadsOut(name.to_owned()));
            }
        }
    }
    Ok(path)
}

/// A reader with limits, which fails when the cloud stops.
struct Bounded<'a, R, S> {
    inner: R,
    left: u64,
    limit: u64,
    /// The bytes that may still precede the next entry's content, while its headers are read.
    header: &'a Cell<Option<u64>>,
    stopped: S,
}

impl<R: Read, S: Fn() -> bool> Read for Bounded<'_, R, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.stopped)() {
            return Err(io::Error::other("the cloud stops"));
        }
        let read = self.inner.read(buffer)?;
        if let Some(left) = self.header.get() {
            let left = left.checked_sub(read as u64);
            self.header.set(Some(left.ok_or_else(|| io::Error::other("the name of an entry is too long"))?));
        }
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other(format!("it unpacks to more than {} bytes", self.limit)))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;
    use crate::error::chain;

    /// A tar entry with a raw name, which the tar crate would refuse to write.
    fn entry(kind: EntryType, name: &str, target: &str, content: &[u8]) -> (Header, Vec<u8>) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        (header, content.to_vec())
    }

    fn file(name: &str, content: &[u8]) -> (Header, Vec<u8>) {
        entry(EntryType::Regular, name, "", content)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn archive(entries: &[(Header, Vec<u8>)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (header, content) in entries {
            builder.append(header, &content[..]).unwrap();
        }
        gzip(&builder.into_inner().unwrap())
    }

    const SMALL: Limits = Limits { bytes: 1 << 20, entries: 5, header: 10_000 };

    fn unpacked(bytes: &[u8]) -> (tempfile::TempDir, Result<(), UnpackError>) {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        fs::create_dir(&model).unwrap();
        let result = unpack(bytes, &model, SMALL, || false);
        let outside: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(outside, ["model"], "something was written beside the folder");
        (folder, result)
    }

    #[track_caller]
    fn refused(bytes: &[u8]) -> String {
        chain(&unpacked(bytes).1.unwrap_err())
    }

    #[test]
    fn files_and_folders_are_unpacked() {
        let code = entry(EntryType::Directory, "./code/", "", b"");
        let bytes = archive(&[code, file("a/b/model.bin", b"weights"), file("./notes", b"1"), file("notes", b"2")]);
        let (folder, result) = unpacked(&bytes);
        result.unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join("model").join(name)).unwrap();
        assert_eq!((read("a/b/model.bin").as_str(), read("notes").as_str()), ("weights", "2"));
        assert!(folder.path().join("model/code").is_dir());
    }

    #[test]
    fn a_folder_appears_when_it_is_complete_and_nothing_is_left_of_one_that_is_broken_off() {
        let bytes = archive(&[file("a/model.bin", b"weights")]);
        let parent = tempfile::tempdir().unwrap();
        let names = || {
            let entries = fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().file_name());
            entries.map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
        };
        let folder = parent.path().join("model");
        let installed = |archive: &[u8], cancelled: &Cancelled| {
            install(archive, &folder, Durability::PowerCut, cancelled, || false).map_err(|error| chain(&error))
        };
        for (archive, is_cancelled) in [(&bytes[..], true), (&bytes[..9], false)] {
            let cancelled = Cancelled::default();
            if is_cancelled {
                drop(BreakOff(cancelled.clone()));
            }
            installed(archive, &cancelled).unwrap_err();
            assert!(names().is_empty(), "{:?}", names());
        }
        installed(&bytes, &Cancelled::default()).unwrap().unwrap();
        assert_eq!(names(), ["model"]);
        assert_eq!(fs::read(folder.join("a/model.bin")).unwrap(), b"weights");
    }

    #[test]
    fn an_entry_without_a_name_is_the_folder_itself() {
        for root in ["/", "./", ".", "//", "/./"] {
            let folder = entry(EntryType::Directory, root, "", b"");
            let (unpacked, result) =
                unpacked(&archive(&[folder, file("/model.bin", b"weights"), file("//tmp/b", b"b")]));
            result.unwrap_or_else(|error| panic!("{root:?}: {}", chain(&error)));
            let read = |name: &str| fs::read_to_string(unpacked.path().join("model").join(name)).unwrap();
            assert_eq!((read("model.bin").as_str(), read("tmp/b").as_str()), ("weights", "b"), "{root:?}");
        }
        // A file has to have a name.
        assert!(refused(&archive(&[file("/", b"x")])).contains("it cannot be unpacked"));
    }

    #[test]
    fn no_entry_leaves_the_folder() {
        for name in ["../out", "a/../../out", "/../out", "/tmp/../../out"] {
            let words = refused(&archive(&[file(name, b"x")]));
            assert!(words.contains("leads out of the folder") && words.contains(name), "{words}");
        }
        for kind in [EntryType::Symlink, EntryType::Link] {
            let words = refused(&archive(&[entry(kind, "innocent", "../..", b""), file("innocent/out", b"x")]));
            assert!(words.contains("\"innocent\" is a link"), "{words}");
        }
        for kind in [EntryType::Fifo, EntryType::Char, EntryType::Block] {
            let words = refused(&archive(&[entry(kind, "device", "", b"")]));
            assert!(words.contains("neither a plain file nor a folder"), "{words}");
        }
    }

    #[test]
    fn size_number_and_headers_are_limited() {
        let bomb = archive(&[file("zeros", &vec![0; 2 << 20])]);
        assert!(bomb.len() < 20_000);
        assert!(refused(&bomb).contains("more than 1048576 bytes"), "{}", refused(&bomb));
        let many: Vec<_> = (0..6).map(|n| file(&format!("{n}"), b"")).collect();
        assert!(refused(&archive(&many)).contains("more than 5 files"));
        // A sparse file can claim any size.
        let (mut holes, content) = entry(EntryType::GNUSparse, "holes", "", b"x");
        let fields = holes.as_gnu_mut().unwrap();
        fields.sparse[0].offset.copy_from_slice(b"00000000000\0");
        fields.sparse[0].numbytes.copy_from_slice(b"00000000001\0");
        fields.realsize.copy_from_slice(b"77777777777\0");
        fields.sparse[1].offset.copy_from_slice(b"77777777777\0");
        fields.sparse[1].numbytes.copy_from_slice(b"00000000000\0");
        holes.set_cksum();
        let words = refused(&archive(&[(holes, content)]));
        assert!(words.contains("\"holes\" is neither a plain file nor a folder"), "{words}");
        let long = entry(EntryType::GNULongName, "././@LongLink", "", &[b'a'; 20_000]);
        assert!(refused(&archive(&[long, file("a", b"")])).contains("the name of an entry is too long"));
        let bytes = archive(&[file("a", b"x")]);
        let stopped = unpack(&bytes[..], tempfile::tempdir().unwrap().path(), SMALL, || true);
        assert!(chain(&stopped.unwrap_err()).contains("the cloud stops"));
    }

    #[test]
    fn broken_archives_are_refused() {
        assert!(refused(b"no archive").contains("gzip"));
        assert!(refused(b"").contains("it cannot be unpacked"));
        assert!(refused(&gzip(&[b'x'; 2000])).contains("it cannot be unpacked"));
        let whole = archive(&[file("model.bin", &[7; 5000])]);
        for length in [1, 20, whole.len() / 2, whole.len() - 1] {
            assert!(unpacked(&whole[..length]).1.is_err(), "cut to {length} bytes of {}", whole.len());
        }
        let mut wrong = whole.clone();
        let checksum = wrong.len() - 6;
        wrong[checksum] ^= 1;
        assert!(unpacked(&wrong).1.is_err(), "the checksum is wrong");
    }
}
