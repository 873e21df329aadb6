//! Presigned POST: a form with a file, as browsers send it (*POST Object*, Amazon S3 API Reference).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_TYPE, ETAG, HOST, LOCATION};
use http::{HeaderMap, StatusCode};
use multer::{Constraints, Field, Multipart, SizeLimit};
use s3s::dto::Tagging;
use s3s::xml::{Deserialize, Deserializer};
use s3s::{S3Result, s3_error};
use sha1::Sha1;
use sha2::Sha256;

use super::bodies::Described;
use super::checksums::{BodyChecksum, Named};
use super::conditions::Write;
use super::customer_key::CustomerKey;
use super::encryption;
use super::headers;
use super::members::{custom, is_other_acl, refuse};
use super::object::{Attributes, Object};
use super::post_policy::PostPolicy;
use super::store::ObjectStore;
use super::store_error::StoreError;
use super::tags;
use super::url_encoding::Encoding;
use crate::ACCESS_KEY_ID;
use crate::clock::now_millis;
use crate::digest::hex;

/// The most bytes of a field other than the file.
const MOST_FIELD: u64 = 64 << 10;

/// Fields with a meaning, besides `x-amz-meta-*` and `x-ignore-*`.
const KNOWN: [&str; 36] = [
    "acl",
    "awsaccesskeyid",
    "bucket",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "key",
    "policy",
    "signature",
    "submit",
    "success_action_redirect",
    "success_action_status",
    "redirect",
    "tagging",
    "x-amz-algorithm",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5",
    "x-amz-signature",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
];

/// The boundary of a form, if a request is one.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    multer::parse_boundary(headers.get(CONTENT_TYPE)?.to_str().ok()?).ok()
}

/// The fields before the file, by lower-case name.
type Fields = BTreeMap<String, String>;

/// Answers a form that is sent to a bucket.
///
/// # Errors
/// The form, its policy or its signature is not as S3 wants it, or the object cannot be written.
pub(super) async fn answer(
    store: &Arc<ObjectStore>,
    secret: &str,
    bucket: &str,
    boundary: String,
    request: Request,
) -> S3Result<Response> {
    let (parts, body) = request.into_parts();
    let limit = SizeLimit::new().per_field(u64::MAX);
    let mut form = Multipart::with_constraints(body.into_data_stream(), boundary, Constraints::new().size_limit(limit));
    let (mut fields, file) = read_fields(&mut form).await?;
    store.check_bucket(bucket)?;
    let key = fields.get("key").filter(|key| !key.is_empty()).ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields."
        )
    })?;
    let name = file.file_name().unwrap_or_default();
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let key = key.replace("${filename}", name);
    if key.len() > 1024 {
        return Err(s3_error!(
            KeyTooLongError,
            "Your key is too long: it has {} bytes, and 1024 would work",
            key.len()
        ));
    }
    fields.insert("key".to_owned(), key.clone());
    let policy = authorize(&fields, secret)?;
    policy.check_fields(&fields, bucket)?;
    let customer_key = customer_key(&fields)?;
    let attributes = attributes(store, bucket, &fields, customer_key.as_ref())?;
    let object = write(store, (bucket, &key), &fields, policy.length(), (attributes, customer_key), file).await?;
    drop(form);
    tracing::info!(
        target: "hop", service = "S3", action = "PostObject",
        detail = %format_args!("{bucket}/{key}, {} bytes", object.size)
    );
    Ok(created(&parts.headers, bucket, &object, &fields))
}

/// Reads the fields up to the file. What follows it is not read, as in S3.
async fn read_fields(form: &mut Multipart<'static>) -> S3Result<(Fields, Field<'static>)> {
    let malformed = |error: multer::Error| {
        s3_error!(MalformedPOSTRequest, "The body of your POST request is not well-formed multipart/form-data: {error}")
    };
    let mut fields = Fields::new();
    while let Some(mut field) = form.next_field().await.map_err(malformed)? {
        let name = field.name().unwrap_or_default().to_ascii_lowercase();
        if name == "file" {
            return Ok((fields, field));
        }
        let mut value = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(malformed)? {
            value.extend_from_slice(&chunk);
            if value.len() as u64 > MOST_FIELD {
                return Err(custom(
                    "MaxPostPreDataLengthExceeded",
                    StatusCode::BAD_REQUEST,
                    "Your POST request fields preceding the upload file were too large.",
                ));
            }
        }
        let value =
            String::from_utf8(value).map_err(|_| s3_error!(InvalidArgument, "the field {name} is not UTF-8"))?;
        fields.insert(name, value);
    }
    Err(s3_error!(InvalidArgument, "POST requires exactly one file upload per request."))
}

/// The policy of a form that is signed. Signatures with other keys than the functions' are not verified, as everywhere in the cloud.
fn authorize(fields: &Fields, secret: &str) -> S3Result<PostPolicy> {
    let field = |name: &str| fields.get(name).filter(|value| !value.is_empty());
    let missing = |name: &str| {
        s3_error!(
            InvalidArgument,
            "Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
        )
    };
    let version_4 = field("x-amz-signature").is_some() || field("x-amz-credential").is_some();
    let Some(policy) = field("policy") else {
        return Err(if version_4 || field("signature").is_some() {
            missing("policy")
        } else {
            s3_error!(AccessDenied, "Access Denied: the form has no policy")
        });
    };
    if version_4 {
        let require = |name: &str| field(name).ok_or_else(|| missing(name));
        let (algorithm, credential, date, signature) = (
            require("x-amz-algorithm")?,
            require("x-amz-credential")?,
            require("x-amz-date")?,
            require("x-amz-signature")?,
        );
        if algorithm != "AWS4-HMAC-SHA256" {
            return Err(s3_error!(InvalidArgument, "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
        }
        let scope: Vec<&str> = credential.split('/').collect();
        let [key, day, region, "s3", "aws4_request"] = scope.as_slice() else {
            return Err(s3_error!(
                InvalidArgument,
                "Error parsing the X-Amz-Credential parameter: {credential}. key/date/region/s3/aws4_request would work"
            ));
        };
        if !date.starts_with(day) {
            return Err(s3_error!(InvalidArgument, "the X-Amz-Date {date} is not of the day in X-Amz-Credential"));
        }
        if *key == ACCESS_KEY_ID && signature_4(secret, day, region, policy) != *signature {
            return Err(mismatch());
        }
    } else {
        let key = field("awsaccesskeyid").ok_or_else(|| missing("AWSAccessKeyId"))?;
        let signature = field("signature").ok_or_else(|| missing("signature"))?;
        if key == ACCESS_KEY_ID && signature_2(secret, policy) != *signature {
            return Err(mismatch());
        }
    }
    PostPolicy::read(policy, now_millis())
}

fn mismatch() -> s3s::S3Error {
    s3_error!(
        SignatureDoesNotMatch,
        "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    )
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    // Keys of any length are valid.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Signature version 4 of a text, which is a policy or describes a request.
pub(super) fn signature_4(secret: &str, day: &str, region: &str, text: &str) -> String {
    let day = hmac_sha256(format!("AWS4{secret}").as_bytes(), day);
    let key = [region, "s3", "aws4_request"].iter().fold(day, |key, text| hmac_sha256(&key, text));
    hex(&hmac_sha256(&key, text))
}

/// Signature version 2 of a policy.
fn signature_2(secret: &str, policy: &str) -> String {
    use base64::Engine;
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(policy.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

fn customer_key(fields: &Fields) -> S3Result<Option<CustomerKey>> {
    let field = |name: &str| fields.get(&format!("x-amz-server-side-encryption-customer-{name}")).cloned();
    CustomerKey::of(field("algorithm"), field("key"), field("key-md5"))
}

/// The attributes of the object.
fn attributes(store: &ObjectStore, bucket: &str, fields: &Fields, key: Option<&CustomerKey>) -> S3Result<Attributes> {
    let field = |name: &str| fields.get(name).cloned();
    for name in fields.keys() {
        let is_known = KNOWN.contains(&name.as_str()) || name.starts_with("x-amz-meta-") || !name.starts_with("x-amz-");
        refuse(&[(name, !is_known)])?;
    }
    refuse(&[("acl", is_other_acl(field("acl").as_deref()))])?;
    let metadata =
        fields.iter().filter_map(|(name, value)| Some((name.strip_prefix("x-amz-meta-")?.to_owned(), value.clone())));
    let asked = encryption::requested(
        field("x-amz-server-side-encryption").map(Into::into),
        field("x-amz-server-side-encryption-aws-kms-key-id"),
        field("x-amz-server-side-encryption-context"),
        field("x-amz-server-side-encryption-bucket-key-enabled").map(|on| on == "true"),
    )?;
    let tags = match field("tagging") {
        None => Vec::new(),
        Some(document) => {
            let read = Tagging::deserialize(&mut Deserializer::new(document.as_bytes()));
            let read = read.map_err(|error| s3_error!(MalformedXML, "the field tagging is malformed: {error}"))?;
            tags::read(read.tag_set, tags::MOST_OF_OBJECT)?
        }
    };
    Ok(Attributes {
        content_type: field("content-type"),
        cache_control: field("cache-control"),
        content_disposition: field("content-disposition"),
        content_encoding: field("content-encoding"),
        content_language: field("content-language"),
        expires: field("expires"),
        website_redirect_location: field("x-amz-website-redirect-location"),
        storage_class: headers::storage_class(field("x-amz-storage-class").map(Into::into))?,
        encryption: store.encryption(bucket, asked, key)?,
        metadata: headers::metadata(Some(metadata.collect()))?,
        tags,
        ..Attributes::default()
    })
}

/// Writes the file, which has `least` to `most` bytes.
async fn write(
    store: &Arc<ObjectStore>,
    (bucket, key): (&str, &str),
    fields: &Fields,
    (least, most): (u64, u64),
    (attributes, customer_key): (Attributes, Option<CustomerKey>),
    file: Field<'static>,
) -> S3Result<Object> {
    let named = Named::of(|name| fields.get(name).cloned());
    let checksum = BodyChecksum::of(&HeaderMap::new(), &http::Extensions::new(), None, named, None, None)?;
    let mut size = 0;
    let limited = file.map(|chunk| {
        let chunk = chunk.map_err(|error| StoreError::BadBody(Box::new(error)))?;
        size += chunk.len() as u64;
        if size > most {
            return Err(StoreError::from(s3_error!(
                EntityTooLarge,
                "Your proposed upload exceeds the maximum allowed size: {most} bytes"
            )));
        }
        Ok(chunk)
    });
    let described = Described { checksum, length: None, md5: None };
    let (blob, checksum) = store.receive_described(limited, customer_key.as_ref(), described).await?;
    if blob.size < least {
        store.remove_blob(&blob.name);
        return Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size: {least} bytes"
        ));
    }
    let attributes = Attributes { checksum: Some(checksum), ..attributes };
    let conditions = Write::default();
    Ok(store.commit(bucket, key, blob, attributes, "POST Object", |_, now| conditions.check(key, now))?)
}

/// The answer that the form asks for.
fn created(request: &HeaderMap, bucket: &str, object: &Object, fields: &Fields) -> Response {
    let host = request.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let key = Encoding::Url.text(object.key.as_str());
    let location = match host.starts_with(&format!("{bucket}.")) {
        true => format!("http://{host}/{key}"),
        false => format!("http://{host}/{bucket}/{key}"),
    };
    let etag = format!("\"{}\"", object.etag);
    let redirect = fields.get("success_action_redirect").or_else(|| fields.get("redirect"));
    if let Some(redirect) = redirect.filter(|url| url.parse::<http::Uri>().is_ok_and(|url| url.scheme().is_some())) {
        let separator = if redirect.contains('?') { '&' } else { '?' };
        let quoted = format!("%22{}%22", object.etag);
        let target = format!("{redirect}{separator}bucket={bucket}&key={key}&etag={quoted}");
        return (StatusCode::SEE_OTHER, [(LOCATION, target), (ETAG, etag)]).into_response();
    }
    let headers = [(LOCATION, location.clone()), (ETAG, etag)];
    match fields.get("success_action_status").map(String::as_str) {
        Some("200") => (StatusCode::OK, headers, Body::empty()).into_response(),
        Some("201") => {
            let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let document = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>{}</Location><Bucket>{bucket}</Bucket><Key>{}</Key><ETag>&quot;{}&quot;</ETag></PostResponse>",
                escaped(&location),
                escaped(&object.key),
                object.etag
            );
            (StatusCode::CREATED, headers, [(CONTENT_TYPE, "application/xml")], document).into_response()
        }
        _ => (StatusCode::NO_CONTENT, headers).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_of_policies_are_those_of_boto3() {
        // Computed by hmac of Python's standard library, after the steps of the two signature versions.
        assert_eq!(signature_2("secret", "cG9saWN5"), "xjcOd3+I0tu58AF8jUmwdfvwgBU=");
        assert_eq!(
            signature_4("secret", "20260101", "us-east-1", "cG9saWN5"),
            "7787efea4dadbef0c9f1a808dd9c9a6bce89de99fda6ce7bf24435c9a449440a"
        );
    }

    #[test]
    fn forms_without_a_policy_or_a_signature_are_refused() {
        let code = |fields: &[(&str, &str)]| {
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            authorize(&fields, "secret").err().map(|error| error.code().as_str().to_owned())
        };
        assert_eq!(code(&[]).as_deref(), Some("AccessDenied"));
        assert_eq!(code(&[("policy", "e30=")]).as_deref(), Some("InvalidArgument"));
        assert_eq!(code(&[("signature", "x"), ("awsaccesskeyid", "A")]).as_deref(), Some("InvalidArgument"));
        let own = [("policy", "e30="), ("awsaccesskeyid", ACCESS_KEY_ID), ("signature", "x")];
        assert_eq!(code(&own).as_deref(), Some("SignatureDoesNotMatch"));
        let other = [("policy", "e30="), ("awsaccesskeyid", "A"), ("signature", "x")];
        assert_eq!(code(&other).as_deref(), Some("InvalidPolicyDocument"));
    }
}
