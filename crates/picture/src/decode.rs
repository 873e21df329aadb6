use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use crate::{PictureError, jpeg, truncation, webp};

/// The most pixels that a picture may have to be decoded: 64 million.
pub const MAX_PIXELS: u64 = 64_000_000;

/// The memory that a decoder may allocate, in bytes: [`MAX_PIXELS`] of 8 bytes each, and 128 MB beside them.
const MAX_DECODER_BYTES: u64 = MAX_PIXELS * 8 + 128 * 1024 * 1024;

/// Decodes a JPEG, PNG or WebP picture to 8-bit RGB, upright by its EXIF orientation, transparency over white.
///
/// The first bytes decide the format. The header's dimensions are checked before anything is decoded. An animation gives its
/// first frame. Colour profiles are not applied.
///
/// # Errors
/// [`PictureError`]: another format, corrupt or truncated data, or more than [`MAX_PIXELS`].
pub fn decode(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    let (format, name) = match image::guess_format(bytes) {
        Ok(format @ ImageFormat::Jpeg) => (format, "JPEG"),
        Ok(format @ ImageFormat::Png) => (format, "PNG"),
        Ok(format @ ImageFormat::WebP) => (format, "WebP"),
        _ => return Err(PictureError::Unsupported),
    };
    if format == ImageFormat::Jpeg {
        if !truncation::is_whole(format, bytes) {
            return Err(PictureError::Truncated { format: name, bytes: bytes.len() });
        }
        let (picture, orientation) = jpeg::decode(bytes)?;
        return Ok(turned(picture.into(), orientation).into_rgb8());
    }
    let refused = |source| match source {
        image::ImageError::Unsupported(_) => {
            PictureError::UnsupportedVariety { format: name, source: Box::new(source) }
        }
        _ => PictureError::Corrupt { format: name, source: Box::new(source) },
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(refused)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureError::TooLarge { width, height });
    }
    if !truncation::is_whole(format, bytes) {
        return Err(PictureError::Truncated { format: name, bytes: bytes.len() });
    }
    if format == ImageFormat::WebP && !webp::first_frame_fits(bytes) {
        return Err(PictureError::Corrupt { format: name, source: "a frame of the animation has another size".into() });
    }
    // Broken metadata is no reason to refuse a sound picture.
    let orientation = decoder.orientation().ok();
    let picture = DynamicImage::from_decoder(decoder).map_err(refused)?;
    Ok(opaque(turned(picture, orientation)))
}

fn turned(mut picture: DynamicImage, orientation: Option<Orientation>) -> DynamicImage {
    if let Some(orientation) = orientation {
        picture.apply_orientation(orientation);
    }
    picture
}

fn opaque(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let transparent = picture.into_rgba8();
    let (width, height) = transparent.dimensions();
    let mut rgb = RgbImage::new(width, height);
    for (to, from) in rgb.pixels_mut().zip(transparent.pixels()) {
        let [red, green, blue, alpha] = from.0.map(u32::from);
        let over_white = |value: u32| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        to.0 = [over_white(red), over_white(green), over_white(blue)];
    }
    rgb
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, GrayImage, ImageBuffer, ImageEncoder, LumaA, Rgb, Rgba, RgbaImage};
    use libjpeg_turbo_rs::PixelFormat;

    use super::*;

    #[test]
    fn headers_that_make_decoders_panic_are_refused() {
        let webp = include_bytes!("../tests/fixtures/frame-of-another-size.webp");
        assert!(matches!(decode(webp), Err(PictureError::Corrupt { .. })));
        let mut jpeg = include_bytes!("../tests/fixtures/baseline.jpg").to_vec();
        let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        // The height follows marker, length and precision.
        jpeg[frame + 5..frame + 7].fill(0);
        assert!(decode(&jpeg).is_err());
    }

    /// Reddish with a gradient and some noise, so that its encodings are not tiny.
    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let noise = (x * 7919 + y * 104_729) % 23;
            Rgb([180 + noise as u8, (40 + x % 60) as u8, (30 + y % 60) as u8])
        })
    }

    fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    const FORMATS: [ImageFormat; 3] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];

    #[test]
    fn reads_the_three_formats() {
        let original = picture(80, 50);
        for format in FORMATS {
            let read = decode(&encoded(original.clone(), format)).unwrap();
            assert_eq!(read.dimensions(), (80, 50));
            if format != ImageFormat::Jpeg {
                assert_eq!(read, original);
            }
        }
    }

    #[test]
    fn grey_transparent_and_sixteen_bits() {
        let grey = GrayImage::from_fn(20, 10, |x, _| image::Luma([x as u8 * 10]));
        let read = decode(&encoded(grey.clone(), ImageFormat::Jpeg)).unwrap();
        assert!(read.get_pixel(10, 5).0.iter().all(|value| value.abs_diff(100) < 8));
        assert_eq!(decode(&encoded(grey, ImageFormat::Png)).unwrap().get_pixel(7, 3).0, [70; 3]);

        let clear = RgbaImage::from_fn(4, 4, |x, _| Rgba([200, 100, 0, if x == 0 { 0 } else { 255 }]));
        let read = decode(&encoded(clear, ImageFormat::Png)).unwrap();
        assert_eq!((read.get_pixel(0, 0).0, read.get_pixel(1, 0).0), ([255; 3], [200, 100, 0]));

        let deep: ImageBuffer<LumaA<u16>, _> = ImageBuffer::from_pixel(4, 4, LumaA([0x8000, 0xffff]));
        assert_eq!(decode(&encoded(deep, ImageFormat::Png)).unwrap().get_pixel(2, 2).0, [128; 3]);
    }

    /// A JPEG with an EXIF block of one entry, the orientation.
    fn oriented(picture: &RgbImage, orientation: u8) -> Vec<u8> {
        let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
        encoder.set_exif_metadata(exif).unwrap();
        encoder.write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8).unwrap();
        bytes
    }

    #[test]
    fn turns_upright() {
        let half = RgbImage::from_fn(64, 32, |x, _| Rgb([if x < 32 { 250 } else { 5 }; 3]));
        let bright = |picture: &RgbImage, x, y| picture.get_pixel(x, y).0[0] > 128;
        let read = decode(&oriented(&half, 1)).unwrap();
        assert_eq!((read.dimensions(), bright(&read, 4, 16)), ((64, 32), true));
        let read = decode(&oriented(&half, 3)).unwrap();
        assert_eq!((read.dimensions(), bright(&read, 4, 16)), ((64, 32), false));
        let read = decode(&oriented(&half, 6)).unwrap();
        assert_eq!((read.dimensions(), bright(&read, 16, 4), bright(&read, 16, 60)), ((32, 64), true, false));
        let read = decode(&oriented(&half, 8)).unwrap();
        assert_eq!((read.dimensions(), bright(&read, 16, 4), bright(&read, 16, 60)), ((32, 64), false, true));
    }

    #[test]
    fn reads_cmyk() {
        // Red, and half as bright, as Adobe writes CMYK: 255 is no ink.
        let encode = |inks: [u8; 4]| {
            let pixels = inks.repeat(16 * 16);
            libjpeg_turbo_rs::Encoder::new(&pixels, 16, 16, PixelFormat::Cmyk).quality(95).encode().unwrap()
        };
        let read = decode(&encode([255, 0, 0, 255])).unwrap();
        assert!(read.get_pixel(8, 8).0.iter().zip([255, 0, 0]).all(|(value, wanted)| value.abs_diff(wanted) < 3));
        let read = decode(&encode([255, 0, 0, 128])).unwrap();
        assert!(read.get_pixel(8, 8).0.iter().zip([128, 0, 0]).all(|(value, wanted)| value.abs_diff(wanted) < 3));
    }

    #[test]
    fn every_cut_is_an_error_and_trailing_bytes_are_none() {
        for format in FORMATS {
            let whole = encoded(picture(96, 64), format);
            let ends = [1, 2, 3, 4, 8, 12, 13].map(|missing| whole.len() - missing);
            let parts = (0..20).map(|twentieth| whole.len() * twentieth / 20);
            for cut in ends.into_iter().chain(parts) {
                let error = decode(&whole[..cut]).expect_err("a truncated file is an error");
                let expected = matches!(
                    error,
                    PictureError::Truncated { .. } | PictureError::Corrupt { .. } | PictureError::Unsupported
                );
                assert!(
                    expected && (cut < 16 || !matches!(error, PictureError::Unsupported)),
                    "{format:?} {cut} {error}"
                );
            }
            let mut trailed = whole.clone();
            trailed.extend(b"\0\0\0MotionPhoto\xff\xd8\xff");
            assert_eq!(decode(&trailed).unwrap(), decode(&whole).unwrap());
        }
    }

    #[test]
    fn the_end_of_a_thumbnail_is_not_the_end() {
        let thumbnail = encoded(picture(16, 16), ImageFormat::Jpeg);
        let whole = encoded(picture(96, 64), ImageFormat::Jpeg);
        let length = u16::try_from(thumbnail.len() + 2).unwrap().to_be_bytes();
        let with_thumbnail = [&whole[..2], &[0xff, 0xe7], &length, &thumbnail, &whole[2..]].concat();
        assert_eq!(decode(&with_thumbnail).unwrap(), decode(&whole).unwrap());
        let cut = &with_thumbnail[..with_thumbnail.len() - 2];
        assert!(matches!(decode(cut), Err(PictureError::Truncated { format: "JPEG", .. })));
    }

    #[test]
    fn other_formats_are_unsupported() {
        for bytes in [&b""[..], b"hello, world", b"GIF89a\x01\0\x01\0\x80\0\0", b"BM", b"\xff\xd8", b"<svg/>"] {
            assert!(matches!(decode(bytes), Err(PictureError::Unsupported)), "{bytes:?}");
        }
    }

    #[test]
    fn garbage_behind_a_signature_is_corrupt() {
        for start in [&b"\xff\xd8\xff\xe0"[..], b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8 "] {
            let garbage = [start, &[0x5a; 80]].concat();
            let error = decode(&garbage).unwrap_err();
            assert!(matches!(error, PictureError::Corrupt { .. } | PictureError::Truncated { .. }), "{error}");
        }
    }

    #[test]
    fn a_bomb_is_refused_by_its_header() {
        let mut bomb = encoded(picture(8, 8), ImageFormat::Png);
        bomb[16..20].copy_from_slice(&20_000u32.to_be_bytes());
        bomb[20..24].copy_from_slice(&20_000u32.to_be_bytes());
        let checksum = png_checksum(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
        let error = decode(&bomb).unwrap_err();
        assert!(matches!(error, PictureError::TooLarge { width: 20_000, height: 20_000 }), "{error:?}");
        assert_eq!(error.to_string(), "the picture has 20000 x 20000 pixels: at most 64 million pixels work");
    }

    /// The CRC-32 of a chunk's type and data (PNG 3rd edition, annex D).
    fn png_checksum(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }
}
