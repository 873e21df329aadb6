//! The file of a picture that a user names.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::escape::Shown;

/// The most bytes of a picture that is handled on this machine: 64 million pixels of noise as PNG.
pub(crate) const MAX_BYTES: u64 = 256 << 20;

/// Reads a picture of at most `limit` bytes.
///
/// # Errors
/// Where the path is that of a folder, a device or a named pipe, which may never end, or the picture is longer or cannot be read.
pub(crate) fn read(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let unreadable = || format!("the photo {} cannot be read", path.shown());
    let kind = path.metadata().with_context(unreadable)?;
    ensure!(
        kind.is_file() || is_stream(path),
        "the photo {} is no file: a JPEG, PNG or WebP picture would work",
        path.shown()
    );
    let file = File::open(path).with_context(unreadable)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).with_context(unreadable)?;
    let size = if kind.is_file() { kind.len().max(bytes.len() as u64) } else { bytes.len() as u64 };
    ensure!(size <= limit, "the photo {} has {size} bytes or more: at most {limit} work", path.shown());
    Ok(bytes)
}

/// Whether a path stands for what a shell passes to this process: `<(command)` of bash and zsh, or `/dev/stdin`.
fn is_stream(path: &Path) -> bool {
    path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd") || path == Path::new("/dev/stdin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_read_and_up_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a\nb");
        std::fs::write(&file, "12345").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        let error = read(&file, 4).unwrap_err().to_string();
        assert!(error.contains("a\\nb has 5 bytes or more: at most 4 work"), "{error}");
        for path in [Path::new("/dev/zero"), folder.path()] {
            let error = read(path, 5).unwrap_err().to_string();
            assert!(error.contains("is no file"), "{error}");
        }
    }
}
