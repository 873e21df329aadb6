//! A picture to send.

use std::path::Path;

use anyhow::Context;
use md5::{Digest, Md5};
use pipeline::{ForeignType, ImageType, MAX_UPLOAD_BYTES, PortraitId};

use crate::escape::Shown;
use crate::hex::hex;
use crate::pictures::sample::SAMPLE;
use crate::pictures::{portrait_name, source};

#[derive(Clone, Debug)]
pub(crate) struct Photo {
    pub(crate) id: PortraitId,
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: ImageType,
}

impl Photo {
    /// Reads a picture. Without an id, the file's name becomes the id.
    pub(crate) fn read(path: &Path, id: Option<PortraitId>) -> anyhow::Result<Self> {
        let bytes = source::read(path, MAX_UPLOAD_BYTES)?;
        let media_type = ImageType::sniff(&bytes).with_context(|| match ForeignType::sniff(&bytes) {
            Some(foreign) => format!("{}: {foreign}", path.shown()),
            None => format!("{} is no picture that can be sent: JPEG, PNG and WebP can", path.shown()),
        })?;
        Ok(Self { id: id.unwrap_or_else(|| portrait_name::id_of(path)), bytes, media_type })
    }

    /// The built-in portrait.
    pub(crate) fn sample() -> Self {
        let id = portrait_name::id_of(Path::new("astronaut.png"));
        Self { id, bytes: SAMPLE.to_vec(), media_type: ImageType::Png }
    }

    /// The ETag, without quotes, that S3 gives the picture where it encrypts with keys of its own, as the template's bucket does.
    pub(crate) fn etag(&self) -> String {
        hex(&Md5::digest(&self.bytes))
    }
}
