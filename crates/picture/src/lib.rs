//! Pictures as bytes: a JPEG, PNG or WebP file becomes upright 8-bit sRGB pixels, within limits of memory.
//!
//! No other member of the workspace, no I/O.

mod colour;
mod decode;
pub mod drawing;
mod exif;
mod jpeg;
mod picture_error;
mod png;
pub mod resize;
mod scans;
mod webp;

pub use decode::{MAX_PIXELS, MAX_SIDE, decode, size};
pub use image::RgbImage;
pub use picture_error::PictureError;
