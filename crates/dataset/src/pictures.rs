//! Where pictures come from.

use std::fs::File;
use std::io::Read;

use crate::DatasetError;

/// The most bytes of a picture's file.
pub const MAX_PICTURE_BYTES: u64 = 256 << 20;

/// Fetches the bytes of pictures.
pub trait Pictures {
    /// The file at a place: a path, or another place that the implementation knows, such as `s3://bucket/key`.
    ///
    /// # Errors
    /// [`DatasetError::Picture`]: there is none, it is longer than [`MAX_PICTURE_BYTES`], or it cannot be read.
    fn bytes(&self, place: &str) -> Result<Vec<u8>, DatasetError>;
}

/// Pictures in files.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalPictures;

impl Pictures for LocalPictures {
    fn bytes(&self, place: &str) -> Result<Vec<u8>, DatasetError> {
        let error = |reason: String| DatasetError::Picture { place: place.to_owned(), reason };
        if place.starts_with("s3://") {
            return Err(error("it lies in S3".to_owned()));
        }
        let kind = std::fs::metadata(place).map_err(|cause| error(cause.to_string()))?;
        if !kind.is_file() {
            return Err(error("it is no file".to_owned()));
        }
        let mut bytes = Vec::new();
        let file = File::open(place).map_err(|cause| error(cause.to_string()))?;
        file.take(MAX_PICTURE_BYTES + 1).read_to_end(&mut bytes).map_err(|cause| error(cause.to_string()))?;
        if bytes.len() as u64 > MAX_PICTURE_BYTES {
            return Err(error(format!("it has more than {MAX_PICTURE_BYTES} bytes")));
        }
        Ok(bytes)
    }
}
