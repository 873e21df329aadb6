//! Checksums of a request's body, which the request names.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::dto::Checksum;
use s3s::{S3Result, s3_error};

use crate::digest::hex;

/// Computes the checksums that the request names, so that a damaged body is refused.
pub(super) struct Checksums {
    pub(super) hasher: ChecksumHasher,
    pub(super) expected: Vec<(&'static str, String)>,
}

macro_rules! checksums {
    ($input:expr) => {{
        let mut checksums =
            $crate::s3::checksums::Checksums { hasher: s3s::checksum::ChecksumHasher::default(), expected: Vec::new() };
        if let Some(value) = $input.checksum_crc32.clone() {
            checksums.hasher.crc32 = Some(Default::default());
            checksums.expected.push(("CRC32", value));
        }
        if let Some(value) = $input.checksum_crc32c.clone() {
            checksums.hasher.crc32c = Some(Default::default());
            checksums.expected.push(("CRC32C", value));
        }
        if let Some(value) = $input.checksum_sha1.clone() {
            checksums.hasher.sha1 = Some(Default::default());
            checksums.expected.push(("SHA1", value));
        }
        if let Some(value) = $input.checksum_sha256.clone() {
            checksums.hasher.sha256 = Some(Default::default());
            checksums.expected.push(("SHA256", value));
        }
        if let Some(value) = $input.checksum_crc64nvme.clone() {
            checksums.hasher.crc64nvme = Some(Default::default());
            checksums.expected.push(("CRC64NVME", value));
        }
        checksums
    }};
}

pub(super) use checksums;

impl Checksums {
    pub(super) fn verify(self) -> S3Result<Checksum> {
        let found = self.hasher.finalize();
        for (algorithm, expected) in self.expected {
            let actual = match algorithm {
                "CRC32" => &found.checksum_crc32,
                "CRC32C" => &found.checksum_crc32c,
                "SHA1" => &found.checksum_sha1,
                "SHA256" => &found.checksum_sha256,
                _ => &found.checksum_crc64nvme,
            };
            if actual.as_deref() != Some(&expected) {
                return Err(s3_error!(BadDigest, "the {} of the body is not {}", algorithm, expected));
            }
        }
        Ok(found)
    }
}

pub(super) fn check_md5(content_md5: Option<&str>, digits: &str) -> S3Result {
    let Some(expected) = content_md5 else { return Ok(()) };
    let decoded = STANDARD.decode(expected).map_err(|_| s3_error!(InvalidDigest, "Content-MD5 is not base64"))?;
    if hex(&decoded) == digits { Ok(()) } else { Err(s3_error!(BadDigest, "the MD5 of the body is not Content-MD5")) }
}
