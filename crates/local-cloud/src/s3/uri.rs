//! S3 URIs.

/// Bucket and key of `s3://bucket/key`.
pub(crate) fn split_uri(uri: &str) -> Option<(&str, &str)> {
    uri.strip_prefix("s3://")?.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
}

/// Bucket and prefix of `s3://bucket` or `s3://bucket/prefix`. The prefix may be empty.
pub(crate) fn split_prefix(uri: &str) -> (&str, &str) {
    let path = uri.strip_prefix("s3://").unwrap_or(uri);
    path.split_once('/').unwrap_or((path, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_may_be_empty() {
        for (uri, parts) in [("s3://b", ("b", "")), ("s3://b/", ("b", "")), ("s3://b/p/q/", ("b", "p/q/"))] {
            assert_eq!(split_prefix(uri), parts, "{uri}");
        }
    }

    #[test]
    fn bucket_and_key_are_both_needed() {
        assert_eq!(split_uri("s3://b/k/l"), Some(("b", "k/l")));
        for bad in ["s3://b", "s3://b/", "s3:///k", "https://b/k", "/b/k", ""] {
            assert_eq!(split_uri(bad), None, "{bad}");
        }
    }
}
