//! Objects that look like uploads and start no job. S3 takes any key, and its answer cannot say so.

use pipeline::{PortraitId, keys};

use super::INPUT_BUCKET;

/// Why a new object starts no job. `None`: it starts one, or is no upload.
pub(crate) fn reason(bucket: &str, key: &str) -> Option<String> {
    // A key that ends in a slash is a folder of S3's console.
    if bucket != INPUT_BUCKET || key.starts_with(keys::INPUTS) || key.ends_with('/') {
        return None;
    }
    match keys::upload_id(key).map(str::parse::<PortraitId>) {
        Some(Ok(_)) => None,
        Some(Err(error)) => Some(format!("{bucket}/{}ID: {error}", keys::UPLOADS)),
        None => {
            let key: String = key.chars().take(60).collect();
            Some(format!("{bucket}: {key:?} is not below {}: {}ID would work", keys::UPLOADS, keys::UPLOADS))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_start_no_job_are_named() {
        let ids = "1 to 48 letters, digits, '.', '_' and '-' that begin with a letter or a digit would work";
        for id in ["my photo.jpg", "José.jpg", "a/b.jpg", "-x", "\u{1b}[2J\n", "\u{9b}2J", ""] {
            let reason = reason("portraits", &format!("uploads/{id}"));
            let expected =
                (!id.is_empty()).then(|| format!("portraits/uploads/ID: {id:?} is not a portrait id: {ids}"));
            assert_eq!(reason, expected);
            assert!(!reason.unwrap_or_default().contains(char::is_control));
        }
        let beside = reason("portraits", "photo\n.jpg").unwrap();
        assert_eq!(beside, "portraits: \"photo\\n.jpg\" is not below uploads/: uploads/ID would work");
        for heeded in ["uploads/ada", "uploads/photo.jpg", "inputs/ada/f9a7fc15f5e0/01", "uploads/folder/"] {
            assert_eq!(reason("portraits", heeded), None, "{heeded}");
        }
        assert_eq!(reason("time-traveler", "images/ada/f9a7fc15f5e0/0.jpg"), None);
    }
}
