//! A strip becomes panels: the `.npy` is viewed in place, and the panels are encoded in parallel.

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use futures::future::try_join_all;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use jpeg_encoder::{Encoder, JpegColorType, SamplingFactor, rgb_to_ycbcr};
use ndarray::{ArrayView3, s};
use ndarray_npy::{ViewNpyError, ViewNpyExt};
use pipeline::strip;
use std::sync::Arc;

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
    /// Another number of panels than the job has, or of another size.
    #[error(transparent)]
    Shape(#[from] strip::ShapeError),
    /// The JPEG encoder failed.
    #[error("panel {0} cannot be encoded as a JPEG")]
    Jpeg(usize, #[source] jpeg_encoder::EncodingError),
    /// The PNG encoder failed.
    #[error("panel {0} cannot be encoded as a PNG")]
    Png(usize, #[source] image::ImageError),
}

/// Splits a strip of so many ages: one panel more than ages, in order.
///
/// # Errors
/// [`SplitError`] where the bytes are not the `.npy` of such a strip.
pub fn split(npy: &[u8], ages: usize, format: ImageFormat) -> Result<Vec<Encoded>, SplitError> {
    view(npy, ages)?;
    (0..=ages).map(|number| encode(npy, ages, number, format)).collect()
}

/// Splits a strip, every panel on a thread of its own.
pub(crate) async fn split_in_parallel(
    npy: Vec<u8>,
    ages: usize,
    format: ImageFormat,
) -> Result<Result<Vec<Encoded>, SplitError>, HandlerError> {
    if let Err(error) = view(&npy, ages) {
        return Ok(Err(error));
    }
    let npy = Arc::new(npy);
    let panel = |number| {
        let npy = Arc::clone(&npy);
        tokio::task::spawn_blocking(move || encode(&npy, ages, number, format))
    };
    Ok(try_join_all((0..=ages).map(panel)).await?.into_iter().collect())
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
    let array = ArrayView3::<u8>::view_npy(npy)?;
    strip::check_shape(array.shape(), ages)?;
    Ok(array)
}

fn encode(npy: &[u8], ages: usize, number: usize, format: ImageFormat) -> Result<Encoded, SplitError> {
    let columns = strip::columns(number);
    let panel = view(npy, ages)?.slice_move(s![.., columns.start..columns.end, ..]);
    let mut bytes = Vec::with_capacity(512 << 10);
    match format {
        ImageFormat::Jpeg => {
            let mut encoder = Encoder::new(&mut bytes, QUALITY);
            encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
            encoder.encode_image(Panel(panel)).map_err(|error| SplitError::Jpeg(number, error))?;
        }
        ImageFormat::Png => {
            let pixels: Vec<u8> = panel.iter().copied().collect();
            let side = u32::try_from(strip::PANEL).unwrap_or(u32::MAX);
            PngEncoder::new(&mut bytes)
                .write_image(&pixels, side, side, ExtendedColorType::Rgb8)
                .map_err(|error| SplitError::Png(number, error))?;
        }
    }
    Ok(Encoded { number, bytes })
}

/// Rows of a panel inside a strip, as the JPEG encoder asks for them.
struct Panel<'a>(ArrayView3<'a, u8>);

impl jpeg_encoder::ImageBuffer for Panel<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        u16::try_from(self.0.shape()[1]).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        u16::try_from(self.0.shape()[0]).unwrap_or(u16::MAX)
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let row = self.0.slice(s![usize::from(y), .., ..]);
        // A row of a strip in C order lies in one piece.
        let Some(row) = row.to_slice() else { return };
        let [luma, blue, red, _] = buffers;
        for pixel in row.chunks_exact(strip::CHANNELS) {
            let (y, cb, cr) = rgb_to_ycbcr(pixel[0], pixel[1], pixel[2]);
            luma.push(y);
            blue.push(cb);
            red.push(cr);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;
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
        let mut floats = Vec::new();
        Array3::<f32>::zeros((2, 2, 3)).write_npy(&mut floats).unwrap();
        assert!(matches!(split(&floats, 1, ImageFormat::Jpeg), Err(SplitError::Npy(_))));
    }
}
