use crate::{MAX_PIXELS, MAX_SIDE};

/// Why a picture cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Not one of the three formats.
    #[error("this is not a JPEG, PNG or WebP picture: save the photograph as one of them")]
    Unsupported,
    /// One of the three formats, in a variety that the decoder does not support.
    #[error("this variety of {format} cannot be read: save the photograph as a plain JPEG or PNG")]
    UnsupportedVariety {
        /// `JPEG`, `PNG` or `WebP`.
        format: &'static str,
        /// The decoder's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The data contradicts its format.
    #[error("the {format} picture cannot be decoded: export or upload it again")]
    Corrupt {
        /// `JPEG`, `PNG` or `WebP`.
        format: &'static str,
        /// The decoder's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is truncated.
    #[error("the {format} picture breaks off after {bytes} bytes, before its end: upload the whole file")]
    Truncated {
        /// `JPEG`, `PNG` or `WebP`.
        format: &'static str,
        /// The length of the file, in bytes.
        bytes: usize,
    },
    /// More than [`MAX_PIXELS`].
    #[error("the picture has {width} x {height} pixels: at most {} million pixels work", MAX_PIXELS / 1_000_000)]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A side longer than [`MAX_SIDE`].
    #[error("the picture has {width} x {height} pixels: at most {MAX_SIDE} on either side work")]
    TooLong {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
}
