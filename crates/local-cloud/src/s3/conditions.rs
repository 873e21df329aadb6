//! Conditions of reads, writes, copies and deletions: `If-Match`, `If-None-Match`, and the dates. Dates of HTTP are whole seconds.

use http::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use s3s::dto::{ETag, ETagCondition, Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::object::Object;
use super::store_error::StoreError;

/// The ETag of an object.
pub(super) fn etag(object: &Object) -> ETag {
    ETag::Strong(object.etag.clone())
}

fn holds(condition: &ETagCondition, object: &Object) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(expected) => etag(object).weak_cmp(expected),
    }
}

/// Whole seconds since 1970.
fn seconds(time: &Timestamp) -> i64 {
    let mut text = Vec::new();
    let written = time.format(TimestampFormat::EpochSeconds, &mut text);
    let text = written.ok().and_then(|()| String::from_utf8(text).ok()).unwrap_or_default();
    text.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or_default()
}

fn modified_since(object: &Object, since: &Timestamp) -> bool {
    object.modified.div_euclid(1000) > seconds(since)
}

/// The conditions of a read, or those that a copy sets for its source.
#[derive(Clone, Debug, Default)]
pub(super) struct Read {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

/// What the conditions of a read say about an object.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Read,
    NotModified,
    Failed,
}

impl Read {
    /// An ETag outweighs a date: with `If-Match`, `If-Unmodified-Since` is ignored, and so is `If-Modified-Since` with `If-None-Match`
    /// (*GetObject*, Amazon S3 API Reference).
    fn verdict(&self, object: &Object) -> Verdict {
        let may_be_read = match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) => holds(condition, object),
            (None, Some(since)) => !modified_since(object, since),
            (None, None) => true,
        };
        let is_new = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => !holds(condition, object),
            (None, Some(since)) => modified_since(object, since),
            (None, None) => true,
        };
        match (may_be_read, is_new) {
            (false, _) => Verdict::Failed,
            (true, false) => Verdict::NotModified,
            (true, true) => Verdict::Read,
        }
    }

    /// # Errors
    /// `PreconditionFailed`, or `NotModified` with the headers that a cache needs to renew its entry.
    pub(super) fn check(&self, object: &Object) -> S3Result {
        match self.verdict(object) {
            Verdict::Read => Ok(()),
            Verdict::Failed => Err(StoreError::PreconditionFailed.into()),
            Verdict::NotModified => {
                let mut headers = http::HeaderMap::new();
                let cache_control = object.attributes.cache_control.clone();
                for (name, value) in [(ETAG, Some(format!("\"{}\"", object.etag))), (CACHE_CONTROL, cache_control)] {
                    if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                        headers.insert(name, value);
                    }
                }
                let mut error = S3Error::new(S3ErrorCode::NotModified);
                error.set_headers(headers);
                Err(error)
            }
        }
    }

    /// The same for the source of a copy, where each failure is `PreconditionFailed`.
    pub(super) fn check_source(&self, object: &Object) -> Result<(), StoreError> {
        if self.verdict(object) == Verdict::Read { Ok(()) } else { Err(StoreError::PreconditionFailed) }
    }
}

/// The conditions of a write.
#[derive(Clone, Debug, Default)]
pub(super) struct Write {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

impl Write {
    /// Those of a request's headers.
    ///
    /// # Errors
    /// An ETag is malformed.
    pub(super) fn of(headers: &http::HeaderMap) -> S3Result<Self> {
        let read = |name: http::HeaderName| {
            let value = headers.get(&name).map(|value| ETagCondition::parse_http_header(value.as_bytes()));
            value.transpose().map_err(|_| s3_error!(InvalidArgument, "the header {name} is not an ETag"))
        };
        Ok(Self { if_match: read(IF_MATCH)?, if_none_match: read(IF_NONE_MATCH)? })
    }

    /// # Errors
    /// `NoSuchKey` if an object is expected and there is none, else `PreconditionFailed`.
    pub(super) fn check(&self, key: &str, now: Option<&Object>) -> Result<(), StoreError> {
        match (&self.if_match, now) {
            (Some(_), None) => return Err(StoreError::NoSuchKey(key.to_owned())),
            (Some(condition), Some(now)) if !holds(condition, now) => return Err(StoreError::PreconditionFailed),
            _ => {}
        }
        match (&self.if_none_match, now) {
            (Some(condition), Some(now)) if holds(condition, now) => Err(StoreError::PreconditionFailed),
            _ => Ok(()),
        }
    }
}

/// The conditions of a deletion.
#[derive(Clone, Debug, Default)]
pub(super) struct Deletion {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) last_modified: Option<Timestamp>,
    pub(super) size: Option<i64>,
}

impl Deletion {
    /// # Errors
    /// `NoSuchKey` for a condition about an object that does not exist, else `PreconditionFailed`.
    pub(super) fn check(&self, key: &str, now: Option<&Object>) -> Result<(), StoreError> {
        let Some(now) = now else {
            let conditional = self.if_match.is_some() || self.last_modified.is_some() || self.size.is_some();
            return if conditional { Err(StoreError::NoSuchKey(key.to_owned())) } else { Ok(()) };
        };
        let matches = self.if_match.as_ref().is_none_or(|condition| holds(condition, now));
        let is_of_time = self.last_modified.as_ref().is_none_or(|time| now.modified.div_euclid(1000) == seconds(time));
        let is_of_size = self.size.is_none_or(|size| u64::try_from(size) == Ok(now.size));
        if matches && is_of_time && is_of_size { Ok(()) } else { Err(StoreError::PreconditionFailed) }
    }
}

/// The part of a multipart upload's condition on its initiation.
pub(super) fn initiated_at(initiated: i64, expected: &Timestamp) -> S3Result {
    if initiated.div_euclid(1000) == seconds(expected) {
        Ok(())
    } else {
        Err(s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::object::Attributes;
    use super::*;

    fn object() -> Object {
        Object {
            key: "k".into(),
            blob: "b".into(),
            size: 5,
            etag: "e".into(),
            // Half a second past: a date of HTTP cannot say that.
            modified: 1_000_500,
            attributes: Attributes::default(),
        }
    }

    fn time(seconds: u64) -> Option<Timestamp> {
        Some(Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
    }

    fn tag(text: &str) -> Option<ETagCondition> {
        Some(ETagCondition::ETag(ETag::Strong(text.into())))
    }

    #[test]
    fn dates_and_etags_of_reads() {
        let read = |change: fn(&mut Read)| {
            let mut read = Read::default();
            change(&mut read);
            read.verdict(&object())
        };
        assert_eq!(read(|_| ()), Verdict::Read);
        assert_eq!(read(|read| read.if_modified_since = time(1000)), Verdict::NotModified);
        assert_eq!(read(|read| read.if_modified_since = time(999)), Verdict::Read);
        assert_eq!(read(|read| read.if_unmodified_since = time(1000)), Verdict::Read);
        assert_eq!(read(|read| read.if_unmodified_since = time(999)), Verdict::Failed);
        assert_eq!(read(|read| read.if_match = tag("other")), Verdict::Failed);
        assert_eq!(read(|read| read.if_none_match = tag("e")), Verdict::NotModified);
        let both = |read: &mut Read| (read.if_match, read.if_unmodified_since) = (tag("e"), time(1));
        assert_eq!(read(both), Verdict::Read);
        let both = |read: &mut Read| (read.if_none_match, read.if_modified_since) = (tag("e"), time(1));
        assert_eq!(read(both), Verdict::NotModified);
    }

    #[test]
    fn writes_tell_a_missing_object_from_another_one() {
        let write = Write { if_match: tag("e"), if_none_match: None };
        assert!(write.check("k", Some(&object())).is_ok());
        assert!(matches!(write.check("k", None), Err(StoreError::NoSuchKey(_))));
        let other = Write { if_match: tag("f"), if_none_match: None };
        assert!(matches!(other.check("k", Some(&object())), Err(StoreError::PreconditionFailed)));
        let create = Write { if_match: None, if_none_match: Some(ETagCondition::Any) };
        assert!(create.check("k", None).is_ok());
        assert!(matches!(create.check("k", Some(&object())), Err(StoreError::PreconditionFailed)));
    }

    #[test]
    fn deletions_check_size_and_time_too() {
        let good = Deletion { if_match: tag("e"), last_modified: time(1000), size: Some(5) };
        assert!(good.check("k", Some(&object())).is_ok());
        assert!(matches!(good.check("k", None), Err(StoreError::NoSuchKey(_))));
        assert!(Deletion::default().check("k", None).is_ok());
        for bad in [
            Deletion { if_match: tag("f"), ..Deletion::default() },
            Deletion { last_modified: time(999), ..Deletion::default() },
            Deletion { size: Some(-1), ..Deletion::default() },
        ] {
            assert!(matches!(bad.check("k", Some(&object())), Err(StoreError::PreconditionFailed)));
        }
    }
}
