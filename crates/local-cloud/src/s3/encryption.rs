//! Server-side encryption with keys of S3 or of KMS: recorded and shown, as the request or the bucket asks for it.

use s3s::dto::{ServerSideEncryption, ServerSideEncryptionConfiguration};
use s3s::{S3Result, s3_error};

use super::customer_key::CustomerKey;
use super::object::Encryption;
use super::store::ObjectStore;

/// The encryption that the headers of a request ask for.
///
/// # Errors
/// The algorithm is unknown, or a key is named without one of KMS.
pub(super) fn requested(
    algorithm: Option<ServerSideEncryption>,
    key_id: Option<String>,
    context: Option<String>,
    bucket_key: Option<bool>,
) -> S3Result<Option<Encryption>> {
    let algorithm = algorithm.map(|algorithm| algorithm.as_str().to_owned());
    match algorithm.as_deref() {
        None if key_id.is_none() && context.is_none() => Ok(None),
        Some("AES256") if key_id.is_none() && context.is_none() => {
            Ok(Some(Encryption { algorithm: "AES256".to_owned(), key_id: None, context: None, bucket_key: None }))
        }
        Some(kms @ ("aws:kms" | "aws:kms:dsse")) => {
            Ok(Some(Encryption { algorithm: kms.to_owned(), key_id, context, bucket_key: bucket_key.filter(|on| *on) }))
        }
        None | Some("AES256") => Err(s3_error!(
            InvalidArgument,
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
        )),
        Some(other) => Err(s3_error!(
            InvalidArgument,
            "The encryption method specified is not supported: {other}. AES256, aws:kms and aws:kms:dsse would work"
        )),
    }
}

impl ObjectStore {
    /// The encryption of a new object: what its request [asks for](requested), or else the bucket. With a key of the client there is no
    /// other.
    ///
    /// # Errors
    /// The request has a key and asks for another encryption.
    pub(super) fn encryption(
        &self,
        bucket: &str,
        asked: Option<Encryption>,
        key: Option<&CustomerKey>,
    ) -> S3Result<Option<Encryption>> {
        match (asked, key) {
            (Some(_), Some(_)) => Err(s3_error!(
                InvalidArgument,
                "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
            )),
            (None, Some(_)) => Ok(None),
            (Some(asked), None) => Ok(Some(asked)),
            (None, None) => Ok(self.default_encryption(bucket)?),
        }
    }
}

/// The encryption that a bucket's configuration asks for.
pub(super) fn of_bucket(configuration: &ServerSideEncryptionConfiguration) -> Option<Encryption> {
    let rule = configuration.rules.first()?;
    let by_default = rule.apply_server_side_encryption_by_default.as_ref()?;
    Some(Encryption {
        algorithm: by_default.sse_algorithm.as_str().to_owned(),
        key_id: by_default.kms_master_key_id.clone(),
        context: None,
        bucket_key: rule.bucket_key_enabled.filter(|on| *on),
    })
}

/// # Errors
/// A configuration of a bucket has no rule or several, or one of an unknown algorithm.
pub(super) fn check(configuration: &ServerSideEncryptionConfiguration) -> S3Result {
    let [rule] = configuration.rules.as_slice() else {
        return Err(s3_error!(MalformedXML, "a ServerSideEncryptionConfiguration has one rule"));
    };
    let Some(by_default) = &rule.apply_server_side_encryption_by_default else {
        return Err(s3_error!(MalformedXML, "the rule has no ApplyServerSideEncryptionByDefault"));
    };
    let algorithm = Some(by_default.sse_algorithm.clone());
    requested(algorithm, by_default.kms_master_key_id.clone(), None, rule.bucket_key_enabled).map(drop)
}

/// Sets what an output says about encryption.
macro_rules! set_encryption {
    ($output:expr, $encryption:expr) => {
        if let Some(encryption) = $encryption {
            let algorithm = s3s::dto::ServerSideEncryption::from(encryption.algorithm.clone());
            $output.server_side_encryption = Some(algorithm);
            $output.ssekms_key_id = encryption.key_id.clone();
            $output.bucket_key_enabled = encryption.bucket_key;
        }
    };
}

pub(super) use set_encryption;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_needs_an_algorithm_of_kms() {
        let ask = |algorithm: Option<&str>, key: Option<&str>| {
            requested(algorithm.map(|name| name.to_owned().into()), key.map(str::to_owned), None, Some(true))
        };
        assert_eq!(ask(None, None).unwrap(), None);
        assert_eq!(ask(Some("AES256"), None).unwrap().unwrap().bucket_key, None);
        let kms = ask(Some("aws:kms"), Some("k")).unwrap().unwrap();
        assert_eq!((kms.key_id.as_deref(), kms.bucket_key), (Some("k"), Some(true)));
        assert!(
            ask(None, Some("k")).is_err()
                && ask(Some("AES256"), Some("k")).is_err()
                && ask(Some("rot13"), None).is_err()
        );
    }
}
