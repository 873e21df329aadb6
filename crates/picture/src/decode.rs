use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use crate::png::Png;
use crate::{PictureError, colour, exif, jpeg, webp};

/// The most pixels that a picture may have to be decoded: 64 million.
pub const MAX_PIXELS: u64 = 64_000_000;

/// The memory that a decoder may allocate, in bytes: [`MAX_PIXELS`] of 8 bytes each, and 128 MB beside them.
const MAX_DECODER_BYTES: u64 = MAX_PIXELS * 8 + 128 * 1024 * 1024;

/// The longest side of a picture that is decoded, in pixels: as long as a JPEG's can be. A narrow picture takes a decoder far
/// longer than a square one of as many pixels.
pub const MAX_SIDE: u32 = 65_535;

/// Decodes a JPEG, PNG or WebP picture to 8-bit sRGB, upright by its EXIF orientation, transparency over white.
///
/// The first bytes decide the format. The header's dimensions are checked before anything is decoded. An animation gives its
/// first frame. Colours of an embedded profile are converted to sRGB; a profile that is broken, or of other pixels, is ignored.
/// A file that lacks its end is decoded if no pixel is missing.
///
/// # Errors
/// [`PictureError`]: another format, corrupt or truncated data, more than [`MAX_PIXELS`], or a side above [`MAX_SIDE`].
pub fn decode(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    let (picture, orientation) = pixels(bytes)?;
    Ok(opaque(turned(picture, orientation)))
}

/// Decodes as [`decode`] does, but leaves the pixels as the file stores them, whatever its EXIF orientation is. TensorFlow decodes so.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_as_stored(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    let (picture, _) = pixels(bytes)?;
    Ok(opaque(picture))
}

/// The width and height in pixels of the picture that [`decode`] would give, from its header alone where that can be read. Then the
/// pixels may still be broken.
///
/// # Errors
/// [`PictureError`]: another format, a corrupt header, more than [`MAX_PIXELS`], or a side above [`MAX_SIDE`].
pub fn size(bytes: &[u8]) -> Result<(u32, u32), PictureError> {
    let (format, name) = match image::guess_format(bytes) {
        Ok(format @ ImageFormat::Jpeg) => (format, "JPEG"),
        Ok(format @ ImageFormat::Png) => (format, "PNG"),
        Ok(format @ ImageFormat::WebP) => (format, "WebP"),
        _ => return Err(PictureError::Unsupported),
    };
    let mut decoder = match decoder(bytes, format, name) {
        Ok(decoder) => decoder,
        Err(error @ (PictureError::TooLarge { .. } | PictureError::TooLong { .. })) => return Err(error),
        // `decode` reads some files that this decoder refuses.
        Err(_) => return Ok(decode(bytes)?.dimensions()),
    };
    let (width, height) = decoder.dimensions();
    let orientation = match format {
        // The decoder has read no chunk behind the first pixels.
        ImageFormat::Png => Png::read(bytes).exif.and_then(exif::orientation),
        _ => decoder.exif_metadata().ok().flatten().and_then(|exif| exif::orientation(&exif)),
    };
    let turned =
        [Orientation::Rotate90, Orientation::Rotate270, Orientation::Rotate90FlipH, Orientation::Rotate270FlipH];
    let is_turned = orientation.is_some_and(|found| turned.contains(&found));
    Ok(if is_turned { (height, width) } else { (width, height) })
}

/// The pixels as they are stored, and how they are to be turned.
fn pixels(bytes: &[u8]) -> Result<(DynamicImage, Option<Orientation>), PictureError> {
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => jpeg::decode(bytes),
        Ok(ImageFormat::Png) => png(bytes),
        Ok(ImageFormat::WebP) => webp(bytes),
        _ => Err(PictureError::Unsupported),
    }
}

fn png(bytes: &[u8]) -> Result<(DynamicImage, Option<Orientation>), PictureError> {
    let png = Png::read(bytes);
    let picture = decoder(&png.pixels, ImageFormat::Png, "PNG")
        .and_then(|decoder| DynamicImage::from_decoder(decoder).map_err(refused("PNG")));
    let picture = picture.map_err(|error| match error {
        PictureError::Corrupt { .. } if !png.ended => PictureError::Truncated { format: "PNG", bytes: bytes.len() },
        error => error,
    })?;
    let picture = if let Some(profile) = png.profile() { colour::to_srgb(picture, &profile) } else { picture };
    Ok((picture, png.exif.and_then(exif::orientation)))
}

fn webp(bytes: &[u8]) -> Result<(DynamicImage, Option<Orientation>), PictureError> {
    let truncated = || PictureError::Truncated { format: "WebP", bytes: bytes.len() };
    // A header that the decoder refuses, or too many pixels, is the better reason than a missing end.
    let Some(whole) = webp::whole(bytes) else {
        return Err(decoder(bytes, ImageFormat::WebP, "WebP").err().unwrap_or_else(truncated));
    };
    let mut decoder = decoder(&whole, ImageFormat::WebP, "WebP")?;
    if !webp::first_frame_fits(&whole) {
        return Err(PictureError::Corrupt {
            format: "WebP",
            source: "a frame of the animation has another size".into(),
        });
    }
    // Broken metadata is no reason to refuse a sound picture.
    let exif = decoder.exif_metadata().ok().flatten();
    let icc = decoder.icc_profile().ok().flatten();
    let picture = DynamicImage::from_decoder(decoder).map_err(refused("WebP"))?;
    let profile = icc.and_then(|icc| colour::profile(&icc));
    let picture = if let Some(profile) = profile { colour::to_srgb(picture, &profile) } else { picture };
    Ok((picture, exif.as_deref().and_then(exif::orientation)))
}

/// The `image` crate's decoder of a file, within limits.
fn decoder<'a>(
    bytes: &'a [u8],
    format: ImageFormat,
    name: &'static str,
) -> Result<impl ImageDecoder + 'a, PictureError> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(refused(name))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureError::TooLarge { width, height });
    }
    if width.max(height) > MAX_SIDE {
        return Err(PictureError::TooLong { width, height });
    }
    Ok(decoder)
}

fn refused(format: &'static str) -> impl Fn(ImageError) -> PictureError {
    move |source| match source {
        ImageError::Unsupported(_) => PictureError::UnsupportedVariety { format, source: Box::new(source) },
        _ => PictureError::Corrupt { format, source: Box::new(source) },
    }
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
    use image::codecs::png::PngEncoder;
    use image::codecs::webp::WebPEncoder;
    use image::{ExtendedColorType, GrayImage, ImageBuffer, ImageEncoder, LumaA, Rgb, Rgba, RgbaImage};
    use libjpeg_turbo_rs::PixelFormat;

    use super::*;

    #[test]
    fn a_size_is_that_of_the_decoded_picture() {
        let mut sizes = 0;
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).unwrap() {
            let path = entry.unwrap().path();
            // There are folders too.
            let Ok(bytes) = std::fs::read(&path) else { continue };
            if let Ok(picture) = decode(&bytes) {
                assert_eq!(size(&bytes).unwrap(), picture.dimensions(), "{}", path.display());
                sizes += 1;
            }
        }
        assert!(sizes > 3);
        assert!(matches!(size(b"text"), Err(PictureError::Unsupported)));
    }

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

    /// The same picture with an EXIF block, as each format holds it.
    fn with_exif(format: ImageFormat, picture: &RgbImage, exif: Vec<u8>) -> Vec<u8> {
        let size = (picture.width(), picture.height(), ExtendedColorType::Rgb8);
        let mut bytes = Vec::new();
        match format {
            ImageFormat::Jpeg => {
                let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
                encoder.set_exif_metadata(exif).unwrap();
                encoder.write_image(picture, size.0, size.1, size.2).unwrap();
            }
            ImageFormat::Png => {
                let mut encoder = PngEncoder::new(&mut bytes);
                encoder.set_exif_metadata(exif).unwrap();
                encoder.write_image(picture, size.0, size.1, size.2).unwrap();
            }
            _ => {
                let mut encoder = WebPEncoder::new_lossless(&mut bytes);
                encoder.set_exif_metadata(exif).unwrap();
                encoder.write_image(picture, size.0, size.1, size.2).unwrap();
            }
        }
        bytes
    }

    #[test]
    fn an_orientation_of_any_integer_type_turns_every_format() {
        let half =
            RgbImage::from_fn(64, 32, |x, y| Rgb([if x < 32 { 250 } else { 5 }, if y < 16 { 240 } else { 9 }, 80]));
        for format in FORMATS {
            for value in 1..=8u8 {
                let mut expected = DynamicImage::from(decode(&with_exif(format, &half, Vec::new())).unwrap());
                expected.apply_orientation(Orientation::from_exif(value).unwrap());
                let expected = expected.into_rgb8();
                for (big, kind, count) in [false, true].into_iter().flat_map(|big| {
                    exif::tests::KINDS.into_iter().flat_map(move |kind| [1, 2, 5].map(|count| (big, kind, count)))
                }) {
                    let exif = exif::tests::block(big, kind, count, u32::from(value));
                    let found = decode(&with_exif(format, &half, exif)).unwrap();
                    assert!(found == expected, "{format:?}, big-endian {big}, type {kind} x {count}, {value}");
                }
            }
        }
    }

    #[test]
    fn a_png_is_turned_by_an_orientation_behind_its_pixels() {
        let mut bytes = encoded(picture(40, 20), ImageFormat::Png);
        let exif = exif::tests::block(true, 3, 1, 6);
        let chunk = [&b"eXIf"[..], &exif].concat();
        let length = u32::try_from(exif.len()).unwrap().to_be_bytes();
        // In front of the end, which has no data.
        let end = bytes.len() - 12;
        bytes.splice(end..end, [&length[..], &chunk, &png_checksum(&chunk).to_be_bytes()].concat());
        assert_eq!(decode(&bytes).unwrap().dimensions(), (20, 40));
        assert_eq!(size(&bytes).unwrap(), (20, 40));
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
    fn stored_pixels_are_not_turned() {
        let half = RgbImage::from_fn(64, 32, |x, _| Rgb([if x < 32 { 250 } else { 5 }; 3]));
        let upright = decode(&oriented(&half, 1)).unwrap();
        for orientation in 1..=8 {
            assert!(decode_as_stored(&oriented(&half, orientation)).unwrap() == upright, "{orientation}");
        }
        assert!(matches!(decode_as_stored(b"text"), Err(PictureError::Unsupported)));
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
    fn every_cut_picture_is_an_error_and_trailing_bytes_are_none() {
        for format in FORMATS {
            let whole = encoded(picture(96, 64), format);
            for cut in (0..20).map(|twentieth| whole.len() * twentieth / 20) {
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
        let cut = &with_thumbnail[..with_thumbnail.len() - 40];
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
