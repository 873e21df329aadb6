//! The folder that pictures are written into, and the id in its name.

use std::path::{Path, PathBuf};

use anyhow::Context;
use pipeline::PortraitId;

/// `out/{id}`
pub(crate) fn default_folder(id: &PortraitId) -> PathBuf {
    Path::new("out").join(id.as_str())
}

/// Writes a file into a folder, which is created if it does not exist.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be created", folder.display()))?;
    let path = folder.join(name);
    std::fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// A portrait id from a file's name. Characters that are not allowed in an id become `-`.
pub(crate) fn id_of(photo: &Path) -> PortraitId {
    let stem = photo.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let name: String = stem.chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect();
    let name: String = name.trim_start_matches(['.', '_', '-']).chars().take(PortraitId::MAX_LEN).collect();
    name.parse().or_else(|_| "portrait".parse()).unwrap_or_else(|_: pipeline::IdError| unreachable!("a valid id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_file_names() {
        let id = |path: &str| id_of(Path::new(path)).to_string();
        assert_eq!(id("photos/Ada Lovelace.jpg"), "Ada-Lovelace");
        assert_eq!(id("..hidden.png"), "hidden");
        assert_eq!(id("é.png"), "portrait");
        assert_eq!(id(""), "portrait");
        assert_eq!(id(&format!("{}.png", "x".repeat(99))).len(), 48);
    }
}
