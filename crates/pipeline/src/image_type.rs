use std::str::FromStr;

/// The picture formats that the pipeline accepts.
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
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Jpeg, Self::Png, Self::WebP];

    /// The number of leading bytes that [`ImageType::sniff`] needs.
    pub const SNIFF_BYTES: usize = 16;

    /// The format that these leading bytes announce. The `Content-Type` is not used, since clients often send none.
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

    /// The file extension: `jpg`.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::WebP => "webp",
        }
    }
}

/// The media type is none of the three.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an accepted picture format: image/jpeg, image/png and image/webp would work")]
pub struct ImageTypeError(pub String);

impl FromStr for ImageType {
    type Err = ImageTypeError;

    /// Reads a `Content-Type`, without regard to its parameters and its case.
    fn from_str(media_type: &str) -> Result<Self, ImageTypeError> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        // Not registered, but some clients send it.
        let essence = if essence == "image/jpg" { Self::Jpeg.as_str() } else { essence.as_str() };
        let known = Self::ALL.into_iter().find(|format| format.as_str() == essence);
        known.ok_or_else(|| ImageTypeError(media_type.chars().take(60).collect()))
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
        assert_eq!("image/jpg".parse(), Ok(ImageType::Jpeg));
        assert!(ImageType::ALL.into_iter().all(|format| format.as_str().parse() == Ok(format)));
        assert!("image/gif".parse::<ImageType>().is_err());
    }
}
