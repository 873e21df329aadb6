//! The files of a folder, in order.

use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

/// An entry below a folder.
pub(super) struct Entry {
    /// The path below the folder, with `/` between its parts.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) kind: FileType,
}

/// All entries below a folder, each folder before its content, sorted by name. Links are not followed. A name that is not UTF-8 is an
/// error. An entry that disappears meanwhile is left out, and a missing folder has no entries.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    walk(folder, "", &mut found)?;
    Ok(found)
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<Entry>) -> io::Result<()> {
    let mut names = Vec::new();
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                names.push(entry?.file_name());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    names.sort();
    for name in names {
        let path = folder.join(&name);
        let Some(text) = name.to_str() else {
            let problem = format!("the name {} is not UTF-8", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        };
        let kind = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let name = format!("{prefix}{text}");
        let within = kind.is_dir().then(|| (path.clone(), format!("{name}/")));
        found.push(Entry { name, path, kind });
        if let Some((path, prefix)) = within {
            walk(&path, &prefix, found)?;
        }
    }
    Ok(())
}
