//! The method that a presigned URL was signed for. It can be found where the secret of its key is known: where the secret is the key's id,
//! as in the examples of the documents.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;
use s3s::S3Result;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{access_key, access_key_v2, name, of_another_method, value};
use crate::digest::hex;
use crate::s3::post::signature_4;

const METHODS: [Method; 5] = [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE];

/// The parameters of a query that version 2 signs, besides those that begin with `response-`.
const SIGNED_BY_VERSION_2: [&str; 19] = [
    "acl",
    "cors",
    "delete",
    "encryption",
    "lifecycle",
    "location",
    "logging",
    "notification",
    "partNumber",
    "policy",
    "requestPayment",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// # Errors
/// `SignatureDoesNotMatch`: the URL was signed for another method. A signature of an unknown secret fits none, and is accepted.
pub(in crate::s3) fn check(method: &Method, uri: &Uri, headers: &HeaderMap) -> S3Result {
    let query = uri.query().unwrap_or_default();
    let Some(secret) = access_key(query) else { return Ok(()) };
    let is_for = |method: &Method| {
        if access_key_v2(query).is_some() {
            value(query, "Signature").is_some_and(|given| decoded(given) == version_2(method, uri, headers, &secret))
        } else {
            let signed = version_4(method, uri, headers, &secret);
            signed.is_some_and(|signed| value(query, "X-Amz-Signature") == Some(signed.as_str()))
        }
    };
    if !is_for(method) && METHODS.iter().any(is_for) { Err(of_another_method()) } else { Ok(()) }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

/// The signature of a request (*Authenticating requests: using query parameters*, Amazon S3 API Reference).
fn version_4(method: &Method, uri: &Uri, headers: &HeaderMap, secret: &str) -> Option<String> {
    let query = uri.query()?;
    let mut pairs: Vec<(&str, &str)> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let names = decoded(value(query, "X-Amz-SignedHeaders")?);
    let signed: String = names.split(';').map(|name| format!("{name}:{}\n", header(headers, name))).collect();
    let canonical = format!("{method}\n{}\n{}\n{signed}\n{names}\nUNSIGNED-PAYLOAD", uri.path(), pairs.join("&"));
    let credential = decoded(value(query, "X-Amz-Credential")?);
    let (_, scope) = credential.split_once('/')?;
    let mut parts = scope.split('/');
    let (day, region) = (parts.next()?, parts.next()?);
    let date = value(query, "X-Amz-Date")?;
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    Some(signature_4(secret, day, region, &text))
}

/// The signature of a request (*Signing and authenticating REST requests (AWS signature version 2)*, Amazon S3 User Guide).
fn version_2(method: &Method, uri: &Uri, headers: &HeaderMap, secret: &str) -> String {
    let query = uri.query().unwrap_or_default();
    let mut amz: Vec<String> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-amz-"))
        .map(|name| format!("{name}:{}\n", header(headers, name.as_str())))
        .collect();
    amz.sort_unstable();
    let is_signed = |pair: &&str| SIGNED_BY_VERSION_2.contains(&name(pair)) || pair.starts_with("response-");
    let mut resources: Vec<String> = query.split('&').filter(is_signed).map(decoded).collect();
    resources.sort_unstable();
    // The bucket is in the host name, or the first part of the path.
    let bucket = header(headers, HOST.as_str()).split_once(".localhost");
    let bucket = bucket.map(|(bucket, _)| format!("/{bucket}")).unwrap_or_default();
    let separator = if resources.is_empty() { "" } else { "?" };
    let text = format!(
        "{method}\n{}\n{}\n{}\n{}{bucket}{}{separator}{}",
        header(headers, "content-md5"),
        header(headers, CONTENT_TYPE.as_str()),
        value(query, "Expires").unwrap_or_default(),
        amz.concat(),
        uri.path(),
        resources.join("&"),
    );
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by botocore 1.44.8 with the key `any` and the secret `any`.
    const URLS: [(Method, &str); 8] = [
        (
            Method::GET,
            "http://127.0.0.1:4566/b/a%20b/%C3%A4%2B%26?AWSAccessKeyId=any&Signature=yAalwA%2Bif9iCz2jSySm2Fp4slGk%3D&Expires=1795897551",
        ),
        (
            Method::PUT,
            "http://127.0.0.1:4566/b/k?AWSAccessKeyId=any&Signature=a3faTrXy0dgNer8TNh9hbrOVWQQ%3D&Expires=1795897551",
        ),
        (
            Method::GET,
            "http://127.0.0.1:4566/b/k?response-content-type=text%2Fplain%3B%20charset%3Dx&versionId=null&AWSAccessKeyId=any&Signature=RhtbuY0GrYSkPLNnbi%2BcJlbOARk%3D&Expires=1795897551",
        ),
        (
            Method::PUT,
            "http://127.0.0.1:4566/b/k?uploadId=u&partNumber=1&AWSAccessKeyId=any&Signature=T8XmD7YqUKDFw3wk8KXm%2BdLzX8k%3D&Expires=1795897551",
        ),
        (
            Method::GET,
            "http://127.0.0.1:4566/b/a%20b/%C3%A4%2B%26?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=any%2F20261128%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261128T192551Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=e8dd436abbfed442c069b0e827fbd6604c88c50b1ca87d4af17bb59ad786a5e7",
        ),
        (
            Method::PUT,
            "http://127.0.0.1:4566/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=any%2F20261128%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261128T192551Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=d002c380cbf722863ba17a86e6801ab5ea7d8bcd3977d80ed1538044cc0589f2",
        ),
        (
            Method::GET,
            "http://127.0.0.1:4566/b/k?response-content-type=text%2Fplain%3B%20charset%3Dx&versionId=null&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=any%2F20261128%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261128T192551Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=0ad9d2db6a099cd48f7bb67d72f230535631a5ef51ed5b5801747895d7708b82",
        ),
        (
            Method::PUT,
            "http://127.0.0.1:4566/b/k?uploadId=u&partNumber=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=any%2F20261128%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261128T192551Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=cee6410bb5367d08470e25c061d458bd703f0d6bdf767d97e51d875c2706b49e",
        ),
    ];

    #[test]
    fn a_url_is_for_the_method_that_it_was_signed_for() {
        let headers = HeaderMap::from_iter([(HOST, "127.0.0.1:4566".parse().unwrap())]);
        for (signed, url) in URLS {
            let uri: Uri = url.parse().unwrap();
            for method in METHODS {
                assert_eq!(check(&method, &uri, &headers).is_ok(), method == signed, "{method} {url}");
            }
            // With another secret, no method can be found.
            let other: Uri = url.replace("=any", "=other").parse().unwrap();
            assert!(METHODS.iter().all(|method| check(method, &other, &headers).is_ok()), "{other}");
        }
    }
}
