use std::str::FromStr;

/// The picture formats the pipeline takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageType {
    /// `image/jpeg`
    Jpeg,
    /// `image/png`
    Png,
    /// `image/webp`
    WebP,
}

impl ImageType {
    /// How many leading bytes [`ImageType::sniff`] wants to see.
    pub const SNIFF_BYTES: usize = 16;

    /// The format that these leading bytes announce, whatever the `Content-Type` said: clients often send none.
    ///
    /// JPEG: `FF D8 FF`; PNG: its eight-byte signature; WebP: a RIFF container of form `WEBP`.
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            _ => None,
        }
    }

    /// The media type: `image/jpeg`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
        }
    }
}

/// A media type that is none of the three.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a picture format taken here: image/jpeg, image/png and image/webp are")]
pub struct ImageTypeError(pub String);

impl FromStr for ImageType {
    type Err = ImageTypeError;

    /// Reads a `Content-Type`; parameters and case do not matter.
    fn from_str(media_type: &str) -> Result<Self, ImageTypeError> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "image/jpeg" | "image/jpg" => Ok(Self::Jpeg),
            "image/png" => Ok(Self::Png),
            "image/webp" => Ok(Self::WebP),
            _ => Err(ImageTypeError(media_type.chars().take(60).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sniffs_signatures() {
        assert_eq!(ImageType::sniff(b"\xff\xd8\xff\xe0\0\x10JFIF"), Some(ImageType::Jpeg));
        assert_eq!(ImageType::sniff(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), Some(ImageType::Png));
        assert_eq!(ImageType::sniff(b"RIFF\x10\0\0\0WEBPVP8 "), Some(ImageType::WebP));
        assert_eq!(ImageType::sniff(b"RIFF\x10\0\0\0WAVEfmt "), None);
        assert_eq!(ImageType::sniff(b"hello"), None);
        assert_eq!(ImageType::sniff(b""), None);
    }

    #[test]
    fn reads_media_types() {
        assert_eq!("image/JPEG; q=1".parse(), Ok(ImageType::Jpeg));
        assert!("image/gif".parse::<ImageType>().is_err());
    }
}
