//! Headers of a request that an object keeps.

use std::collections::BTreeMap;

use http::header::EXPIRES;
use http::{Extensions, HeaderMap, HeaderValue};
use s3s::dto::{Metadata, StorageClass, Timestamp};
use s3s::{S3Result, s3_error};

/// The most bytes of user metadata: the keys without `x-amz-meta-`, and the values.
const MOST_METADATA: usize = 2048;

/// What S3 says of an object whose writer named no media type.
pub(super) const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// Classes whose objects are read at once. The others need a restore first.
const STORAGE_CLASSES: [&str; 6] =
    ["STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"];

/// The header `Expires` of a request, as it was sent. S3 takes any text, and `s3s` only dates.
#[derive(Clone, Debug)]
pub(super) struct Expires(pub(super) HeaderValue);

/// The `Expires` of an object that a request writes. `date` is what `s3s` made of it.
pub(super) fn expires(headers: &HeaderMap, extensions: &Extensions, date: Option<&Timestamp>) -> Option<String> {
    let kept = extensions.get::<Expires>().map(|Expires(value)| value);
    let text = kept.or_else(|| headers.get(EXPIRES).filter(|_| date.is_some()));
    text.and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// # Errors
/// It is larger than 2 KB.
pub(super) fn metadata(metadata: Option<Metadata>) -> S3Result<BTreeMap<String, String>> {
    let metadata: BTreeMap<_, _> = metadata.unwrap_or_default().into_iter().collect();
    let size: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size <= MOST_METADATA {
        return Ok(metadata);
    }
    Err(s3_error!(
        MetadataTooLarge,
        "Your metadata headers exceed the maximum allowed metadata size: they have {size} bytes, and {MOST_METADATA} would work"
    ))
}

/// The class of a request. `None`: `STANDARD`.
///
/// # Errors
/// It is unknown, or its objects would have to be restored before they are read.
pub(super) fn storage_class(class: Option<StorageClass>) -> S3Result<Option<String>> {
    match class.as_ref().map(StorageClass::as_str) {
        None | Some("STANDARD") => Ok(None),
        Some(known) if STORAGE_CLASSES.contains(&known) => Ok(Some(known.to_owned())),
        Some(archive @ ("GLACIER" | "DEEP_ARCHIVE")) => Err(s3_error!(
            NotImplemented,
            "x-amz-storage-class {archive} is not implemented by the local cloud: GLACIER_IR would work"
        )),
        Some(other) => Err(s3_error!(
            InvalidStorageClass,
            "The storage class you specified is not valid: {other}. {} would work",
            STORAGE_CLASSES.join(", ")
        )),
    }
}

/// The content codings without `aws-chunked`, which is the request's own.
pub(super) fn content_encoding(codings: Option<String>) -> Option<String> {
    let codings = codings?;
    let others = codings.split(',').map(str::trim).filter(|coding| !coding.eq_ignore_ascii_case("aws-chunked"));
    let others = others.collect::<Vec<_>>().join(", ");
    (!others.is_empty()).then_some(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_has_a_limit() {
        let of = |size: usize| metadata(Some([("k".to_owned(), "v".repeat(size))].into_iter().collect()));
        assert_eq!(of(2047).unwrap()["k"].len(), 2047);
        assert!(of(2048).is_err());
    }

    #[test]
    fn classes_and_codings() {
        let class = |name: &str| storage_class(Some(name.to_owned().into()));
        assert_eq!((class("STANDARD").unwrap(), class("GLACIER_IR").unwrap()), (None, Some("GLACIER_IR".to_owned())));
        assert!(class("GLACIER").is_err() && class("standard").is_err());
        let coding = |text: &str| content_encoding(Some(text.to_owned()));
        assert_eq!(
            (coding("aws-chunked"), coding("gzip, aws-chunked"), coding("gzip")),
            (None, Some("gzip".to_owned()), Some("gzip".to_owned()))
        );
    }
}
