//! Tags of objects and buckets.

use s3s::dto::{Tag, TagSet};
use s3s::{S3Result, s3_error};

/// The most tags of an object.
pub(super) const MOST_OF_OBJECT: usize = 10;
/// The most tags of a bucket.
pub(super) const MOST_OF_BUCKET: usize = 50;

/// Reads the header `x-amz-tagging`, `key=value&key=value`.
///
/// # Errors
/// It is malformed, or a [rule](read) of tags is broken.
pub(super) fn parse(header: Option<&str>) -> S3Result<Vec<(String, String)>> {
    let mut tags = Vec::new();
    for pair in header.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        tags.push((decode(key)?, decode(value)?));
    }
    check(&tags, MOST_OF_OBJECT)?;
    tags.sort_unstable();
    Ok(tags)
}

fn decode(text: &str) -> S3Result<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
    Ok(decoded.map_err(|_| s3_error!(InvalidArgument, "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates."))?.into_owned())
}

/// Reads the tags of a document.
///
/// # Errors
/// There are too many, one is there twice, too long or begins with `aws:`.
pub(super) fn read(set: TagSet, most: usize) -> S3Result<Vec<(String, String)>> {
    let pair = |Tag { key, value }: Tag| (key.unwrap_or_default(), value.unwrap_or_default());
    let tags: Vec<_> = set.into_iter().map(pair).collect();
    check(&tags, most)?;
    Ok(tags)
}

fn check(tags: &[(String, String)], most: usize) -> S3Result {
    if tags.len() > most {
        let whose = if most == MOST_OF_OBJECT { "Object" } else { "Bucket" };
        return Err(s3_error!(InvalidTag, "{whose} tags cannot be greater than {most}"));
    }
    for (at, (key, value)) in tags.iter().enumerate() {
        let len = |text: &str| text.chars().count();
        if key.is_empty() || len(key) > 128 {
            return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid: it has 1 to 128 characters"));
        }
        if len(value) > 256 {
            return Err(s3_error!(
                InvalidTag,
                "The TagValue you have provided is invalid: it has at most 256 characters"
            ));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(s3_error!(InvalidTag, "System tags cannot be added/updated by requester"));
        }
        if tags[..at].iter().any(|(earlier, _)| earlier == key) {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
    }
    Ok(())
}

/// Tags as S3's structure.
pub(super) fn shown(tags: Vec<(String, String)>) -> TagSet {
    tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_header() {
        let tags = parse(Some("a=1&b+c=%C3%A4&empty")).unwrap();
        let expected = [("a", "1"), ("b c", "ä"), ("empty", "")];
        assert_eq!(tags, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert!(parse(None).unwrap().is_empty());
        let long = "x".repeat(129);
        let many: String = (0..11).map(|n| format!("k{n}=1&")).collect();
        for bad in ["a=1&a=2", "aws:x=1", "=1", "a=%ff", long.as_str(), many.as_str()] {
            assert!(parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
