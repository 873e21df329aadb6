use std::io;
use std::path::{Path, PathBuf};

use nn::checkpoint::Checkpoint;
use nn::{Compute, Device, DeviceError};

use crate::face_models::{DETECTOR, LANDMARKS, NETWORKS};
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

/// Endings of files that may hold a checkpoint under another name: those of PyTorch and safetensors, and of archives.
const ENDINGS: [&str; 9] = [".pt", ".pth", ".ckpt", ".bin", ".pkl", ".safetensors", ".tar", ".tar.gz", ".tgz"];

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
    /// The folder has no checkpoint, and nothing else that an engine uses.
    #[error("{}", no_checkpoint(folder, others))]
    NoCheckpoint {
        /// The folder.
        folder: PathBuf,
        /// The names of its files that may be checkpoints.
        others: Vec<String>,
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
    Ok(checkpoint_among(folder, &file_names(folder)?))
}

/// The checkpoint of a model folder that has to have one.
///
/// # Errors
/// [`LoadError::Folder`], and [`LoadError::NoCheckpoint`] with the files that may be checkpoints under other names.
pub fn needed_checkpoint(folder: &Path) -> Result<PathBuf, LoadError> {
    let names = file_names(folder)?;
    checkpoint_among(folder, &names).ok_or_else(|| LoadError::NoCheckpoint {
        folder: folder.to_owned(),
        others: names.into_iter().filter(|name| is_weights(name) && !NETWORKS.contains(&name.as_str())).collect(),
    })
}

/// The engine for a folder that somebody has named as the model: as [`EngineKind::of`], but the preview serves a folder without a
/// checkpoint only if that has face models, and no file that may be a checkpoint under another name.
///
/// # Errors
/// As [`needed_checkpoint`].
pub fn named_engine(folder: &Path) -> Result<EngineKind, LoadError> {
    match needed_checkpoint(folder) {
        Ok(_) => Ok(EngineKind::Sam),
        Err(LoadError::NoCheckpoint { others, .. })
            if others.is_empty()
                && [DETECTOR, LANDMARKS].iter().chain(&NETWORKS).any(|name| folder.join(name).exists()) =>
        {
            Ok(EngineKind::Preview)
        }
        Err(error) => Err(error),
    }
}

/// The names in a folder, in order. Names that are not UTF-8 are kept as far as they are readable.
fn file_names(folder: &Path) -> Result<Vec<String>, LoadError> {
    let name = |entry: io::Result<std::fs::DirEntry>| -> io::Result<String> {
        Ok(entry?.file_name().to_string_lossy().into_owned())
    };
    let names = std::fs::read_dir(folder).and_then(|entries| entries.map(name).collect::<io::Result<Vec<_>>>());
    let mut names = names.map_err(|source| LoadError::Folder { folder: folder.to_owned(), source })?;
    names.sort();
    Ok(names)
}

fn checkpoint_among(folder: &Path, names: &[String]) -> Option<PathBuf> {
    CHECKPOINTS.iter().find(|name| names.iter().any(|there| there == **name)).map(|name| folder.join(name))
}

fn is_weights(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// The message: the names that would work, and what is there instead.
fn no_checkpoint(folder: &Path, others: &[String]) -> String {
    let [first, second] = CHECKPOINTS;
    let lacks = format!("{} has no {first} and no {second}", folder.display());
    let (shown, more) = others.split_at(others.len().min(4));
    let mut shown: Vec<String> = shown.iter().map(|name| name.escape_debug().to_string()).collect();
    if !more.is_empty() {
        shown.push(format!("{} more", more.len()));
    }
    match others {
        [] => format!("{lacks}: put a SAM checkpoint there"),
        [other] if other.contains(".tar") || other.ends_with(".tgz") => {
            format!("{lacks}; it has {}: unpack it there", shown[0])
        }
        [_] => format!("{lacks}; it has {}: rename it", shown[0]),
        _ => format!("{lacks}; it has {}: rename the SAM checkpoint among them", shown.join(", ")),
    }
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
    fn a_checkpoint_under_another_name_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let refused = || {
            let error = named_engine(folder.path()).unwrap_err().to_string();
            let (_, message) = error.split_once("has no model.safetensors and no model.pt").unwrap();
            message.to_owned()
        };
        assert_eq!(refused(), ": put a SAM checkpoint there");
        let put = |name: &str| std::fs::write(folder.path().join(name), b"weights").unwrap();
        let gone = |name: &str| std::fs::remove_file(folder.path().join(name)).unwrap();
        put("README.md");
        put("model.tar.gz");
        assert_eq!(refused(), "; it has model.tar.gz: unpack it there");
        gone("model.tar.gz");
        put(DETECTOR);
        assert_eq!(named_engine(folder.path()).unwrap(), EngineKind::Preview, "face models, for the preview");
        put("sam_ffhq_aging.pt");
        assert_eq!(refused(), "; it has sam_ffhq_aging.pt: rename it");
        ["Model.PT", "b.ckpt", "c.safetensors", "d.pth", "landmarks.dat.gz"].into_iter().for_each(put);
        assert_eq!(
            refused(),
            "; it has Model.PT, b.ckpt, c.safetensors, d.pth, 1 more: rename the SAM checkpoint among them"
        );
        assert_eq!(load(Some(folder.path())).unwrap().kind(), EngineKind::Preview, "as in the container");
        put("model.pt");
        assert_eq!(named_engine(folder.path()).unwrap(), EngineKind::Sam);
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
