//! The data folder. It holds what clients upload, so only its owner may read it.

use std::fs;
use std::io;
use std::path::Path;

/// The beginnings of the names that a data folder's entries have.
#[cfg(unix)]
const ENTRIES: [&str; 10] = [
    "lock",
    "reserve",
    "secret-access-key",
    "token-key",
    "journal.db",
    "dynamodb.db",
    "tables-",
    "s3",
    "logs",
    "sagemaker",
];

/// Creates the folder if it is missing, for its owner only.
///
/// # Errors
/// Those of the system.
pub(crate) fn create(data: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(data)
}

/// Takes the rights of other users away from a folder and from what clouds wrote into it, under a laxer umask or in earlier versions.
///
/// A folder that holds anything else, such as a user's home, keeps its own rights. Folders that are closed already are not entered.
///
/// # Errors
/// Those of the system, on file systems without rights for instance.
#[cfg(unix)]
pub(crate) fn close(data: &Path) -> io::Result<()> {
    let mut is_shared = false;
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        let name = entry.file_name();
        match name.to_str().is_some_and(|name| ENTRIES.iter().any(|own| name.starts_with(own))) {
            true => close_tree(&entry.path())?,
            false => is_shared = true,
        }
    }
    if is_shared { Ok(()) } else { close_one(data, fs::metadata(data)?.permissions()) }
}

/// A folder is closed after its content, so that an interrupted run is repeated.
#[cfg(unix)]
fn close_tree(path: &Path) -> io::Result<()> {
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if found.is_symlink() || is_closed(&found.permissions()) {
        return Ok(());
    }
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            close_tree(&entry?.path())?;
        }
    }
    close_one(path, found.permissions())
}

#[cfg(unix)]
fn is_closed(permissions: &fs::Permissions) -> bool {
    std::os::unix::fs::PermissionsExt::mode(permissions) & 0o077 == 0
}

#[cfg(unix)]
fn close_one(path: &Path, mut permissions: fs::Permissions) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if is_closed(&permissions) {
        return Ok(());
    }
    permissions.set_mode(permissions.mode() & 0o700);
    fs::set_permissions(path, permissions)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().map_or(0, |found| found.permissions().mode() & 0o777)
    }

    #[test]
    fn an_earlier_versions_folder_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/data");
        create(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        fs::create_dir_all(data.join("s3/blobs")).unwrap();
        for name in ["lock", "journal.db-wal", "s3/blobs/photograph"] {
            fs::write(data.join(name), "x").unwrap();
            fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        for name in ["", "s3", "s3/blobs"] {
            fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        close(&data).unwrap();
        for (name, expected) in [("", 0o700), ("s3", 0o700), ("s3/blobs", 0o700), ("s3/blobs/photograph", 0o600)] {
            assert_eq!(mode(&data.join(name)), expected, "{name}");
        }
        assert_eq!((mode(&data.join("lock")), mode(&data.join("journal.db-wal"))), (0o600, 0o600));
    }

    #[test]
    fn a_folder_with_other_files_keeps_its_rights() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        for name in ["lock", "notes.txt"] {
            fs::write(data.join(name), "x").unwrap();
            fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(data, fs::Permissions::from_mode(0o755)).unwrap();
        close(data).unwrap();
        assert_eq!((mode(data), mode(&data.join("lock")), mode(&data.join("notes.txt"))), (0o755, 0o600, 0o644));
    }
}
