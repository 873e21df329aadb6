use std::io;
use std::path::{Path, PathBuf};

use nn::checkpoint::Checkpoint;
use nn::{Compute, Device, DeviceError};

use crate::preview::Preview;
use crate::sam::{Sam, SamError};

/// The names of a SAM checkpoint in a model folder. The first that exists is used.
pub const CHECKPOINTS: [&str; 2] = ["model.safetensors", "model.pt"];

/// An engine that ages portraits.
#[derive(Debug)]
pub enum Engine {
    /// Classical image processing, without weights.
    Preview(Preview),
    /// The face-ageing GAN.
    Sam(Box<Sam>),
}

/// The kind of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// Without weights.
    Preview,
    /// The network.
    Sam,
}

impl EngineKind {
    /// The engine for a model folder: SAM if the folder has a checkpoint, else the preview.
    ///
    /// # Errors
    /// [`LoadError::Folder`]: the folder cannot be read.
    pub fn of(model_dir: Option<&Path>) -> Result<Self, LoadError> {
        let file = model_dir.map(checkpoint_file).transpose()?.flatten();
        Ok(if file.is_some() { Self::Sam } else { Self::Preview })
    }

    /// The name in all output: `preview` or `sam`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preview => "preview",
            Self::Sam => "sam",
        }
    }
}

/// Why an engine cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder cannot be read.
    #[error("the model folder {} cannot be read: name a folder that exists, or none for the preview engine", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The checkpoint is not the SAM network's, or cannot be read.
    #[error(transparent)]
    Sam(#[from] SamError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl Engine {
    /// Loads the engine for a model folder. Without a folder, or without a checkpoint in it, that is the preview, which always
    /// computes on the CPU.
    ///
    /// # Errors
    /// [`LoadError`]: the folder cannot be read, the checkpoint cannot be run, or the device cannot be used. A checkpoint is
    /// never skipped.
    pub fn load(model_dir: Option<&Path>, compute: Compute) -> Result<Self, LoadError> {
        let device = compute.device.find()?;
        let Some(folder) = model_dir else { return Ok(Self::Preview(Preview)) };
        match checkpoint_file(folder)? {
            Some(file) => {
                let checkpoint = Checkpoint::open(&file).map_err(SamError::from)?;
                Ok(Self::Sam(Box::new(Sam::load(&checkpoint, device, compute.precision)?)))
            }
            None => Ok(Self::Preview(Preview)),
        }
    }

    /// The kind of the engine.
    pub fn kind(&self) -> EngineKind {
        match self {
            Self::Preview(_) => EngineKind::Preview,
            Self::Sam(_) => EngineKind::Sam,
        }
    }

    /// The memory of a GPU that this process holds, in bytes; `None` on a CPU.
    pub fn device_memory(&self) -> Option<u64> {
        self.device().memory()
    }

    /// The device that it computes on.
    pub fn device(&self) -> Device {
        match self {
            Self::Preview(_) => Device::Cpu,
            Self::Sam(sam) => sam.device(),
        }
    }
}

/// The checkpoint of a model folder; `None` if it has none.
///
/// # Errors
/// [`LoadError::Folder`]: the folder cannot be read.
pub fn checkpoint_file(folder: &Path) -> Result<Option<PathBuf>, LoadError> {
    let unreadable = |source| LoadError::Folder { folder: folder.to_owned(), source };
    let names = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>())
        .map_err(unreadable)?;
    Ok(CHECKPOINTS.iter().find(|name| names.iter().any(|there| there == **name)).map(|name| folder.join(name)))
}

#[cfg(test)]
mod tests {
    use nn::DeviceChoice;

    use super::*;

    fn load(folder: Option<&Path>) -> Result<Engine, LoadError> {
        Engine::load(folder, Compute { device: DeviceChoice::Cpu, ..Compute::default() })
    }

    #[test]
    fn an_empty_folder_or_none_is_the_preview() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("code")).unwrap();
        assert_eq!(load(Some(folder.path())).unwrap().kind(), EngineKind::Preview);
        assert_eq!(load(None).unwrap().kind(), EngineKind::Preview);
    }

    #[test]
    fn a_checkpoint_is_never_skipped() {
        for name in CHECKPOINTS {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(name), b"weights").unwrap();
            let error = load(Some(folder.path())).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            std::fs::remove_file(folder.path().join(name)).unwrap();
            std::fs::create_dir(folder.path().join(name)).unwrap();
            assert!(matches!(load(Some(folder.path())), Err(LoadError::Sam(SamError::Checkpoint(_)))));
        }
    }

    #[test]
    fn safetensors_come_first() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.pt"), b"").unwrap();
        std::fs::write(folder.path().join("model.safetensors"), b"").unwrap();
        let file = checkpoint_file(folder.path()).unwrap().unwrap();
        assert_eq!(file.file_name().unwrap(), "model.safetensors");
    }

    #[test]
    fn an_absent_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap().path().join("absent");
        assert!(matches!(load(Some(&folder)), Err(LoadError::Folder { .. })));
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_this_build_cannot_use_is_an_error() {
        let error = Engine::load(None, Compute { device: DeviceChoice::Cuda, ..Compute::default() }).unwrap_err();
        assert!(error.to_string().contains("--features cuda"), "{error}");
    }
}
