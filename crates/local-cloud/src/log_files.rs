//! The log files of child processes, which write to them directly.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The length of a log, in bytes, at which it becomes `.log.old`.
const LIMIT: u64 = 16 << 20;
/// How often the lengths are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Rotates long logs from time to time. Never returns.
pub(crate) async fn watch(folder: PathBuf) {
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let folder = folder.clone();
        match tokio::task::spawn_blocking(move || rotate(&folder, LIMIT)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a log cannot be rotated"),
            Err(error) => tracing::warn!(%error, "the rotation of logs broke off"),
        }
    }
}

/// Copies long logs and empties them. Their writers append, and so go on at the beginning.
fn rotate(folder: &Path, limit: u64) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        // The log of planned faults is a history, which is read as a whole.
        let is_log = path.extension().is_some_and(|ending| ending == "log") && !path.ends_with("faults.log");
        if is_log && entry.metadata()?.len() > limit {
            fs::copy(&path, path.with_extension("log.old"))?;
            File::options().write(true).open(&path)?.set_len(0)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_long_log_is_rotated_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("function.log");
        let mut writer = File::options().create(true).append(true).open(&path).unwrap();
        writer.write_all(b"a long line\n").unwrap();
        rotate(folder.path(), 100).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a long line\n");
        rotate(folder.path(), 5).unwrap();
        writer.write_all(b"next\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "next\n");
        assert_eq!(fs::read_to_string(path.with_extension("log.old")).unwrap(), "a long line\n");
        rotate(&folder.path().join("missing"), 5).unwrap();
    }
}
