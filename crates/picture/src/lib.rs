//! Pictures as bytes: a JPEG, PNG or WebP file becomes upright 8-bit RGB pixels, within limits of memory.
//!
//! No other member of the workspace, no I/O.

mod decode;
mod jpeg;
mod picture_error;
mod truncation;
mod webp;

pub use decode::{MAX_PIXELS, decode};
pub use image::RgbImage;
pub use picture_error::PictureError;
