//! The volumes of a container, as one program sees them at `/opt/ml`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use local_cloud::process::View;

use super::compose_file::Mount;

/// What a container of SageMaker finds its files under.
const BASE: &str = "/opt/ml";

/// The folders of one container, prepared.
pub(super) struct Mounts {
    /// What lies at `/opt/ml` beside the volumes.
    folder: PathBuf,
    /// Ordered, so that a folder comes after the one that it lies in.
    mounts: Vec<Mount>,
    hosts: PathBuf,
    stash: PathBuf,
}

impl Mounts {
    /// Makes the folders that are missing. `names` are the containers that this one can reach. `folder` is new, for this container.
    ///
    /// # Errors
    /// A volume is not below `/opt/ml`, or a folder cannot be made.
    pub(super) fn prepare(mounts: &[Mount], names: &[&str], folder: &Path) -> anyhow::Result<Self> {
        let (ml, hosts, stash) = (folder.join("ml"), folder.join("hosts"), folder.join("stash"));
        let made =
            |folder: &Path| fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()));
        for folder in [&ml, &stash] {
            made(folder)?;
        }
        let known = fs::read_to_string("/etc/hosts").unwrap_or_else(|_| "127.0.0.1 localhost\n".to_owned());
        fs::write(&hosts, format!("{}\n127.0.0.1 {}\n", known.trim_end(), names.join(" ")))?;
        let mut mounts = mounts.to_vec();
        mounts.sort_by(|one, other| one.at.cmp(&other.at));
        let mut ready: Vec<Mount> = Vec::new();
        for mount in mounts {
            if !mount.at.starts_with(BASE) || mount.at == Path::new(BASE) || has_parents(&mount.at) {
                bail!("the volume {} cannot be shown to a program: only paths below {BASE} can", mount.at.display());
            }
            made(&mount.folder)?;
            // Docker makes the place where a volume appears, in the volume around it.
            let place = place(&ready, &ml, &mount.at)?;
            made(&place)?;
            ready.push(mount);
        }
        Ok(Self { folder: ml, mounts: ready, hosts, stash })
    }

    /// The volumes at `/opt/ml`, for one program.
    pub(super) fn view(&self) -> View {
        let volumes = self.mounts.iter().map(|mount| (mount.folder.clone(), mount.at.clone()));
        let folders = std::iter::once((self.folder.clone(), PathBuf::from(BASE))).chain(volumes).collect();
        View::new(folders, Some(self.hosts.clone()), self.stash.clone())
    }

    /// The folder with links to the volumes, where a system gives a program no view of its own.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn linked(&self) -> io::Result<&Path> {
        for (number, mount) in self.mounts.iter().enumerate() {
            let place = place(&self.mounts[..number], &self.folder, &mount.at).map_err(io::Error::other)?;
            // The SDK mounts a folder of a volume by itself, too. It is there already, and a link to it would lead to itself.
            if fs::canonicalize(&place)? == fs::canonicalize(&mount.folder)? {
                continue;
            }
            // Docker hides what a folder holds where a volume appears in it. A link can only replace an empty one.
            fs::remove_dir(&place)?;
            #[cfg(unix)]
            std::os::unix::fs::symlink(&mount.folder, &place)?;
        }
        Ok(&self.folder)
    }
}

fn has_parents(path: &Path) -> bool {
    path.components().any(|part| part == std::path::Component::ParentDir)
}

/// Where a path of the container lies on this machine: in the innermost of the volumes around it.
fn place(volumes: &[Mount], base: &Path, at: &Path) -> anyhow::Result<PathBuf> {
    let around = volumes.iter().rev().find(|volume| at.starts_with(&volume.at));
    let (folder, shown) =
        around.map_or((base, Path::new(BASE)), |volume| (volume.folder.as_path(), volume.at.as_path()));
    Ok(folder.join(at.strip_prefix(shown)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(folder: &Path, at: &str) -> Mount {
        Mount { folder: folder.to_owned(), at: at.into() }
    }

    #[test]
    fn volumes_lie_in_one_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mounts = [
            mount(&path("data"), "/opt/ml/input/data/train"),
            mount(&path("host/input"), "/opt/ml/input"),
            mount(&path("model"), "/opt/ml/model"),
            mount(&path("host/output"), "/opt/ml/output"),
            mount(&path("host/output/data"), "/opt/ml/output/data"),
        ];
        fs::create_dir(path("data")).unwrap();
        fs::write(path("data/rows.csv"), "1").unwrap();
        let mounts = Mounts::prepare(&mounts, &["algo-1"], &path("container")).unwrap();
        assert!(
            path("host/input/data/train").is_dir() && path("model").is_dir() && path("container/ml/input").is_dir()
        );
        assert!(fs::read_to_string(path("container/hosts")).unwrap().ends_with("127.0.0.1 algo-1\n"));
        let base = mounts.linked().unwrap();
        assert_eq!(fs::read_to_string(base.join("input/data/train/rows.csv")).unwrap(), "1");
        fs::write(base.join("model/weights"), "2").unwrap();
        assert_eq!(fs::read_to_string(path("model/weights")).unwrap(), "2");
        // A volume that lies in another one on this machine as well.
        fs::write(base.join("output/data/rows"), "3").unwrap();
        assert_eq!(fs::read_to_string(path("host/output/data/rows")).unwrap(), "3");
    }

    #[test]
    fn other_paths_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for at in ["/data", "/opt/ml", "/opt/ml/../../etc", "/opt/mlx/a"] {
            let refused = Mounts::prepare(&[mount(folder.path(), at)], &[], &folder.path().join("c")).err().unwrap();
            assert_eq!(
                refused.to_string(),
                format!("the volume {at} cannot be shown to a program: only paths below /opt/ml can")
            );
        }
    }
}
