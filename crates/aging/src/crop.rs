use std::borrow::Cow;

use image::RgbImage;
use image::imageops::{self, FilterType};

use crate::ImageError;

/// Width and height of an aligned portrait and of every panel, in pixels.
pub const PANEL: u32 = 1024;
/// The shortest side of a picture that is taken, in pixels.
pub const MIN_SIDE: u32 = 48;

/// The largest square in the middle of a picture, resampled to [`PANEL`] x [`PANEL`] pixels.
///
/// # Errors
/// [`ImageError::TooSmall`] where a side is shorter than [`MIN_SIDE`].
pub fn largest_centred_square(picture: &RgbImage) -> Result<RgbImage, ImageError> {
    let (width, height) = picture.dimensions();
    let side = width.min(height);
    if side < MIN_SIDE {
        return Err(ImageError::TooSmall { width, height });
    }
    let (left, top) = ((width - side) / 2, (height - side) / 2);
    let square = if width == height {
        Cow::Borrowed(picture)
    } else {
        Cow::Owned(imageops::crop_imm(picture, left, top, side, side).to_image())
    };
    if side == PANEL {
        return Ok(square.into_owned());
    }
    // A wide kernel over tens of megapixels takes seconds: plain averaging comes first, down to twice the size.
    let square =
        if side > 4 * PANEL { Cow::Owned(imageops::thumbnail(square.as_ref(), 2 * PANEL, 2 * PANEL)) } else { square };
    Ok(imageops::resize(square.as_ref(), PANEL, PANEL, FilterType::CatmullRom))
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn takes_the_middle_at_any_size() {
        for (width, height) in [(48, 48), (300, 100), (90, 400), (1024, 1024), (1500, 1024), (4200, 4300)] {
            // Red in the middle, blue beyond the largest centred square.
            let side = width.min(height);
            let (left, top) = ((width - side) / 2, (height - side) / 2);
            let picture = RgbImage::from_fn(width, height, |x, y| {
                let inside = (left..left + side).contains(&x) && (top..top + side).contains(&y);
                Rgb(if inside { [200, 40, 30] } else { [0, 0, 255] })
            });
            let square = largest_centred_square(&picture).unwrap();
            assert_eq!(square.dimensions(), (PANEL, PANEL));
            assert!(square.pixels().all(|pixel| pixel.0[0].abs_diff(200) <= 1 && pixel.0[2].abs_diff(30) <= 1));
        }
    }

    #[test]
    fn refuses_a_postage_stamp() {
        let error = largest_centred_square(&RgbImage::new(640, 47)).unwrap_err();
        assert!(error.to_string().starts_with("the picture has 640 x 47 pixels: at least 48 x 48"), "{error}");
        assert!(largest_centred_square(&RgbImage::new(0, 0)).is_err());
    }
}
