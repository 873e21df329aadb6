//! Pictures as bytes: a JPEG, PNG or WebP file becomes upright 8-bit sRGB pixels, within limits of memory; and resized as Pillow does.
//!
//! No other member of the workspace, no I/O.

mod colour;
mod decode;
pub mod drawing;
mod exif;
mod jpeg;
mod lanczos;
mod picture_error;
mod png;
pub mod resize;
mod scans;
mod webp;

pub use decode::{MAX_PIXELS, MAX_SIDE, decode, decode_as_stored, size};
pub use image::RgbImage;
pub use lanczos::lanczos;
pub use picture_error::PictureError;
