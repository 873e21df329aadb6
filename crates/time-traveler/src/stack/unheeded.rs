//! Objects that look like uploads and start no job. S3 takes any key, and its answer cannot say so.

use lambda::Tenancy;
use pipeline::{PortraitId, PortraitKey, keys};

use super::INPUT_BUCKET;

/// Why a new object starts no job. `None`: it starts one, or is no upload.
pub(crate) fn reason(tenancy: Tenancy, bucket: &str, key: &str) -> Option<String> {
    // A key that ends in a slash is a folder of S3's console.
    if bucket != INPUT_BUCKET || key.starts_with(keys::INPUTS) || key.ends_with('/') {
        return None;
    }
    let shown = |key: &str| key.chars().take(60).collect::<String>();
    match (keys::uploaded(key), tenancy) {
        (Some(portrait), Tenancy::Shared) => {
            let error = portrait.parse::<PortraitId>().err()?;
            Some(format!("{bucket}/{}ID: {error}", keys::UPLOADS))
        }
        (Some(portrait), Tenancy::Owner) => {
            let is_whole = portrait.parse::<PortraitKey>().is_ok_and(|portrait| tenancy.has(&portrait));
            let named = shown(portrait);
            (!is_whole).then(|| format!("{bucket}/{}{named:?} has no owner: OWNER/ID would work", keys::UPLOADS))
        }
        (None, _) => {
            let key = shown(key);
            let id = if tenancy == Tenancy::Owner { "OWNER/ID" } else { "ID" };
            Some(format!("{bucket}: {key:?} is not below {}: {}{id} would work", keys::UPLOADS, keys::UPLOADS))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(bucket: &str, key: &str) -> Option<String> {
        super::reason(Tenancy::Shared, bucket, key)
    }

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

    #[test]
    fn with_owners_a_key_names_one() {
        let reason = |key: &str| super::reason(Tenancy::Owner, "portraits", key);
        assert_eq!(reason("uploads/ann/ada"), None);
        let expected = "portraits/uploads/\"ada\" has no owner: OWNER/ID would work";
        assert_eq!(reason("uploads/ada").as_deref(), Some(expected));
        for bad in ["uploads/ann/bob/ada", "uploads/../ada", "uploads/ann/-x", "ada"] {
            assert!(reason(bad).is_some_and(|reason| reason.contains("OWNER/ID")), "{bad}");
        }
    }
}
