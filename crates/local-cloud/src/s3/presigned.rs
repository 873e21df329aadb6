//! Presigned URLs of a key whose secret is unknown here: their expiry is checked, and their [method] where it can be found.
//!
//! Signature version 4 has `X-Amz-Date` and `X-Amz-Expires` (seconds). Version 2, boto3's default, has `AWSAccessKeyId` and `Expires`
//! (seconds since 1970).

pub(super) mod method;

use http::{HeaderMap, HeaderName, Method};
use s3s::{S3Error, S3Result, s3_error};

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

/// The longest validity of a URL of version 4, in seconds: a week.
const LONGEST: i64 = 604_800;

/// Checks a presigned URL, if a query is that of one: its expiry, and the method if the URL names its operation, as the SDK for
/// JavaScript's do.
///
/// # Errors
/// `AccessDenied`, `AuthorizationQueryParametersError` or `SignatureDoesNotMatch`.
pub(super) fn check(method: &Method, query: &str) -> S3Result {
    if access_key(query).is_none() {
        return Ok(());
    }
    if access_key_v2(query).is_none() {
        let valid = value(query, "X-Amz-Expires").and_then(|seconds| seconds.parse::<i64>().ok());
        match valid {
            Some(1..=LONGEST) => {}
            _ => {
                return Err(s3_error!(
                    AuthorizationQueryParametersError,
                    "X-Amz-Expires must be a number from 1 to {LONGEST} seconds"
                ));
            }
        }
    }
    if expiry(query).is_none_or(|seconds| seconds < now_millis() / 1000) {
        return Err(s3_error!(AccessDenied, "Request has expired"));
    }
    let of_operation = value(query, "x-id").and_then(|operation| {
        let verbs = [
            ("Put", Method::PUT),
            ("UploadPart", Method::PUT),
            ("Get", Method::GET),
            ("List", Method::GET),
            ("Head", Method::HEAD),
            ("Delete", Method::DELETE),
        ];
        verbs.into_iter().find(|(verb, _)| operation.starts_with(verb)).map(|(_, method)| method)
    });
    if of_operation.is_some_and(|signed| signed != *method) {
        return Err(of_another_method());
    }
    Ok(())
}

fn of_another_method() -> S3Error {
    s3_error!(
        SignatureDoesNotMatch,
        "The request signature we calculated does not match the signature you provided: the URL was made for another method."
    )
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
        let code = |query: String| check(&Method::PUT, &query).err().map(|error| error.code().as_str().to_owned());
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let fresh = V4.replace("20200101T000000Z", &now);
        assert_eq!(code(format!("{V2}1000")).as_deref(), Some("AccessDenied"));
        assert_eq!(code(format!("{V2}99999999999")), None);
        assert_eq!(code(format!("{V4}900")).as_deref(), Some("AccessDenied"));
        assert_eq!(code(format!("{fresh}900")), None);
        assert_eq!(code(format!("{V2}soon")).as_deref(), Some("AccessDenied"));
        for bad in ["soon", "0", "-7", "604801", "9223372036854775807", "9223372036854775808"] {
            let code = code(format!("{fresh}{bad}"));
            assert_eq!(code.as_deref(), Some("AuthorizationQueryParametersError"), "{bad}");
        }
        assert_eq!(code("list-type=2&prefix=Expires".to_owned()), None);
    }

    #[test]
    fn a_url_that_names_its_operation_is_for_its_method() {
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let url = format!("{}900", V4.replace("20200101T000000Z", &now));
        assert!(check(&Method::PUT, &url).is_ok());
        assert!(check(&Method::GET, &url).is_err());
        assert!(check(&Method::PUT, &url.replace("PutObject", "GetObject")).is_err());
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
