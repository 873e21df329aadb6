//! The files of a model folder.

use std::io;
use std::path::{Path, PathBuf};

/// The endings of checkpoints.
const ENDINGS: [&str; 3] = ["pt", "pth", "safetensors"];
/// The ending of the model zoo's pickles. Other programs write descriptions under it, so that it counts where there is no other checkpoint.
const PICKLE: &str = "pkl";
/// The checkpoint that training writes.
const TRAINED: &str = "model.safetensors";

/// Why a model folder has no one checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder cannot be read.
    #[error("the model folder {} cannot be read", folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It has no checkpoint.
    #[error("the model folder {} has no checkpoint: a file that ends in .pth, .pt, .safetensors or .pkl would work", folder.display())]
    None {
        /// The folder.
        folder: PathBuf,
    },
    /// It has several.
    #[error("the model folder {} has several checkpoints ({}): one of them would work", folder.display(), names.join(", "))]
    Several {
        /// The folder.
        folder: PathBuf,
        /// The names of the files.
        names: Vec<String>,
    },
}

impl FolderError {
    /// A folder has these checkpoints, and not one.
    pub(crate) fn several(folder: &Path, files: &[PathBuf]) -> Self {
        let name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::Several { folder: folder.to_owned(), names: files.iter().map(name).collect() }
    }
}

/// The checkpoints of a folder, in the order of their names.
///
/// # Errors
/// [`FolderError::Unreadable`].
pub fn checkpoints(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let unreadable = |source| FolderError::Unreadable { folder: folder.to_owned(), source };
    let (mut files, mut pickles) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let ends_in = |known: &str| file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(known));
        // What macOS adds to an archive begins with a dot.
        let hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden || !file.is_file() {
            continue;
        }
        if ENDINGS.into_iter().any(ends_in) {
            files.push(file);
        } else if ends_in(PICKLE) {
            pickles.push(file);
        }
    }
    if files.is_empty() {
        files = pickles;
    }
    files.sort();
    Ok(files)
}

/// The one checkpoint of some. `model.safetensors` counts where there are several: training writes it, and the same weights for other
/// programs beside it.
pub fn preferred(files: &[PathBuf]) -> Option<&PathBuf> {
    if let [file] = files { Some(file) } else { files.iter().find(|file| file.ends_with(TRAINED)) }
}

/// The one checkpoint of a folder, or the [preferred] of several.
///
/// # Errors
/// [`FolderError`].
pub fn checkpoint(folder: &Path) -> Result<PathBuf, FolderError> {
    let files = checkpoints(folder)?;
    match (preferred(&files), &files[..]) {
        (Some(file), _) => Ok(file.clone()),
        (None, []) => Err(FolderError::None { folder: folder.to_owned() }),
        (None, files) => Err(FolderError::several(folder, files)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_checkpoint_is_found_and_none_or_several_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = || checkpoint(folder.path()).unwrap_err().to_string();
        assert!(
            message().ends_with("has no checkpoint: a file that ends in .pth, .pt, .safetensors or .pkl would work")
        );
        std::fs::write(folder.path().join("export.pkl"), "").unwrap();
        assert_eq!(checkpoint(folder.path()).unwrap(), folder.path().join("export.pkl"));
        for name in ["labels.txt", "._faces.pth", "faces.PTH"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(checkpoint(folder.path()).unwrap(), folder.path().join("faces.PTH"));
        std::fs::write(folder.path().join("others.safetensors"), "").unwrap();
        assert!(message().contains("(faces.PTH, others.safetensors): one of them would work"), "{}", message());
        std::fs::write(folder.path().join("model.safetensors"), "").unwrap();
        assert_eq!(checkpoint(folder.path()).unwrap(), folder.path().join("model.safetensors"));
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        assert!(matches!(checkpoint(&folder.path().join("absent")), Err(FolderError::Unreadable { .. })));
    }
}
