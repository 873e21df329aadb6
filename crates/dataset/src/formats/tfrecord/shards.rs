//! Files of one data set: `NAME-00000-of-00010`.

use std::path::{Path, PathBuf};

use crate::DatasetError;

/// The most shards of a data set.
const MAX_SHARDS: u32 = 100_000;

/// The name of one shard of several.
pub(crate) fn name(base: &Path, shard: u32, of: u32) -> PathBuf {
    if of == 1 {
        return base.to_owned();
    }
    let mut name = base.as_os_str().to_owned();
    name.push(format!("-{shard:05}-of-{of:05}"));
    name.into()
}

/// The files that a name means: itself if there is such a file, else its shards. `NAME-?????-of-00010` and `NAME@10`, as TensorFlow's
/// configurations write them, mean the shards too.
///
/// # Errors
/// [`DatasetError::Refused`]: no such file, or shards are missing.
pub(crate) fn files(named: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    if named.is_file() {
        return Ok(vec![named.to_owned()]);
    }
    let text = named.to_string_lossy();
    let base = match (text.split_once("-?"), text.rsplit_once('@')) {
        (Some((base, _)), _) => base,
        (_, Some((base, count))) if count.parse::<u32>().is_ok() => base,
        _ => text.trim_end_matches('*'),
    };
    let base = Path::new(base);
    let folder = base.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prefix = base.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let entries = std::fs::read_dir(folder).map_err(DatasetError::io(folder, "read"))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(DatasetError::io(folder, "read"))?;
        if let Some(shard) = entry.file_name().to_str().and_then(|name| parse(name.strip_prefix(prefix)?)) {
            found.push((shard, entry.path()));
        }
    }
    found.sort();
    let Some(((_, of), _)) = found.first() else {
        return Err(DatasetError::refused(named, "there is no such file, and no shard of this name"));
    };
    let of = *of;
    if found.iter().any(|((_, other), _)| *other != of) {
        return Err(DatasetError::refused(named, "there are shards of several counts: name the files one by one"));
    }
    if found.len() != of as usize {
        let missing = (0..of).find(|shard| !found.iter().any(|((known, _), _)| known == shard)).unwrap_or(0);
        let reason = format!("{} of {of} shards are there, and -{missing:05}-of-{of:05} is missing", found.len());
        return Err(DatasetError::refused(named, reason));
    }
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The number and the count of `-00000-of-00010`.
fn parse(end: &str) -> Option<(u32, u32)> {
    let (shard, of) = end.strip_prefix('-')?.split_once("-of-")?;
    let number = |text: &str| (text.len() >= 5).then(|| text.parse::<u32>().ok())?;
    let (shard, of) = (number(shard)?, number(of)?);
    (shard < of && of <= MAX_SHARDS).then_some((shard, of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_found_by_any_of_their_names_and_missing_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("train.record");
        for shard in [0, 2, 1] {
            std::fs::write(name(&base, shard, 3), "").unwrap();
        }
        let all: Vec<PathBuf> = (0..3).map(|shard| name(&base, shard, 3)).collect();
        for end in ["", "*", "@3", "-?????-of-00003"] {
            assert_eq!(files(&folder.path().join(format!("train.record{end}"))).unwrap(), all, "{end}");
        }
        assert_eq!(files(&all[1]).unwrap(), all[1..2]);
        std::fs::remove_file(&all[1]).unwrap();
        let error = files(&base).unwrap_err().to_string();
        assert!(error.contains("2 of 3 shards are there, and -00001-of-00003 is missing"), "{error}");
        assert!(files(&folder.path().join("other")).unwrap_err().to_string().contains("no shard"));
    }
}
