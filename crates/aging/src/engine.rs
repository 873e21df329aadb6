use std::io;
use std::path::{Path, PathBuf};

use crate::preview::Preview;

/// The files of a SAM checkpoint, as a model folder holds them.
const CHECKPOINTS: [&str; 2] = ["model.safetensors", "model.pt"];

/// What ages a portrait.
#[derive(Debug)]
pub enum Engine {
    /// Classical picture processing, without weights.
    Preview(Preview),
}

/// Why there is no engine for a model folder.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder cannot be read.
    #[error("the model folder {} cannot be read: name a folder that exists, or none for the preview engine", folder.display())]
    Folder {
        /// As it was given.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A checkpoint that nothing here can run.
    #[error(
        "{} is a SAM checkpoint, and this version has no engine for one yet: \
         remove the file, or choose another model folder, for the preview engine",
        file.display()
    )]
    NoEngine {
        /// The checkpoint.
        file: PathBuf,
    },
}

impl Engine {
    /// The engine for the files of a model folder; without a folder, or without a checkpoint in it, the preview.
    ///
    /// # Errors
    /// [`LoadError`]: a folder that cannot be read, or a checkpoint that cannot be run. It is never passed over.
    pub fn load(model_dir: Option<&Path>) -> Result<Self, LoadError> {
        let Some(folder) = model_dir else { return Ok(Self::Preview(Preview)) };
        let unreadable = |source| LoadError::Folder { folder: folder.to_owned(), source };
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if CHECKPOINTS.iter().any(|name| entry.file_name() == *name) {
                return Err(LoadError::NoEngine { file: entry.path() });
            }
        }
        Ok(Self::Preview(Preview))
    }

    /// The name that every surface shows with a result: `preview`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Preview(_) => "preview",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_or_none_is_the_preview() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("code")).unwrap();
        assert_eq!(Engine::load(Some(folder.path())).unwrap().name(), "preview");
        assert_eq!(Engine::load(None).unwrap().name(), "preview");
    }

    #[test]
    fn a_checkpoint_is_never_passed_over() {
        for name in CHECKPOINTS {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(name), b"weights").unwrap();
            let error = Engine::load(Some(folder.path())).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn an_absent_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap().path().join("absent");
        assert!(matches!(Engine::load(Some(&folder)), Err(LoadError::Folder { .. })));
    }
}
