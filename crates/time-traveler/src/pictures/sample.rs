//! The photo to work on, where the user may leave it out: a portrait is built in.

use std::path::Path;

use anyhow::Context;
use picture::RgbImage;

use super::source;
use crate::escape::Shown;

/// The built-in portrait, a PNG.
pub(crate) const SAMPLE: &[u8] = include_bytes!("../../../../examples/astronaut.png");

/// Reads a photo, or the built-in portrait without one, and says what to call it in messages.
///
/// # Errors
/// Where the photo cannot be read or decoded.
pub(crate) fn photo_or_sample(photo: Option<&Path>) -> anyhow::Result<(String, RgbImage)> {
    let (name, bytes) = match photo {
        Some(photo) => (format!("the photo {}", photo.shown()), source::read(photo, source::MAX_BYTES)?),
        None => ("the built-in portrait".to_owned(), SAMPLE.to_vec()),
    };
    let picture = picture::decode(&bytes).with_context(|| name.clone())?;
    Ok((name, picture))
}
