//! Bodies of objects and parts, compared with what their requests say of them.

use std::error::Error;

use bytes::Bytes;
use futures::Stream;
use s3s::{S3Result, s3_error};

use super::checksums::{BodyChecksum, Checksum, check_md5};
use super::customer_key::CustomerKey;
use super::object::Blob;
use super::store::ObjectStore;

/// What a request says of its body.
pub(super) struct Described {
    pub(super) checksum: BodyChecksum,
    /// `Content-Length`.
    pub(super) length: Option<i64>,
    /// `Content-MD5`.
    pub(super) md5: Option<String>,
}

impl ObjectStore {
    /// Writes a body to a new file, encrypted if there is a key.
    ///
    /// # Errors
    /// The body is not as it was described, or cannot be written. Nothing is kept of it.
    pub(super) async fn receive_described<E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        key: Option<&CustomerKey>,
        Described { mut checksum, length, md5 }: Described,
    ) -> S3Result<(Blob, Checksum)> {
        let (blob, found_md5) = self.receive_sealed(body, key, |chunk| checksum.update(chunk)).await?;
        let verified = checksum.verify().and_then(|found| {
            if length.is_some_and(|expected| u64::try_from(expected) != Ok(blob.size)) {
                return Err(s3_error!(IncompleteBody, "The request body terminated unexpectedly"));
            }
            check_md5(md5.as_deref(), &found_md5).map(|()| found)
        });
        let checksum = verified.inspect_err(|_| self.remove_blob(&blob.name))?;
        Ok((blob, checksum))
    }
}
