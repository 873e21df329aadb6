use std::str::FromStr;

use pipeline::ImageType;

/// The file format of the panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanelFormat {
    /// Quality 92, chroma halved in both directions.
    Jpeg,
    /// Lossless.
    Png,
}

impl PanelFormat {
    /// The file extension: `jpg` or `png`.
    pub fn extension(self) -> &'static str {
        self.image_type().extension()
    }

    /// The media type.
    pub fn media_type(self) -> &'static str {
        self.image_type().as_str()
    }

    fn image_type(self) -> ImageType {
        match self {
            Self::Jpeg => ImageType::Jpeg,
            Self::Png => ImageType::Png,
        }
    }
}

/// The text does not name a panel format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a panel format: jpeg or png would work")]
pub struct PanelFormatError(String);

impl FromStr for PanelFormat {
    type Err = PanelFormatError;

    fn from_str(text: &str) -> Result<Self, PanelFormatError> {
        match text {
            "jpeg" | "jpg" => Ok(Self::Jpeg),
            "png" => Ok(Self::Png),
            _ => Err(PanelFormatError(text.chars().take(60).collect())),
        }
    }
}
