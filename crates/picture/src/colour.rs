//! Colours of an embedded profile, converted to sRGB.

use std::sync::Arc;

use image::{DynamicImage, RgbImage, RgbaImage};
use moxcms::{
    CmsError, ColorProfile, DataColorSpace, Layout, ParsingOptions, ProfileClass, TransformExecutor, TransformOptions,
};
use rayon::prelude::*;

/// The longest profile that is used, in bytes. Those of printing presses have 0.5 to 3 MB.
pub(crate) const MAX_PROFILE_BYTES: usize = 8 << 20;
/// Pixels that are converted at once: enough to be worth a thread, few enough for the nearest cache.
const PIXELS_AT_ONCE: usize = 16 * 1024;

/// Reads an ICC profile. `None`: it is broken, too long, or no profile of a device's pictures.
pub(crate) fn profile(icc: &[u8]) -> Option<ColorProfile> {
    let limits = ParsingOptions { max_profile_size: MAX_PROFILE_BYTES, ..ParsingOptions::default() };
    let profile = ColorProfile::new_from_slice_with_options(icc, limits).ok()?;
    let of_pictures = matches!(
        profile.profile_class,
        ProfileClass::InputDevice | ProfileClass::DisplayDevice | ProfileClass::OutputDevice | ProfileClass::ColorSpace
    );
    of_pictures.then_some(profile)
}

/// Converts a picture from a profile's colours to sRGB. A picture of 16 bits is converted before it is reduced to 8.
///
/// The picture stays as it is, to the bit, if the profile does not fit its pixels (grey or RGB), or is sRGB itself.
pub(crate) fn to_srgb(picture: DynamicImage, profile: &ColorProfile) -> DynamicImage {
    let (width, height) = (picture.width(), picture.height());
    let (space, from) = match picture.color() {
        image::ColorType::L8 | image::ColorType::L16 => (DataColorSpace::Gray, Layout::Gray),
        image::ColorType::La8 | image::ColorType::La16 => (DataColorSpace::Gray, Layout::GrayAlpha),
        image::ColorType::Rgb8 | image::ColorType::Rgb16 => (DataColorSpace::Rgb, Layout::Rgb),
        image::ColorType::Rgba8 | image::ColorType::Rgba16 => (DataColorSpace::Rgb, Layout::Rgba),
        _ => return picture,
    };
    if profile.color_space != space {
        return picture;
    }
    let converted = match &picture {
        DynamicImage::ImageLuma8(picture) => converted(profile, from, picture.as_raw()),
        DynamicImage::ImageLumaA8(picture) => converted(profile, from, picture.as_raw()),
        DynamicImage::ImageRgb8(picture) => converted(profile, from, picture.as_raw()),
        DynamicImage::ImageRgba8(picture) => converted(profile, from, picture.as_raw()),
        DynamicImage::ImageLuma16(picture) => converted(profile, from, picture.as_raw()),
        DynamicImage::ImageLumaA16(picture) => converted(profile, from, picture.as_raw()),
        DynamicImage::ImageRgb16(picture) => converted(profile, from, picture.as_raw()),
        DynamicImage::ImageRgba16(picture) => converted(profile, from, picture.as_raw()),
        _ => None,
    };
    let srgb = converted.and_then(|levels| {
        if from.has_alpha() {
            RgbaImage::from_raw(width, height, levels).map(DynamicImage::from)
        } else {
            RgbImage::from_raw(width, height, levels).map(DynamicImage::from)
        }
    });
    srgb.unwrap_or(picture)
}

/// Converts CMYK, four bytes a pixel with 255 as full ink, to sRGB. `None`: the profile is not one of CMYK.
pub(crate) fn inks_to_srgb(width: u32, height: u32, inks: &[u8], profile: &ColorProfile) -> Option<RgbImage> {
    if profile.color_space != DataColorSpace::Cmyk {
        return None;
    }
    RgbImage::from_raw(width, height, converted(profile, Layout::Rgba, inks)?)
}

/// The levels of sRGB, 0 to 255: three a pixel, or four where grey or RGB has alpha. `None`: nothing changes, or the profile
/// cannot be used.
fn converted<T: Depth>(profile: &ColorProfile, from: Layout, samples: &[T]) -> Option<Vec<u8>> {
    let cmyk = profile.color_space == DataColorSpace::Cmyk;
    let to = if from.has_alpha() && !cmyk { Layout::Rgba } else { Layout::Rgb };
    if !cmyk && is_srgb(profile) {
        return None;
    }
    let transform = T::transform(profile, from, to).ok()?;
    let pixels = samples.len() / from.channels();
    let mut levels = vec![0; pixels * to.channels()];
    let parts = levels.par_chunks_mut(PIXELS_AT_ONCE * to.channels());
    parts
        .zip(samples.par_chunks(PIXELS_AT_ONCE * from.channels()))
        .try_for_each(|(levels, samples)| T::convert(&*transform, samples, levels))
        .ok()?;
    Some(levels)
}

/// Whether a profile moves no colour by more than one level. Writers of sRGB round its curve and its matrix differently.
fn is_srgb(profile: &ColorProfile) -> bool {
    let (layout, probes): (_, Vec<u8>) = if profile.color_space == DataColorSpace::Gray {
        (Layout::Gray, (0..=255).collect())
    } else {
        let greys = (0..=255).flat_map(|level| [level; 3]);
        let steps = [0, 51, 102, 153, 204, 255];
        let colours = (0..6 * 6 * 6).flat_map(|n| [steps[n / 36], steps[n / 6 % 6], steps[n % 6]]);
        (Layout::Rgb, greys.chain(colours).collect())
    };
    let mut found = vec![0; probes.len() / layout.channels() * 3];
    let converted =
        u8::transform(profile, layout, Layout::Rgb).and_then(|transform| transform.transform(&probes, &mut found));
    let expected = |n: usize| if layout == Layout::Gray { probes[n / 3] } else { probes[n] };
    converted.is_ok() && found.iter().enumerate().all(|(n, level)| level.abs_diff(expected(n)) <= 1)
}

type Transform<T> = Arc<dyn TransformExecutor<T> + Send + Sync>;

/// The samples of a picture: 8 or 16 bits.
trait Depth: Copy + Default + Send + Sync + 'static {
    fn transform(profile: &ColorProfile, from: Layout, to: Layout) -> Result<Transform<Self>, CmsError>;

    /// Converts some pixels, and reduces them to 8 bits.
    fn convert(
        transform: &(dyn TransformExecutor<Self> + Send + Sync),
        samples: &[Self],
        levels: &mut [u8],
    ) -> Result<(), CmsError>;
}

impl Depth for u8 {
    fn transform(profile: &ColorProfile, from: Layout, to: Layout) -> Result<Transform<u8>, CmsError> {
        profile.create_transform_8bit(from, &ColorProfile::new_srgb(), to, TransformOptions::default())
    }

    fn convert(
        transform: &(dyn TransformExecutor<u8> + Send + Sync),
        samples: &[u8],
        levels: &mut [u8],
    ) -> Result<(), CmsError> {
        transform.transform(samples, levels)
    }
}

impl Depth for u16 {
    fn transform(profile: &ColorProfile, from: Layout, to: Layout) -> Result<Transform<u16>, CmsError> {
        profile.create_transform_16bit(from, &ColorProfile::new_srgb(), to, TransformOptions::default())
    }

    fn convert(
        transform: &(dyn TransformExecutor<u16> + Send + Sync),
        samples: &[u16],
        levels: &mut [u8],
    ) -> Result<(), CmsError> {
        let mut deep = vec![0; levels.len()];
        transform.transform(samples, &mut deep)?;
        for (level, deep) in levels.iter_mut().zip(deep) {
            // As the `image` crate reduces 16 bits.
            *level = ((u32::from(deep) + 128) / 257) as u8;
        }
        Ok(())
    }
}
