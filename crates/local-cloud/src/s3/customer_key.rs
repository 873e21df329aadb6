//! Encryption with a key of the client (SSE-C): the three headers that bring the key, and its comparison with the key of an object.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use s3s::{S3Error, S3Result, s3_error};

use super::members::custom;
use super::seal::Seal;

/// The one algorithm.
pub(super) const ALGORITHM: &str = "AES256";

/// The key of a client. It is never written: neither to the journal nor to the log.
#[derive(Clone)]
pub(crate) struct CustomerKey {
    bytes: [u8; 32],
    /// Its MD5 in base64.
    md5: String,
}

impl CustomerKey {
    /// The key of a request's three headers, if they are there: the algorithm, the key and its MD5, both in base64.
    ///
    /// # Errors
    /// One of them is missing or malformed, or they contradict each other.
    pub(super) fn of(
        algorithm: Option<String>,
        key: Option<String>,
        key_md5: Option<String>,
    ) -> S3Result<Option<Self>> {
        if algorithm.is_none() && key.is_none() && key_md5.is_none() {
            return Ok(None);
        }
        let missing = |what: &str| {
            s3_error!(
                InvalidArgument,
                "Requests specifying Server Side Encryption with Customer provided keys must provide {what}."
            )
        };
        match algorithm.as_deref() {
            Some(ALGORITHM) => {}
            None | Some("") => return Err(missing("a valid encryption algorithm")),
            Some(other) => {
                return Err(custom(
                    "InvalidEncryptionAlgorithmError",
                    http::StatusCode::BAD_REQUEST,
                    format!(
                        "The encryption request that you specified is not valid: {other}. The valid value is {ALGORITHM}."
                    ),
                ));
            }
        }
        let key = key.filter(|key| !key.is_empty()).ok_or_else(|| missing("an appropriate secret key"))?;
        let key_md5 = key_md5.ok_or_else(|| missing("the client calculated MD5 of the secret key"))?;
        let bytes = STANDARD.decode(key).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "The secret key was invalid for the specified algorithm: 32 bytes in base64 would work"
            )
        })?;
        let md5 = STANDARD.encode(Md5::digest(bytes));
        if md5 != key_md5 {
            return Err(s3_error!(
                InvalidArgument,
                "The calculated MD5 hash of the key did not match the hash that was provided."
            ));
        }
        Ok(Some(Self { bytes, md5 }))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The MD5 of the key in base64, as answers show it.
    pub(super) fn md5(&self) -> &str {
        &self.md5
    }

    #[cfg(test)]
    pub(super) fn of_byte(byte: u8) -> Self {
        Self { bytes: [byte; 32], md5: STANDARD.encode(Md5::digest([byte; 32])) }
    }
}

/// Whether a request's key is the one that an object was stored with.
///
/// # Errors
/// `InvalidRequest` if only one of both is there. `AccessDenied` if the key is another.
pub(super) fn check_key(seal: Option<&Seal>, key: Option<&CustomerKey>) -> S3Result {
    match (seal, key) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(s3_error!(
            InvalidRequest,
            "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object."
        )),
        (None, Some(_)) => {
            Err(s3_error!(InvalidRequest, "The encryption parameters are not applicable to this object."))
        }
        (Some(seal), Some(key)) if seal.is_of(key) => Ok(()),
        (Some(_), Some(_)) => {
            Err(s3_error!(AccessDenied, "Access Denied: the key is not the one that the object was stored with"))
        }
    }
}

/// Whether a request about a multipart upload has the key that the upload was begun with.
///
/// # Errors
/// `InvalidRequest`.
pub(super) fn check_upload_key(seal: Option<&Seal>, key: Option<&CustomerKey>) -> S3Result {
    let refused = |message: &str| S3Error::with_message(s3s::S3ErrorCode::InvalidRequest, message.to_owned());
    match (seal, key) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(refused(
            "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.",
        )),
        (None, Some(_)) => Err(refused(
            "The multipart upload initiate did not request encryption. Please resend the request without sending encryption parameters.",
        )),
        (Some(seal), Some(key)) if seal.is_of(key) => Ok(()),
        (Some(_), Some(_)) => {
            Err(refused("The provided encryption parameters did not match the ones used originally."))
        }
    }
}

/// Sets what an output says about a key of the client.
macro_rules! set_customer_key {
    ($output:expr, $key:expr) => {
        if let Some(key) = $key {
            $output.sse_customer_algorithm = Some($crate::s3::customer_key::ALGORITHM.to_owned());
            $output.sse_customer_key_md5 = Some(key.md5().to_owned());
        }
    };
}

pub(super) use set_customer_key;

#[cfg(test)]
mod tests {
    use super::*;

    // 32 bytes, and their MD5 by Python's hashlib.
    const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    const MD5: &str = "4Funlf7OsLF0HL+vKU+fkg==";

    fn of(algorithm: Option<&str>, key: Option<&str>, md5: Option<&str>) -> Result<bool, String> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let found = CustomerKey::of(owned(algorithm), owned(key), owned(md5));
        found.map(|key| key.is_some()).map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn a_key_comes_with_its_algorithm_and_its_md5() {
        assert_eq!(of(None, None, None), Ok(false));
        assert_eq!(of(Some("AES256"), Some(KEY), Some(MD5)), Ok(true));
        for (algorithm, key, md5) in [
            (None, Some(KEY), Some(MD5)),
            (Some(""), Some(KEY), Some(MD5)),
            (Some("AES256"), None, Some(MD5)),
            (Some("AES256"), None, None),
            (Some("AES256"), Some(KEY), None),
            (Some("AES256"), Some("AAAA"), Some(MD5)),
            (Some("AES256"), Some("no base64"), Some(MD5)),
            (Some("AES256"), Some(KEY), Some("AAAAAAAAAAAAAAAAAAAAAA==")),
        ] {
            assert_eq!(of(algorithm, key, md5), Err("InvalidArgument".to_owned()), "{algorithm:?} {key:?} {md5:?}");
        }
        assert_eq!(of(Some("AES128"), Some(KEY), Some(MD5)), Err("InvalidEncryptionAlgorithmError".to_owned()));
    }

    #[test]
    fn a_key_is_compared_with_that_of_the_object_and_of_the_upload() {
        let (key, other) = (CustomerKey::of_byte(1), CustomerKey::of_byte(2));
        let seal = Seal::new(&key).unwrap();
        let code = |checked: S3Result| checked.err().map(|error| error.code().as_str().to_owned());
        for check in [check_key, check_upload_key] {
            assert_eq!(code(check(None, None)), None);
            assert_eq!(code(check(Some(&seal), Some(&key))), None);
            assert_eq!(code(check(Some(&seal), None)).as_deref(), Some("InvalidRequest"));
            assert_eq!(code(check(None, Some(&key))).as_deref(), Some("InvalidRequest"));
        }
        assert_eq!(code(check_key(Some(&seal), Some(&other))).as_deref(), Some("AccessDenied"));
        assert_eq!(code(check_upload_key(Some(&seal), Some(&other))).as_deref(), Some("InvalidRequest"));
    }
}
