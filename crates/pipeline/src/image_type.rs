use std::str::FromStr;

use crate::ForeignType;

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
    /// Whether a body of this `Content-Type` may be a picture: an accepted format, or a type that says nothing about the
    /// bytes (none, or `application/octet-stream`).
    ///
    /// # Errors
    /// [`ImageTypeError`]: another type.
    pub fn check_content_type(media_type: &str) -> Result<(), ImageTypeError> {
        match essence(media_type).as_str() {
            "" | "application/octet-stream" | "binary/octet-stream" => Ok(()),
            _ => media_type.parse::<Self>().map(drop),
        }
    }

    /// Every format.
    pub const ALL: [Self; 3] = [Self::Jpeg, Self::Png, Self::WebP];

    /// The number of leading bytes that [`ImageType::sniff`] and [`ForeignType::sniff`] need.
    pub const SNIFF_BYTES: usize = 64;

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
#[error("{_0:?} is not an accepted picture format: {advice}", advice = advice(_0))]
pub struct ImageTypeError(pub String);

fn advice(media_type: &str) -> String {
    match ForeignType::of_media_type(&essence(media_type)) {
        Some(foreign) => foreign.to_string(),
        None => "image/jpeg, image/png and image/webp would work".to_owned(),
    }
}

/// A media type without its parameters, in lower case.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl FromStr for ImageType {
    type Err = ImageTypeError;

    /// Reads a `Content-Type`, without regard to its parameters and its case. Names that are not registered, and that clients
    /// send all the same, are read too.
    fn from_str(media_type: &str) -> Result<Self, ImageTypeError> {
        match essence(media_type).as_str() {
            "image/jpeg" | "image/jpg" | "image/pjpeg" | "image/x-jpeg" | "image/x-jpg" | "image/jfif" => {
                Ok(Self::Jpeg)
            }
            // An animated PNG is a PNG, whose first picture is taken.
            "image/png" | "image/x-png" | "image/apng" | "image/vnd.mozilla.apng" => Ok(Self::Png),
            "image/webp" | "image/x-webp" => Ok(Self::WebP),
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
        for jpeg in ["image/jpg", "IMAGE/JPG", " image/pjpeg ;x=y", "image/x-jpeg", "image/jfif"] {
            assert_eq!(jpeg.parse(), Ok(ImageType::Jpeg), "{jpeg}");
        }
        assert_eq!("image/x-png".parse(), Ok(ImageType::Png));
        for none in ["", ";", "application/octet-stream", "Application/Octet-Stream; x=1", "binary/octet-stream"] {
            assert_eq!(ImageType::check_content_type(none), Ok(()), "{none}");
            assert!(none.parse::<ImageType>().is_err());
        }
        let heic = ImageType::check_content_type("image/HEIC; q=1").unwrap_err().to_string();
        assert!(heic.contains("image/HEIC") && heic.contains("Most Compatible"), "{heic}");
        let text = ImageType::check_content_type("text/plain").unwrap_err().to_string();
        assert!(text.contains("text/plain") && text.contains("image/jpeg"), "{text}");
        assert!(ImageType::ALL.into_iter().all(|format| format.as_str().parse() == Ok(format)));
        assert!("image/gif".parse::<ImageType>().is_err());
    }
}
