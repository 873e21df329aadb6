//! The folder that a portrait's pictures are written into.
//!
//! A list of what was written, in `sha256sum`'s format, distinguishes these files from the user's own. Files of an earlier portrait
//! are replaced or removed; a file that the user put there or changed stays.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use pipeline::{Ages, PortraitId, strip};
use sha2::{Digest, Sha256};

use crate::escape::Shown;
use crate::hex::hex;

/// The strip's name.
pub(crate) const STRIP: &str = "strip.npy";
/// The animation's name.
pub(crate) const ANIMATION: &str = "animation.gif";
/// The list's name.
const LIST: &str = ".pictures.sha256";
/// Bytes of a list that are read: far more than twice 19 lines.
const LIST_BYTES: u64 = 64 << 10;

/// `out/{id}`
pub(crate) fn default_folder(id: &PortraitId) -> PathBuf {
    Path::new("out").join(id.as_str())
}

/// A folder that is being filled with one portrait's files.
#[derive(Debug)]
pub(crate) struct OutputFolder {
    folder: PathBuf,
    /// The lines of the list: the SHA-256 of a file's bytes, and its name. A name may have several, of which one holds.
    before: Vec<(String, String)>,
    written: Vec<(String, String)>,
}

impl OutputFolder {
    /// Prepares a folder, which may not exist yet, for files of these names.
    ///
    /// # Errors
    /// Where a file of the user has one of the names.
    pub(crate) fn open(folder: &Path, names: impl IntoIterator<Item = impl AsRef<str>>) -> anyhow::Result<Self> {
        let before = match File::open(folder.join(LIST)) {
            Ok(list) => {
                let mut text = Vec::new();
                let read = list.take(LIST_BYTES).read_to_end(&mut text);
                read.with_context(|| format!("{} cannot be read", folder.join(LIST).shown()))?;
                let text = String::from_utf8_lossy(&text).into_owned();
                text.lines().filter_map(entry).collect()
            }
            Err(_) => of_an_earlier_version(folder)?,
        };
        let opened = Self { folder: folder.to_owned(), before, written: Vec::new() };
        for name in names {
            let path = opened.folder.join(name.as_ref());
            ensure!(
                path.symlink_metadata().is_err() || opened.is_own(name.as_ref())?,
                "{} is another file than this program wrote, and stays: another folder would work",
                path.shown()
            );
        }
        Ok(opened)
    }

    /// Whether this program wrote the file of this name, and nobody has changed it since.
    fn is_own(&self, name: &str) -> anyhow::Result<bool> {
        let path = self.folder.join(name);
        if !self.before.iter().any(|(_, other)| other == name)
            || !path.symlink_metadata().is_ok_and(|kind| kind.is_file())
        {
            return Ok(false);
        }
        let hash = hash_of(&path)?;
        Ok(self.before.iter().any(|(other, of)| of == name && *other == hash))
    }

    /// Writes a file.
    pub(crate) fn write(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
        let folder = &self.folder;
        fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be created", folder.shown()))?;
        let path = folder.join(name);
        let entry = (hex(&Sha256::digest(bytes)), name.to_owned());
        // The line is there before the file: a run that is killed between them leaves no file that counts as the user's.
        self.append(&entry)?;
        replace(&path, bytes)?;
        self.written.push(entry);
        Ok(path)
    }

    /// Removes the files of an earlier portrait.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        for (_, name) in &self.before {
            let is_written = self.written.iter().any(|(_, other)| other == name);
            if !is_written && self.is_own(name)? {
                let path = self.folder.join(name);
                fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.shown()))?;
            }
        }
        replace(&self.folder.join(LIST), lines(&self.written).as_bytes())
    }

    fn append(&self, entry: &(String, String)) -> anyhow::Result<()> {
        let path = self.folder.join(LIST);
        let list = File::options().create(true).append(true).open(&path);
        // Before the first line of a new list, those of an earlier version's files.
        let is_new = list.as_ref().is_ok_and(|list| list.metadata().is_ok_and(|list| list.len() == 0));
        let text = if is_new { lines(&self.before) } else { String::new() } + &lines(std::slice::from_ref(entry));
        let written = list.and_then(|mut list| list.write_all(text.as_bytes()));
        written.with_context(|| format!("{} cannot be written", path.shown()))
    }
}

/// Writes a file as a whole, or leaves the one that is there.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let unwritable = || format!("{} cannot be written", path.shown());
    let mut options = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // By default, only the owner can read a temporary file. The umask still applies.
        use std::os::unix::fs::PermissionsExt;
        options.permissions(fs::Permissions::from_mode(0o666));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut partial = options.prefix(".writing-").tempfile_in(folder).with_context(unwritable)?;
    partial.write_all(bytes).with_context(unwritable)?;
    partial.persist(path).with_context(unwritable)?;
    Ok(())
}

fn lines(entries: &[(String, String)]) -> String {
    entries.iter().map(|(hash, name)| format!("{hash}  {name}\n")).collect()
}

/// The hash and the name in a line of the list. A list may come from elsewhere, so only names that this program gives count.
fn entry(line: &str) -> Option<(String, String)> {
    let (hash, name) = line.split_once("  ")?;
    let is_panel = |name: &str| {
        let (number, extension) = name.split_once('.')?;
        let is_number = number.parse::<usize>().is_ok_and(|n| n <= Ages::MAX_COUNT && n.to_string() == number);
        Some(is_number && ["jpg", "png", "webp"].contains(&extension))
    };
    let is_known = name == STRIP || name == ANIMATION || is_panel(name) == Some(true);
    is_known.then(|| (hash.to_owned(), name.to_owned()))
}

/// The entries of a folder that a version without lists filled: it has a strip, and as many panels as that.
fn of_an_earlier_version(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let ages = || {
        let mut header = Vec::new();
        File::open(folder.join(STRIP)).ok()?.take(1024).read_to_end(&mut header).ok()?;
        (1..=Ages::MAX_COUNT).find(|ages| header.starts_with(&strip::npy_header(*ages)))
    };
    let Some(ages) = ages() else { return Ok(Vec::new()) };
    let extension = if folder.join("0.png").exists() { "png" } else { "jpg" };
    let panels = (0..=ages).map(|n| format!("{n}.{extension}"));
    let names = panels.chain([STRIP, ANIMATION].map(str::to_owned));
    let files = names.filter(|name| folder.join(name).symlink_metadata().is_ok_and(|kind| kind.is_file()));
    files.map(|name| Ok((hash_of(&folder.join(&name))?, name))).collect()
}

fn hash_of(path: &Path) -> anyhow::Result<String> {
    let hash = || {
        let mut file = File::open(path)?;
        let mut hash = Sha256::new();
        let mut part = vec![0; 1 << 16];
        loop {
            match file.read(&mut part) {
                Ok(0) => return Ok(hex(&hash.finalize())),
                Ok(length) => hash.update(&part[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    hash().with_context(|| format!("{} cannot be read", path.shown()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn fill(folder: &Path, files: &[(&str, &str)]) -> anyhow::Result<()> {
        let mut output = OutputFolder::open(folder, files.iter().map(|(name, _)| *name))?;
        for (name, text) in files {
            output.write(name, text.as_bytes())?;
        }
        output.finish()
    }

    fn names(folder: &Path) -> BTreeSet<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != LIST).collect()
    }

    fn is(folder: &Path, expected: &[&str]) -> bool {
        names(folder) == expected.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn files_of_an_earlier_portrait_go_and_the_users_own_stay() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("out");
        fill(
            &folder,
            &[("0.jpg", "a"), ("1.jpg", "b"), ("2.jpg", "c"), ("3.jpg", "d"), (STRIP, "e"), (ANIMATION, "f")],
        )
        .unwrap();
        fs::write(folder.join("5.png"), "own").unwrap();
        // A file that was changed is the user's as well.
        fs::write(folder.join("3.jpg"), "retouched").unwrap();
        fill(&folder, &[("0.jpg", "g"), ("1.jpg", "h"), (STRIP, "i")]).unwrap();
        assert!(is(&folder, &["0.jpg", "1.jpg", "3.jpg", "5.png", STRIP]), "{:?}", names(&folder));
        assert_eq!(fs::read(folder.join("0.jpg")).unwrap(), b"g");
        assert_eq!(fs::read(folder.join("3.jpg")).unwrap(), b"retouched");
    }

    #[test]
    fn a_file_of_the_user_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join("1.jpg"), "own").unwrap();
        let error = fill(folder, &[("0.jpg", "a"), ("1.jpg", "b")]).unwrap_err().to_string();
        assert!(error.contains("1.jpg is another file than this program wrote, and stays"), "{error}");
        assert!(is(folder, &["1.jpg"]));
        fill(folder, &[("0.jpg", "a")]).unwrap();
        fs::write(folder.join("0.jpg"), "changed").unwrap();
        assert!(fill(folder, &[("0.jpg", "b")]).is_err());
    }

    #[test]
    fn a_run_that_was_killed_leaves_no_file_that_counts_as_the_users() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fill(folder, &[("0.jpg", "a"), ("1.jpg", "b"), ("2.jpg", "c")]).unwrap();
        let mut killed = OutputFolder::open(folder, ["0.jpg", "1.jpg"]).unwrap();
        killed.write("0.jpg", b"d").unwrap();
        drop(killed);
        fill(folder, &[("0.jpg", "e")]).unwrap();
        assert!(is(folder, &["0.jpg"]), "{:?}", names(folder));
    }

    #[test]
    fn a_list_from_elsewhere_names_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let own = folder.join("notes.txt");
        fs::write(&own, "own").unwrap();
        let hash = hash_of(&own).unwrap();
        fs::create_dir(folder.join("out")).unwrap();
        let list = format!("{hash}  ../notes.txt\n{hash}  notes.txt\nx\n");
        fs::write(folder.join("out").join(LIST), list).unwrap();
        fs::write(folder.join("out/notes.txt"), "own").unwrap();
        fill(&folder.join("out"), &[("0.jpg", "a")]).unwrap();
        assert!(own.exists() && folder.join("out/notes.txt").exists());
    }

    #[test]
    fn a_folder_of_an_earlier_version_is_known_by_its_strip() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for name in ["0.jpg", "1.jpg", "2.jpg", "3.jpg", ANIMATION] {
            fs::write(folder.join(name), name).unwrap();
        }
        fs::write(folder.join(STRIP), strip::npy_header(2)).unwrap();
        fill(folder, &[("0.jpg", "a"), ("1.jpg", "b")]).unwrap();
        assert!(is(folder, &["0.jpg", "1.jpg", "3.jpg"]), "{:?}", names(folder));
    }
}
