//! The ageing engines of Time Traveler, and what surrounds them: a picture is decoded, cut to a square of [`PANEL`]
//! pixels, aged, and laid out as a strip.
//!
//! No HTTP, no AWS, no files but a model's.

mod crop;
mod decode;
mod ending;
mod engine;
mod image_error;
mod plane;
pub mod preview;
pub mod strip;

pub use crop::{MIN_SIDE, PANEL, largest_centred_square};
pub use decode::{MAX_PIXELS, decode};
pub use engine::{Engine, LoadError};
pub use image::RgbImage;
pub use image_error::ImageError;
