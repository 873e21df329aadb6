//! S3 URIs.

/// Bucket and key of `s3://bucket/key`.
pub(crate) fn split_uri(uri: &str) -> Option<(&str, &str)> {
    uri.strip_prefix("s3://")?.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_and_key_are_both_needed() {
        assert_eq!(split_uri("s3://b/k/l"), Some(("b", "k/l")));
        for bad in ["s3://b", "s3://b/", "s3:///k", "https://b/k", "/b/k", ""] {
            assert_eq!(split_uri(bad), None, "{bad}");
        }
    }
}
