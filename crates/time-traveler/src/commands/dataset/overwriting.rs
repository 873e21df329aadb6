//! Data sets that would be written over those that are read.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::bail;
use dataset::{Format, Input};

use crate::escape::Shown;

/// Refuses to write what is read.
///
/// `files` are the files or folders that will be made, and `option` is what names them.
pub(super) fn refuse(inputs: &[Input], files: &[PathBuf], option: &str) -> anyhow::Result<()> {
    let read: HashSet<PathBuf> =
        inputs.iter().flat_map(Input::files).filter_map(|file| file.canonicalize().ok()).collect();
    match files.iter().find(|file| read.contains(&absolute(file))) {
        Some(file) => bail!("{} is the input too: another {option} works", file.shown()),
        None => Ok(()),
    }
}

/// As [`refuse`], for folders: also refuses one in a folder of classes, where it would be a class.
pub(super) fn refuse_folders(inputs: &[Input], folders: &[PathBuf], option: &str) -> anyhow::Result<()> {
    refuse(inputs, folders, option)?;
    for input in inputs.iter().filter(|input| input.format == Format::Folders) {
        let Ok(listed) = input.path.canonicalize() else { continue };
        if let Some(folder) = folders.iter().find(|folder| absolute(folder).starts_with(&listed)) {
            bail!("{} lies in the input {}: another {option} works", folder.shown(), input.path.shown());
        }
    }
    Ok(())
}

/// A path without links and `..`, of which the end may not exist.
fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let known = whole.ancestors().find_map(|known| Some((known, known.canonicalize().ok()?)));
    known.and_then(|(known, real)| Some(real.join(whole.strip_prefix(known).ok()?))).unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_found_by_any_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["train.json", "a.record-00000-of-00002", "a.record-00001-of-00002"] {
            std::fs::write(at(name), "").unwrap();
        }
        std::fs::create_dir(at("pets")).unwrap();
        std::os::unix::fs::symlink(folder.path(), at("link")).unwrap();
        let input = |name: &str, format| Input { path: at(name), format };
        let inputs =
            [input("train.json", Format::Coco), input("a.record", Format::TfRecord), input("pets", Format::Folders)];
        for taken in ["train.json", "link/train.json", "pets/../train.json", "a.record-00001-of-00002", "pets"] {
            let error = refuse(&inputs, &[at("free"), at(taken)], "--out").unwrap_err().to_string();
            assert!(error.ends_with("is the input too: another --out works"), "{taken}: {error}");
        }
        let free = ["a.record", "a.record-00000-of-00003", "pets2", "new/train.json", "link/pets/train.json"].map(at);
        refuse(&inputs, &free, "--out").unwrap();
        refuse_folders(&inputs, &free[..4], "--out").unwrap();
        let error = refuse_folders(&inputs, &free, "--pictures").unwrap_err().to_string();
        assert!(error.contains("lies in the input") && error.ends_with("another --pictures works"), "{error}");
    }
}
