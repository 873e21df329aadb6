//! Checksums of objects and parts: all five kinds, verified and kept.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Extensions, HeaderMap, HeaderName};
use s3s::checksum::ChecksumHasher;
use s3s::dto;
use s3s::{S3Request, S3Result, s3_error};
use serde::{Deserialize, Serialize};

use crate::digest::hex;

/// A kind of checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64nvme, Self::Sha1, Self::Sha256];

    /// S3's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The kind of a name, in any case.
    pub(super) fn parse(name: &str) -> S3Result<Self> {
        let known = Self::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name));
        known.ok_or_else(|| {
            s3_error!(InvalidRequest, "Checksum algorithm provided is unsupported: {name}. CRC32, CRC32C, CRC64NVME, SHA1 and SHA256 would work")
        })
    }

    /// Whether a checksum of a whole object can be that of its bytes, and not of its parts' checksums.
    pub(super) fn takes_full_object(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64nvme)
    }

    /// The number of its bytes.
    fn len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// A hasher of this kind.
    pub(super) fn hasher(self) -> ChecksumHasher {
        let mut hasher = ChecksumHasher::default();
        match self {
            Self::Crc32 => hasher.crc32 = Some(Default::default()),
            Self::Crc32c => hasher.crc32c = Some(Default::default()),
            Self::Crc64nvme => hasher.crc64nvme = Some(Default::default()),
            Self::Sha1 => hasher.sha1 = Some(Default::default()),
            Self::Sha256 => hasher.sha256 = Some(Default::default()),
        }
        hasher
    }

    /// The checksum of a whole object, of its parts' checksums.
    ///
    /// # Errors
    /// A part's checksum is not base64.
    pub(super) fn composite<'a>(self, parts: impl IntoIterator<Item = &'a str>) -> S3Result<Checksum> {
        let (mut hasher, mut count) = (self.hasher(), 0);
        for part in parts {
            hasher.update(&STANDARD.decode(part).map_err(|_| invalid(self, part))?);
            count += 1;
        }
        let value = format!("{}-{count}", self.value(&hasher.finalize()).unwrap_or_default());
        Ok(Checksum { algorithm: self, value, composite: true })
    }

    /// The value of this kind.
    fn value(self, sums: &dto::Checksum) -> Option<&str> {
        match self {
            Self::Crc32 => sums.checksum_crc32.as_deref(),
            Self::Crc32c => sums.checksum_crc32c.as_deref(),
            Self::Crc64nvme => sums.checksum_crc64nvme.as_deref(),
            Self::Sha1 => sums.checksum_sha1.as_deref(),
            Self::Sha256 => sums.checksum_sha256.as_deref(),
        }
    }
}

/// The checksum of an object or a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    pub(crate) algorithm: Algorithm,
    /// Base64. A composite one ends with `-` and the number of parts.
    pub(crate) value: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) composite: bool,
}

impl Checksum {
    /// Reads the finished hasher of this kind.
    pub(super) fn of(algorithm: Algorithm, hasher: ChecksumHasher) -> Self {
        let value = algorithm.value(&hasher.finalize()).unwrap_or_default().to_owned();
        Self { algorithm, value, composite: false }
    }

    /// As S3's structure.
    pub(super) fn shown(checksum: Option<&Self>) -> dto::Checksum {
        let mut shown = dto::Checksum::default();
        if let Some(Self { algorithm, value, composite }) = checksum {
            let kind = if *composite { dto::ChecksumType::COMPOSITE } else { dto::ChecksumType::FULL_OBJECT };
            shown.checksum_type = Some(dto::ChecksumType::from_static(kind));
            let member = match algorithm {
                Algorithm::Crc32 => &mut shown.checksum_crc32,
                Algorithm::Crc32c => &mut shown.checksum_crc32c,
                Algorithm::Crc64nvme => &mut shown.checksum_crc64nvme,
                Algorithm::Sha1 => &mut shown.checksum_sha1,
                Algorithm::Sha256 => &mut shown.checksum_sha256,
            };
            *member = Some(value.clone());
        }
        shown
    }

    pub(super) fn algorithm_shown(&self) -> dto::ChecksumAlgorithm {
        dto::ChecksumAlgorithm::from_static(self.algorithm.name())
    }
}

/// Sets the five checksums of an output.
macro_rules! set_checksums {
    ($output:expr, $checksum:expr) => {{
        let shown = $crate::s3::checksums::Checksum::shown($checksum);
        $output.checksum_crc32 = shown.checksum_crc32;
        $output.checksum_crc32c = shown.checksum_crc32c;
        $output.checksum_crc64nvme = shown.checksum_crc64nvme;
        $output.checksum_sha1 = shown.checksum_sha1;
        $output.checksum_sha256 = shown.checksum_sha256;
        shown.checksum_type
    }};
}

pub(super) use set_checksums;

/// The checksums that a request names: of its body, or of the object that it completes.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    pub(super) crc32: Option<String>,
    pub(super) crc32c: Option<String>,
    pub(super) crc64nvme: Option<String>,
    pub(super) sha1: Option<String>,
    pub(super) sha256: Option<String>,
}

impl Named {
    /// Those of the headers, or of the fields of a form, with these names.
    pub(super) fn of(value: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            crc32: value("x-amz-checksum-crc32"),
            crc32c: value("x-amz-checksum-crc32c"),
            crc64nvme: value("x-amz-checksum-crc64nvme"),
            sha1: value("x-amz-checksum-sha1"),
            sha256: value("x-amz-checksum-sha256"),
        }
    }

    /// The only one of them.
    ///
    /// # Errors
    /// There are several. S3 takes one.
    pub(super) fn one(self) -> S3Result<Option<(Algorithm, String)>> {
        let all = [
            (Algorithm::Crc32, self.crc32),
            (Algorithm::Crc32c, self.crc32c),
            (Algorithm::Crc64nvme, self.crc64nvme),
            (Algorithm::Sha1, self.sha1),
            (Algorithm::Sha256, self.sha256),
        ];
        let mut named = all.into_iter().filter_map(|(algorithm, value)| Some((algorithm, value?)));
        let first = named.next();
        if named.next().is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            ));
        }
        Ok(first)
    }
}

/// The trailers of an `aws-chunked` body, which arrive after it.
#[derive(Clone, Debug, Default)]
pub(super) struct Trailers(Arc<Mutex<HeaderMap>>);

impl Trailers {
    pub(super) fn insert(&self, name: HeaderName, value: http::HeaderValue) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, value);
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        let trailers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(trailers.get(name)?.to_str().ok()?.to_owned())
    }
}

/// Where the expected checksum of a body is found.
enum Expected {
    Nowhere,
    Header(String),
    Trailer,
}

/// Computes the checksum of a body while it arrives. Without a word of the request, it is CRC64NVME, as in S3.
pub(super) struct BodyChecksum {
    algorithm: Algorithm,
    expected: Expected,
    hasher: ChecksumHasher,
    own: Option<Trailers>,
    decoded: Option<s3s::TrailingHeaders>,
}

impl BodyChecksum {
    /// The checksum of a request's body. `named` are those of its headers, `declared` is `x-amz-sdk-checksum-algorithm`, and `wanted`
    /// that of the upload which the body is a part of.
    pub(super) fn new<T>(
        request: &S3Request<T>,
        named: Named,
        declared: Option<&dto::ChecksumAlgorithm>,
        wanted: Option<Algorithm>,
    ) -> S3Result<Self> {
        let decoded = request.trailing_headers.clone();
        Self::of(&request.headers, &request.extensions, decoded, named, declared, wanted)
    }

    /// The same for a request that is taken apart.
    pub(super) fn of(
        headers: &HeaderMap,
        extensions: &Extensions,
        decoded: Option<s3s::TrailingHeaders>,
        named: Named,
        declared: Option<&dto::ChecksumAlgorithm>,
        wanted: Option<Algorithm>,
    ) -> S3Result<Self> {
        let trailer = headers.get("x-amz-trailer").and_then(|names| names.to_str().ok()).unwrap_or_default();
        let trailer = trailer
            .split(',')
            .find_map(|name| name.trim().to_ascii_lowercase().strip_prefix("x-amz-checksum-").map(Algorithm::parse));
        let (algorithm, expected) = match (named.one()?, trailer.transpose()?) {
            (Some((algorithm, value)), None) => {
                check_form(algorithm, &value)?;
                (Some(algorithm), Expected::Header(value))
            }
            (None, Some(algorithm)) => (Some(algorithm), Expected::Trailer),
            (None, None) => (None, Expected::Nowhere),
            (Some(_), Some(_)) => {
                return Err(s3_error!(
                    InvalidRequest,
                    "a checksum is in a header and in the trailer: one of them would work"
                ));
            }
        };
        if let Some(declared) = declared {
            let declared = Algorithm::parse(declared.as_str())?;
            match algorithm {
                Some(algorithm) if algorithm == declared => {}
                Some(_) => {
                    return Err(s3_error!(InvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid."));
                }
                None => {
                    return Err(s3_error!(
                        InvalidRequest,
                        "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
                    ));
                }
            }
        }
        if let (Some(wanted), Some(given)) = (wanted, algorithm)
            && wanted != given
        {
            let (wanted, given) = (wanted.name().to_ascii_lowercase(), given.name().to_ascii_lowercase());
            return Err(s3_error!(
                InvalidRequest,
                "Checksum Type mismatch occurred, expected checksum Type: {wanted}, actual checksum Type: {given}"
            ));
        }
        let algorithm = algorithm.or(wanted).unwrap_or(Algorithm::Crc64nvme);
        Ok(Self { algorithm, expected, hasher: algorithm.hasher(), own: extensions.get().cloned(), decoded })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// The checksum of the whole body.
    ///
    /// # Errors
    /// It is not the expected one.
    pub(super) fn verify(self) -> S3Result<Checksum> {
        let found = Checksum::of(self.algorithm, self.hasher);
        let name = format!("x-amz-checksum-{}", self.algorithm.name().to_ascii_lowercase());
        let expected = match self.expected {
            Expected::Nowhere => return Ok(found),
            Expected::Header(value) => value,
            Expected::Trailer => {
                let decoded = self.decoded.and_then(|trailers| {
                    trailers.read(|trailers| trailers.get(&name)?.to_str().ok().map(str::to_owned)).flatten()
                });
                let value = decoded.or_else(|| self.own?.get(&name));
                value.ok_or_else(|| s3_error!(InvalidRequest, "the trailer {name} is announced and missing"))?
            }
        };
        check_form(self.algorithm, &expected)?;
        if expected == found.value {
            return Ok(found);
        }
        Err(s3_error!(BadDigest, "The {} you specified did not match the calculated checksum.", self.algorithm.name()))
    }
}

/// Whether a checksum is base64 of its kind's length.
fn check_form(algorithm: Algorithm, value: &str) -> S3Result {
    match STANDARD.decode(value) {
        Ok(bytes) if bytes.len() == algorithm.len() => Ok(()),
        _ => Err(invalid(algorithm, value)),
    }
}

fn invalid(algorithm: Algorithm, _value: &str) -> s3s::S3Error {
    s3_error!(InvalidRequest, "Value for x-amz-checksum-{} header is invalid.", algorithm.name().to_ascii_lowercase())
}

/// Compares a body's MD5 with its `Content-MD5`.
pub(super) fn check_md5(content_md5: Option<&str>, digits: &str) -> S3Result {
    let Some(expected) = content_md5 else { return Ok(()) };
    let decoded = STANDARD.decode(expected).ok().filter(|bytes| bytes.len() == 16);
    let decoded = decoded.ok_or_else(|| s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid."))?;
    if hex(&decoded) == digits {
        Ok(())
    } else {
        Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_composite_checksum_is_that_of_the_parts_checksums() {
        // SHA-256 of the two bytes' SHA-256, computed with Python's hashlib.
        let part = |bytes: &[u8]| {
            let mut hasher = Algorithm::Sha256.hasher();
            hasher.update(bytes);
            Checksum::of(Algorithm::Sha256, hasher).value
        };
        let (a, b) = (part(b"a"), part(b"b"));
        assert_eq!(a, "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=");
        let whole = Algorithm::Sha256.composite([a.as_str(), b.as_str()]).unwrap();
        assert_eq!(whole.value, "5aAf7hTg7VxIcU8iGA8lrYNltT+XefedxKPX6Tlj+Uo=-2");
        assert!(whole.composite && Algorithm::Sha256.composite(["no"]).is_err());
    }

    #[test]
    fn a_request_names_one_checksum_at_most() {
        assert_eq!(Named::default().one().unwrap(), None);
        let one = Named { sha1: Some("x".into()), ..Named::default() };
        assert_eq!(one.clone().one().unwrap(), Some((Algorithm::Sha1, "x".into())));
        assert!(Named { crc32: Some("y".into()), ..one }.one().is_err());
        assert_eq!(Algorithm::parse("crc32c").unwrap(), Algorithm::Crc32c);
        assert!(Algorithm::parse("md4").is_err());
    }

    #[test]
    fn a_content_md5_is_base64_of_the_right_length() {
        assert!(check_md5(None, "x").is_ok());
        assert!(check_md5(Some("XUFAKrxLKna5cZ2REBfFkg=="), "5d41402abc4b2a76b9719d911017c592").is_ok());
        for bad in ["XUFAKrxLKna5cZ2REBfFkg==", "", "YWJyYWNhZGFicmE=", "no base64"] {
            assert!(check_md5(Some(bad), "00").is_err(), "{bad}");
        }
    }
}
