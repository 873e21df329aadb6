//! The strip: the aligned original and every age side by side, as bytes.

use face::Landmarks;
use image::RgbImage;

use crate::{Engine, PANEL};

/// Why there is no strip.
#[derive(Debug, thiserror::Error)]
pub enum StripError {
    /// The portrait is not a panel.
    #[error("the aligned portrait has {width} x {height} pixels: {PANEL} x {PANEL} are needed")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Nobody wants it any more.
    #[error("given up between two ages, as nobody waits for the strip any more")]
    Cancelled,
}

/// The bytes of a strip of so many ages: [`PANEL`] rows of `1 + ages` panels of RGB.
pub fn byte_count(ages: usize) -> usize {
    PANEL as usize * row_bytes(ages)
}

fn row_bytes(ages: usize) -> usize {
    PANEL as usize * (1 + ages) * 3
}

/// Appends the strip of an aligned portrait, and its landmarks in pixels of it, to `out`: [`byte_count`] bytes, `u8`, shape
/// `(PANEL, PANEL * (1 + ages), 3)` in C order; panel 0 is the portrait itself. Ages are years, 0 to 100.
///
/// `wanted` is asked before each age.
///
/// # Errors
/// [`StripError`]: a portrait of another size than [`PANEL`] x [`PANEL`], or no longer wanted. What `out` then holds
/// beyond its former length is of no use.
pub fn append(
    engine: &Engine,
    portrait: &RgbImage,
    landmarks: &Landmarks,
    ages: &[u8],
    out: &mut Vec<u8>,
    wanted: &dyn Fn() -> bool,
) -> Result<(), StripError> {
    let (width, height) = portrait.dimensions();
    if (width, height) != (PANEL, PANEL) {
        return Err(StripError::Size { width, height });
    }
    if !wanted() {
        return Err(StripError::Cancelled);
    }
    let start = out.len();
    out.resize(start + byte_count(ages.len()), 0);
    let strip = &mut out[start..];
    let row_bytes = row_bytes(ages.len());
    let panel_bytes = PANEL as usize * 3;
    for (row, from) in strip.chunks_exact_mut(row_bytes).zip(portrait.as_raw().chunks_exact(panel_bytes)) {
        row[..panel_bytes].copy_from_slice(from);
    }
    match engine {
        Engine::Preview(preview) => {
            let analysis = preview.analyse(portrait, landmarks);
            for (panel, &age) in (1..).zip(ages) {
                if !wanted() {
                    return Err(StripError::Cancelled);
                }
                preview.render(&analysis, age, &mut strip[panel * panel_bytes..], row_bytes);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use image::Rgb;

    use super::*;
    use crate::preview::{Preview, face_like};

    fn portrait() -> RgbImage {
        RgbImage::from_fn(PANEL, PANEL, |x, y| Rgb([(x / 4) as u8, (y / 4) as u8, ((x ^ y) & 0xff) as u8]))
    }

    #[test]
    fn panels_from_left_to_right_after_what_is_there() {
        let (engine, portrait) = (Engine::Preview(Preview), portrait());
        let mut out = b"header".to_vec();
        append(&engine, &portrait, &face_like(), &[70, 35], &mut out, &|| true).unwrap();
        assert_eq!((out.len(), &out[..6]), (6 + byte_count(2), &b"header"[..]));
        let panel = |n: usize| -> Vec<u8> {
            out[6..].chunks_exact(3 * 3072).flat_map(|row| row[n * 3072..(n + 1) * 3072].to_vec()).collect()
        };
        assert_eq!(&panel(0), portrait.as_raw());
        assert_ne!(panel(1), panel(0));
        assert!(panel(2).iter().zip(panel(0)).all(|(aged, original)| aged.abs_diff(original) <= 1));

        let mut again = Vec::new();
        append(&engine, &portrait, &face_like(), &[70, 35], &mut again, &|| true).unwrap();
        assert!(again == out[6..], "the same portrait and ages make the same bytes");
    }

    #[test]
    fn stops_between_ages() {
        let asked = Cell::new(0);
        let wanted = || asked.replace(asked.get() + 1) < 3;
        let result =
            append(&Engine::Preview(Preview), &portrait(), &face_like(), &[1, 2, 3, 4, 5], &mut Vec::new(), &wanted);
        assert!(matches!(result, Err(StripError::Cancelled)));
        assert_eq!(asked.get(), 4);
    }

    #[test]
    fn refuses_other_sizes() {
        let result =
            append(&Engine::Preview(Preview), &RgbImage::new(512, 1024), &face_like(), &[1], &mut Vec::new(), &|| true);
        assert_eq!(
            result.unwrap_err().to_string(),
            "the aligned portrait has 512 x 1024 pixels: 1024 x 1024 are needed"
        );
    }
}
