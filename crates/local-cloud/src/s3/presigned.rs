//! Presigned URLs of a key whose secret is unknown here: only their expiry is checked.
//!
//! Signature version 4 has `X-Amz-Date` and `X-Amz-Expires` (seconds). Version 2, boto3's default, has `AWSAccessKeyId` and `Expires`
//! (seconds since 1970).

use http::{HeaderMap, HeaderName};

use crate::clock::now_millis;

const PARAMETERS: [&str; 10] = [
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Algorithm",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Security-Token",
    "AWSAccessKeyId",
    "Signature",
    "Expires",
];

/// The access key of a presigned URL.
pub(crate) fn access_key(query: &str) -> Option<String> {
    if let Some(key) = access_key_v2(query) {
        return Some(key.to_owned());
    }
    value(query, "X-Amz-Signature")?;
    let credential = value(query, "X-Amz-Credential")?.replace("%2f", "%2F");
    Some(credential.split("%2F").next()?.split('/').next()?.to_owned())
}

fn access_key_v2(query: &str) -> Option<&str> {
    value(query, "Signature")?;
    value(query, "AWSAccessKeyId")
}

/// Whether a query is that of a presigned URL that has expired, or whose expiry cannot be parsed.
pub(super) fn has_expired(query: &str) -> bool {
    access_key(query).is_some() && expiry(query).is_none_or(|seconds| seconds < now_millis() / 1000)
}

/// The first `x-amz-*` header beside a presigned URL of version 4 that its signature does not cover. Such a header could make the one
/// request that was presigned another: a copy, an ACL, a redirect. Version 2 signs them without naming them.
pub(super) fn unsigned_header<'a>(query: &str, headers: &'a HeaderMap) -> Option<&'a str> {
    value(query, "X-Amz-Signature")?;
    let signed = value(query, "X-Amz-SignedHeaders").unwrap_or_default().to_ascii_lowercase().replace("%3b", ";");
    let is_signed = |name: &str| signed.split(';').any(|signed| signed == name);
    headers.keys().map(HeaderName::as_str).find(|name| name.starts_with("x-amz-") && !is_signed(name))
}

/// The query without the parameters of its signature, in its order.
pub(super) fn without_signature(query: &str) -> String {
    let signed = value(query, "X-Amz-Signature").is_some() || access_key_v2(query).is_some();
    let kept = |pair: &&str| !signed || !PARAMETERS.contains(&name(pair));
    query.split('&').filter(kept).collect::<Vec<_>>().join("&")
}

/// Seconds since 1970.
fn expiry(query: &str) -> Option<i64> {
    if access_key_v2(query).is_some() {
        return value(query, "Expires")?.parse().ok();
    }
    let signed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", value(query, "X-Amz-Date")?).ok()?;
    let signed = signed.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    signed.checked_add(value(query, "X-Amz-Expires")?.parse().ok()?)
}

fn name(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default()
}

fn value<'a>(query: &'a str, wanted: &str) -> Option<&'a str> {
    query.split('&').find(|pair| name(pair) == wanted)?.split_once('=').map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "AWSAccessKeyId=A&Signature=x%3D&Expires=";
    const V4: &str = "x-id=PutObject&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2Fscope&X-Amz-Date=20200101T000000Z&X-Amz-Signature=0&X-Amz-Expires=";

    #[test]
    fn both_signature_versions_expire() {
        assert!(has_expired(&format!("{V2}1000")));
        assert!(!has_expired(&format!("{V2}99999999999")));
        assert!(has_expired(&format!("{V4}900")));
        assert!(!has_expired(&format!("{V4}9999999999")));
        assert!(has_expired(&format!("{V4}{}", i64::MAX)), "beyond the range of times");
        assert!(has_expired(&format!("{V2}soon")) && has_expired(&format!("{V4}soon")));
        assert!(!has_expired("list-type=2&prefix=Expires"));
    }

    #[test]
    fn headers_that_are_not_signed_are_found() {
        let found = |query: &str, name: &'static str| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), "x".parse().unwrap())]);
            unsigned_header(query, &headers).is_some()
        };
        let signed = format!("{V4}900&X-Amz-SignedHeaders=host%3Bx-amz-meta-kind");
        assert!(found(&signed, "x-amz-copy-source") && found(&signed, "x-amz-acl") && found(V4, "x-amz-meta-kind"));
        assert!(!found(&signed, "x-amz-meta-kind") && !found(&signed, "content-type"));
        assert!(!found("list-type=2", "x-amz-acl") && !found(V2, "x-amz-acl"));
    }

    #[test]
    fn other_parameters_are_kept() {
        assert_eq!(without_signature(&format!("{V4}900&versionId=1")), "x-id=PutObject&versionId=1");
        assert_eq!(without_signature(&format!("{V2}1000")), "");
        assert_eq!(without_signature("prefix=a&Expires=5"), "prefix=a&Expires=5");
    }
}
