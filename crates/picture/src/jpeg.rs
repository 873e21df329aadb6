use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};
use moxcms::DataColorSpace;

use crate::scans::{self, End};
use crate::{MAX_PIXELS, PictureError, colour, exif};

/// The memory that decoding may take, in bytes. A progressive CMYK picture keeps all its coefficients, 15 bytes a pixel.
const MAX_MEMORY: u64 = 16 * MAX_PIXELS + 128 * 1024 * 1024;
/// The most scans of a progressive picture. Encoders write about ten. Each costs a pass over all pixels, even if it has few bytes.
const MAX_SCANS: usize = 64;

/// Decodes a JPEG to exactly the pixels of libjpeg-turbo, which dlib and Pillow use, then applies its profile. Reads its EXIF
/// orientation.
///
/// A difference of one level changes the features of flat regions, and with them scores and landmarks. CMYK is read
/// inverted, as Adobe writes it.
pub(crate) fn decode(bytes: &[u8]) -> Result<(DynamicImage, Option<Orientation>), PictureError> {
    let truncated = || PictureError::Truncated { format: "JPEG", bytes: bytes.len() };
    match scans::end(bytes) {
        End::Marked => pixels(bytes),
        // Without the last block the decoder runs out of data.
        End::Mended(mended) => pixels(&mended).map_err(|error| match error {
            PictureError::Corrupt { .. } => truncated(),
            error => error,
        }),
        End::Missing => Err(truncated()),
    }
}

fn pixels(bytes: &[u8]) -> Result<(DynamicImage, Option<Orientation>), PictureError> {
    let limits = DecodeLimits {
        max_pixels: MAX_PIXELS,
        max_scans: MAX_SCANS,
        max_memory: Some(MAX_MEMORY),
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(refused)?;
    let (width, height) = (u32::from(decoder.header().width), u32::from(decoder.header().height));
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureError::TooLarge { width, height });
    }
    // A height of 0 announces a DNL segment. No encoder writes one, and the decoder does not read it.
    if width == 0 || height == 0 {
        return Err(refused(JpegError::Unsupported(format!("a frame of {width} x {height}"))));
    }
    if !even_inks(&decoder) {
        return Err(refused(JpegError::Unsupported("four inks at different resolutions".into())));
    }
    let orientation = decoder.exif_data().and_then(exif::orientation);
    // Broken metadata is no reason to refuse a sound picture.
    let icc = decoder.icc_profile().ok().flatten();
    let profile = icc.and_then(|icc| colour::profile(&icc));
    let components = decoder.header().components.len();
    if let Some(profile) = profile.as_ref().filter(|profile| profile.color_space == DataColorSpace::Cmyk)
        && components == 4
    {
        decoder.set_output_format(PixelFormat::Cmyk);
        let mut inks = levels(&decoder, width, height, 4)?;
        inks.iter_mut().for_each(|ink| *ink = 255 - *ink);
        if let Some(picture) = colour::inks_to_srgb(width, height, &inks, profile) {
            return Ok((picture.into(), orientation));
        }
    }
    // A grey picture needs its own samples for a grey profile. Without one, it is decoded as it always was.
    let grey = components == 1 && profile.is_some();
    decoder.set_output_format(if grey { PixelFormat::Grayscale } else { PixelFormat::Rgb });
    let levels = levels(&decoder, width, height, if grey { 1 } else { 3 })?;
    let picture = if grey {
        GrayImage::from_raw(width, height, levels).map(DynamicImage::from)
    } else {
        RgbImage::from_raw(width, height, levels).map(DynamicImage::from)
    };
    let picture = picture.ok_or_else(|| too_few(width, height))?;
    Ok((if let Some(profile) = &profile { colour::to_srgb(picture, profile) } else { picture }, orientation))
}

/// The decoded samples of all pixels.
fn levels(decoder: &Decoder<'_>, width: u32, height: u32, channels: usize) -> Result<Vec<u8>, PictureError> {
    let decoded = decoder.decode_image().map_err(refused)?;
    // The decoder has refused headers with too small dimensions.
    let expected = width as usize * height as usize * channels;
    if decoded.data.len() == expected { Ok(decoded.data) } else { Err(too_few(width, height)) }
}

fn too_few(width: u32, height: u32) -> PictureError {
    refused(JpegError::CorruptData(format!("too few pixels for {width} x {height}")))
}

/// Whether the components of a CMYK picture have one resolution, or the second and third half of it. The decoder panics on
/// others.
fn even_inks(decoder: &Decoder<'_>) -> bool {
    let factors = |at: usize| {
        let component = &decoder.header().components[at];
        (component.horizontal_sampling, component.vertical_sampling)
    };
    if decoder.header().components.len() != 4 {
        return true;
    }
    let first = factors(0);
    factors(3) == first
        && factors(1) == factors(2)
        && (factors(1) == first || factors(1) == (1, 1))
        && matches!(first, (1 | 2, 1 | 2))
}

fn refused(source: JpegError) -> PictureError {
    match source {
        JpegError::Unsupported(_) | JpegError::LimitExceeded { .. } => {
            PictureError::UnsupportedVariety { format: "JPEG", source: source.into() }
        }
        _ => PictureError::Corrupt { format: "JPEG", source: source.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_pixels_are_refused_by_the_header() {
        let mut bytes = include_bytes!("../tests/fixtures/baseline.jpg").to_vec();
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[frame + 5..frame + 9].copy_from_slice(&[0x27, 0x10, 0x4e, 0x20]);
        let error = decode(&bytes).unwrap_err();
        assert!(matches!(error, PictureError::TooLarge { width: 20_000, height: 10_000 }), "{error:?}");
    }

    #[test]
    fn too_many_scans_are_refused() {
        let bytes = include_bytes!("../tests/fixtures/progressive.jpg");
        let marker = |from: usize, marker: &[u8]| {
            from + bytes[from..].windows(2).position(|pair| pair[0] == 0xff && marker.contains(&pair[1])).unwrap()
        };
        // The first scan, up to the next one or its tables: the coarse means of the blocks, which may be said again.
        let start = marker(0, &[0xda]);
        let end = marker(start + 2, &[0xc4, 0xda]);
        let with = |scans| decode(&[&bytes[..start], &bytes[start..end].repeat(scans), &bytes[end..]].concat());
        assert_eq!(with(20).unwrap(), decode(bytes).unwrap());
        let error = with(MAX_SCANS).unwrap_err();
        assert!(matches!(error, PictureError::UnsupportedVariety { format: "JPEG", .. }), "{error:?}");
    }

    /// Broken headers and data: an error or a picture, never a panic.
    #[test]
    fn nothing_panics() {
        let fixtures: [&[u8]; 4] = [
            include_bytes!("../tests/fixtures/baseline.jpg"),
            include_bytes!("../tests/fixtures/progressive.jpg"),
            include_bytes!("../tests/fixtures/columns.jpg"),
            include_bytes!("../tests/fixtures/cmyk.jpg"),
        ];
        let mut state = 1u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        let mut pictures = 0;
        for round in 0..1200 {
            let mut bytes = fixtures[round % 4].to_vec();
            let header = bytes.len().min(700);
            for _ in 0..1 + random(3) {
                let at = random(header);
                bytes[at] = random(256) as u8;
            }
            pictures += usize::from(decode(&bytes).is_ok());
        }
        // Every place of the inks' sampling factors, at every value.
        let cmyk = fixtures[3];
        let frame = cmyk.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        for component in 0..4 {
            for factors in 0..=255 {
                let mut bytes = cmyk.to_vec();
                bytes[frame + 11 + 3 * component] = factors;
                pictures += usize::from(decode(&bytes).is_ok());
            }
        }
        assert!(pictures > 100, "{pictures}");
    }

    /// A part of the sample photograph, encoded and decoded by `tests/make_jpegs.py`: chroma at half the
    /// resolution both ways, the same in several scans, chroma at half the columns, CMYK.
    #[test]
    fn the_pixels_of_libjpeg() {
        let same = |jpeg: &[u8], png: &[u8]| {
            let expected = image::load_from_memory(png).unwrap().into_rgb8();
            let (picture, orientation) = decode(jpeg).unwrap();
            let picture = picture.into_rgb8();
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
