//! A strip becomes panels: the `.npy` is viewed in place, and the panels are encoded in parallel.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{iter, thread};

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use libjpeg_turbo_rs::{JpegError, PixelFormat, Subsampling};
use ndarray::{ArrayView3, s};
use ndarray_npy::{ViewNpyError, ViewNpyExt};
use pipeline::strip;

use crate::ImageFormat;
use crate::error::HandlerError;

/// JPEG quality of the panels.
const QUALITY: u8 = 92;

/// A panel as it is stored.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// 0: the aligned original; then each age.
    pub number: usize,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Why a strip cannot be split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Not a `.npy` of `uint8` in C order.
    #[error("it is no .npy of uint8 in C order")]
    Npy(#[from] ViewNpyError),
    /// A `.npy` that is shorter than its header.
    #[error("it announces a header of {0} bytes, more than there are")]
    Header(u32),
    /// A `.npy` in Fortran's order.
    #[error("it is a .npy in Fortran order: one in C order would work")]
    Order,
    /// Another number of panels than the job has, or of another size.
    #[error(transparent)]
    Shape(#[from] strip::ShapeError),
    /// The JPEG encoder failed.
    #[error("panel {0} cannot be encoded as a JPEG")]
    Jpeg(usize, #[source] JpegError),
    /// The PNG encoder failed.
    #[error("panel {0} cannot be encoded as a PNG")]
    Png(usize, #[source] image::ImageError),
}

/// Splits a strip of so many ages, on all cores: one panel more than ages, in order.
///
/// # Errors
/// [`SplitError`] where the bytes are not the `.npy` of such a strip.
pub fn split(npy: &[u8], ages: usize, format: ImageFormat) -> Result<Vec<Encoded>, SplitError> {
    view(npy, ages)?;
    let next = AtomicUsize::new(0);
    let encode_some = || {
        let numbers = iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number <= ages));
        numbers.map(|number| encode(npy, ages, number, format)).collect::<Result<Vec<_>, _>>()
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut panels = thread::scope(|scope| -> Result<Vec<Encoded>, SplitError> {
        let threads: Vec<_> = (1..cores.min(1 + ages)).map(|_| scope.spawn(encode_some)).collect();
        let mut panels = encode_some()?;
        for thread in threads {
            panels.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(panels)
    })?;
    panels.sort_by_key(|panel| panel.number);
    Ok(panels)
}

/// Collects a body whose length is known into memory reserved once.
pub(crate) async fn receive(object: GetObjectOutput) -> Result<Vec<u8>, HandlerError> {
    let length = object.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(length);
    let mut body = object.body;
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(HandlerError::aws("s3:GetObject of the strip"))?);
    }
    Ok(bytes)
}

/// The strip where it lies: shape `(1024, 1024 * (1 + ages), 3)`.
fn view(npy: &[u8], ages: usize) -> Result<ArrayView3<'_, u8>, SplitError> {
    // From version 2 on, four bytes tell the header's length, and room is made for it before it is looked for.
    if let [0x93, b'N', b'U', b'M', b'P', b'Y', 2..=255, _, a, b, c, d, rest @ ..] = npy {
        let header = u32::from_le_bytes([*a, *b, *c, *d]);
        if usize::try_from(header).is_ok_and(|header| header > rest.len()) {
            return Err(SplitError::Header(header));
        }
    }
    let array = ArrayView3::<u8>::view_npy(npy)?;
    strip::check_shape(array.shape(), ages)?;
    if array.is_standard_layout() { Ok(array) } else { Err(SplitError::Order) }
}

fn encode(npy: &[u8], ages: usize, number: usize, format: ImageFormat) -> Result<Encoded, SplitError> {
    let columns = strip::columns(number);
    let panel = view(npy, ages)?.slice_move(s![.., columns.start..columns.end, ..]);
    let side = strip::PANEL;
    let mut pixels = Vec::with_capacity(side * side * strip::CHANNELS);
    for row in panel.outer_iter() {
        pixels.extend_from_slice(row.to_slice().expect("a row of a strip in C order lies in one piece"));
    }
    let bytes = match format {
        ImageFormat::Jpeg => {
            libjpeg_turbo_rs::compress(&pixels, side, side, PixelFormat::Rgb, QUALITY, Subsampling::S420)
                .map_err(|error| SplitError::Jpeg(number, error))?
        }
        ImageFormat::Png => {
            let mut bytes = Vec::with_capacity(pixels.len());
            let side = u32::try_from(side).unwrap_or(u32::MAX);
            PngEncoder::new(&mut bytes)
                .write_image(&pixels, side, side, ExtendedColorType::Rgb8)
                .map_err(|error| SplitError::Png(number, error))?;
            bytes
        }
    };
    Ok(Encoded { number, bytes })
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, ShapeBuilder};
    use ndarray_npy::WriteNpyExt;

    use super::*;

    /// Panel `n` is a gradient tinted by `n`.
    fn npy(ages: usize) -> Vec<u8> {
        let (rows, columns, channels) = strip::shape(ages);
        let array = Array3::from_shape_fn((rows, columns, channels), |(row, column, channel)| {
            let panel = column / strip::PANEL;
            let value = if channel == 0 { row / 4 } else { panel * 60 + (column % strip::PANEL) / 32 };
            u8::try_from(value).unwrap()
        });
        let mut bytes = Vec::new();
        array.write_npy(&mut bytes).unwrap();
        bytes
    }

    fn expected(number: usize, row: usize, column: usize) -> [u8; 3] {
        let tint = u8::try_from(number * 60 + column / 32).unwrap();
        [u8::try_from(row / 4).unwrap(), tint, tint]
    }

    #[test]
    fn jpeg_panels_are_the_pictures_of_the_strip() {
        let panels = split(&npy(2), 2, ImageFormat::Jpeg).unwrap();
        assert_eq!(panels.iter().map(|panel| panel.number).collect::<Vec<_>>(), [0, 1, 2]);
        for panel in panels {
            let picture =
                image::load_from_memory_with_format(&panel.bytes, image::ImageFormat::Jpeg).unwrap().to_rgb8();
            assert_eq!(picture.dimensions(), (1024, 1024));
            for (x, y) in [(5, 5), (512, 100), (1000, 1020)] {
                let wanted = expected(panel.number, y as usize, x as usize);
                let found = picture.get_pixel(x, y).0;
                let far = found.iter().zip(wanted).any(|(a, b)| a.abs_diff(b) > 6);
                assert!(!far, "panel {}: {found:?} is not {wanted:?}", panel.number);
            }
        }
    }

    #[test]
    fn png_panels_are_exact() {
        for panel in split(&npy(1), 1, ImageFormat::Png).unwrap() {
            let picture = image::load_from_memory_with_format(&panel.bytes, image::ImageFormat::Png).unwrap().to_rgb8();
            for (x, y, pixel) in picture.enumerate_pixels().step_by(4099) {
                assert_eq!(pixel.0, expected(panel.number, y as usize, x as usize));
            }
        }
    }

    #[test]
    fn what_is_no_strip_is_refused() {
        let good = npy(1);
        assert!(matches!(split(&good, 2, ImageFormat::Jpeg), Err(SplitError::Shape(_))));
        for bad in [&b""[..], b"\x93NUMPY", &good[..good.len() - 1], b"hello world, this is not an array"] {
            assert!(matches!(split(bad, 1, ImageFormat::Jpeg), Err(SplitError::Npy(_))));
        }
        let announced = b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}";
        assert!(matches!(split(announced, 1, ImageFormat::Jpeg), Err(SplitError::Header(u32::MAX))));
        let mut columns = Vec::new();
        Array3::<u8>::zeros(strip::shape(1).f()).write_npy(&mut columns).unwrap();
        assert!(matches!(split(&columns, 1, ImageFormat::Jpeg), Err(SplitError::Order)));
        let mut floats = Vec::new();
        Array3::<f32>::zeros((2, 2, 3)).write_npy(&mut floats).unwrap();
        assert!(matches!(split(&floats, 1, ImageFormat::Jpeg), Err(SplitError::Npy(_))));
    }
}
