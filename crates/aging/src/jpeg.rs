use image::RgbImage;
use image::metadata::Orientation;
use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};

use crate::decode::MAX_DECODER_BYTES;
use crate::{ImageError, MAX_PIXELS};

/// Scans of a progressive picture: encoders write about ten.
const MAX_SCANS: usize = 200;

/// Decodes a JPEG to the very pixels that libjpeg-turbo, and so dlib and Pillow, make of it, and how it is to be turned.
///
/// Features of small gradients in flat regions tell a level's difference, and with it scores and landmarks. CMYK is
/// taken as Adobe writes it, inverted.
pub(crate) fn decode(bytes: &[u8]) -> Result<(RgbImage, Option<Orientation>), ImageError> {
    let limits = DecodeLimits {
        max_pixels: MAX_PIXELS,
        max_scans: MAX_SCANS,
        max_memory: Some(MAX_DECODER_BYTES),
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(refused)?;
    let (width, height) = (u32::from(decoder.header().width), u32::from(decoder.header().height));
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ImageError::TooLarge { width, height });
    }
    decoder.set_output_format(PixelFormat::Rgb);
    let orientation = decoder.exif_orientation().and_then(Orientation::from_exif);
    let decoded = decoder.decode_image().map_err(refused)?;
    let (width, height) = (decoded.width as u32, decoded.height as u32);
    // A header that told less than there is would have been refused.
    let picture = RgbImage::from_raw(width, height, decoded.data)
        .ok_or_else(|| refused(JpegError::CorruptData(format!("too few pixels for {width} x {height}"))))?;
    Ok((picture, orientation))
}

fn refused(source: JpegError) -> ImageError {
    match source {
        JpegError::Unsupported(_) => ImageError::UnsupportedVariety { format: "JPEG", source: source.into() },
        _ => ImageError::Corrupt { format: "JPEG", source: source.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part of the sample portrait, encoded and decoded by Pillow 12 with libjpeg-turbo 3.2: chroma at half the
    /// resolution both ways, the same in several scans, chroma at half the columns, CMYK.
    #[test]
    fn the_pixels_of_libjpeg() {
        let same = |jpeg: &[u8], png: &[u8]| {
            let expected = image::load_from_memory(png).unwrap().into_rgb8();
            let (picture, orientation) = decode(jpeg).unwrap();
            assert_eq!((picture.dimensions(), orientation), (expected.dimensions(), None));
            picture.as_raw().iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
        };
        macro_rules! furthest {
            ($name:literal) => {
                same(
                    include_bytes!(concat!("../tests/fixtures/", $name, ".jpg")),
                    include_bytes!(concat!("../tests/fixtures/", $name, ".png")),
                )
            };
        }
        assert_eq!((furthest!("baseline"), furthest!("progressive"), furthest!("columns")), (0, 0, 0));
        // Pillow mixes the inks in other roundings.
        assert!(furthest!("cmyk") <= 1);
    }
}
