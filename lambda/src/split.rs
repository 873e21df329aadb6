//! Splits a strip into panels: the `.npy` is viewed in place, and the panels are encoded in parallel.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::{iter, thread};

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use libjpeg_turbo_rs::{JpegError, PixelFormat, Subsampling};
use ndarray::{ArrayView3, s};
use ndarray_npy::{ViewNpyError, ViewNpyExt};
use pipeline::strip;

use crate::PanelFormat;
use crate::buffers::Buffers;

/// JPEG quality of the panels.
const QUALITY: u8 = 92;

/// A panel as a file.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The panel's place in the strip; 0 is the aligned original.
    pub number: usize,
    /// The file's bytes.
    pub bytes: Vec<u8>,
}

/// Why a strip cannot be split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// The bytes are not a `.npy` of `uint8`.
    #[error("it is not a .npy of uint8 in C order")]
    Npy(#[from] ViewNpyError),
    /// The `.npy` ends within its header.
    #[error("it announces a header of {0} bytes, more than it has")]
    Header(u32),
    /// The `.npy` is in Fortran order.
    #[error("it is a .npy in Fortran order: one in C order would work")]
    Order,
    /// The panels have another number or size than the job's.
    #[error(transparent)]
    Shape(#[from] strip::ShapeError),
    /// The JPEG encoder failed.
    #[error("panel {0} cannot be encoded as a JPEG")]
    Jpeg(usize, #[source] JpegError),
    /// The PNG encoder failed.
    #[error("panel {0} cannot be encoded as a PNG")]
    Png(usize, #[source] image::ImageError),
}

/// Splits strips. It keeps the memory of the pixels of a panel for each core.
#[derive(Debug, Default)]
pub struct Splitter {
    pixels: Buffers,
}

impl Splitter {
    /// Makes the memory ready that the split of a strip of `ages` ages takes.
    pub(crate) fn prepare(&self, ages: usize) {
        self.pixels.prepare(threads(ages), strip::PANEL * strip::PANEL * strip::CHANNELS);
    }

    /// Splits a strip of `ages` ages into `1 + ages` panels, in order, on all cores.
    ///
    /// # Errors
    /// [`SplitError`] where the bytes are not the `.npy` of such a strip.
    pub fn split(&self, npy: &[u8], ages: usize, format: PanelFormat) -> Result<Vec<Encoded>, SplitError> {
        let panels = Mutex::new(Vec::with_capacity(1 + ages));
        let keep = |panel| panels.lock().unwrap_or_else(PoisonError::into_inner).push(panel);
        self.split_each(npy, ages, format, keep)?;
        let mut panels = panels.into_inner().unwrap_or_else(PoisonError::into_inner);
        panels.sort_by_key(|panel: &Encoded| panel.number);
        Ok(panels)
    }

    /// As [`split`](Self::split). `take` gets each panel when it is ready, in any order, and from any thread.
    pub(crate) fn split_each(
        &self,
        npy: &[u8],
        ages: usize,
        format: PanelFormat,
        take: impl Fn(Encoded) + Sync,
    ) -> Result<(), SplitError> {
        encode_all(view(npy, ages)?, ages, format, &self.pixels, take)
    }
}

/// Splits one strip, as [`Splitter::split`] does.
///
/// # Errors
/// [`SplitError`] where the bytes are not the `.npy` of such a strip.
pub fn split(npy: &[u8], ages: usize, format: PanelFormat) -> Result<Vec<Encoded>, SplitError> {
    Splitter::default().split(npy, ages, format)
}

fn encode_all(
    whole: ArrayView3<'_, u8>,
    ages: usize,
    format: PanelFormat,
    buffers: &Buffers,
    take: impl Fn(Encoded) + Sync,
) -> Result<(), SplitError> {
    let next = AtomicUsize::new(0);
    let encode_some = || {
        let mut pixels = buffers.take();
        let mut numbers = iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number <= ages));
        let encoded = numbers.try_for_each(|number| encode(whole, number, format, &mut pixels).map(&take));
        buffers.give_back(pixels);
        encoded
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (1..threads(ages)).map(|_| scope.spawn(encode_some)).collect();
        let encoded = encode_some();
        let others =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        others.fold(encoded, Result::and)
    })
}

/// The threads that encode the panels of a strip of `ages` ages.
fn threads(ages: usize) -> usize {
    // It reads files.
    static CORES: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));
    (*CORES).min(1 + ages)
}

/// The strip, in place: shape `(1024, 1024 * (1 + ages), 3)`.
fn view(npy: &[u8], ages: usize) -> Result<ArrayView3<'_, u8>, SplitError> {
    // Since version 2, four bytes hold the header's length, and `view_npy` would reserve that much memory before it reads the header.
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

/// Encodes a panel. `pixels` is the memory for its pixels.
fn encode(
    whole: ArrayView3<'_, u8>,
    number: usize,
    format: PanelFormat,
    pixels: &mut Vec<u8>,
) -> Result<Encoded, SplitError> {
    let columns = strip::columns(number);
    let panel = whole.slice_move(s![.., columns.start..columns.end, ..]);
    let side = strip::PANEL;
    pixels.clear();
    pixels.reserve_exact(side * side * strip::CHANNELS);
    for row in panel.outer_iter() {
        pixels.extend_from_slice(row.to_slice().expect("a panel's row is contiguous in a strip in C order"));
    }
    let bytes = match format {
        PanelFormat::Jpeg => {
            libjpeg_turbo_rs::compress(pixels, side, side, PixelFormat::Rgb, QUALITY, Subsampling::S420)
                .map_err(|error| SplitError::Jpeg(number, error))?
        }
        PanelFormat::Png => {
            let mut bytes = Vec::with_capacity(pixels.len());
            let side = u32::try_from(side).unwrap_or(u32::MAX);
            PngEncoder::new(&mut bytes)
                .write_image(pixels, side, side, ExtendedColorType::Rgb8)
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
    fn jpeg_panels_resemble_the_strip() {
        let panels = split(&npy(2), 2, PanelFormat::Jpeg).unwrap();
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
        for panel in split(&npy(1), 1, PanelFormat::Png).unwrap() {
            let picture = image::load_from_memory_with_format(&panel.bytes, image::ImageFormat::Png).unwrap().to_rgb8();
            for (x, y, pixel) in picture.enumerate_pixels().step_by(4099) {
                assert_eq!(pixel.0, expected(panel.number, y as usize, x as usize));
            }
        }
    }

    #[test]
    fn a_strip_leaves_no_trace_in_the_next() {
        let splitter = Splitter::default();
        let files = |npy: &[u8], ages: usize| -> Vec<Vec<u8>> {
            let panels = splitter.split(npy, ages, PanelFormat::Jpeg).unwrap();
            panels.into_iter().map(|panel| panel.bytes).collect()
        };
        let first = files(&npy(2), 2);
        assert!(files(&npy(1), 1) == first[..2]);
        let mut other = npy(2);
        other.iter_mut().rev().take(3 << 20).for_each(|byte| *byte ^= 0x55);
        assert!(files(&other, 2) != first);
        assert!(files(&npy(2), 2) == first);
    }

    #[test]
    fn other_bytes_than_the_strip_are_refused() {
        let good = npy(1);
        assert!(matches!(split(&good, 2, PanelFormat::Jpeg), Err(SplitError::Shape(_))));
        for bad in [&b""[..], b"\x93NUMPY", &good[..good.len() - 1], b"hello world, this is not an array"] {
            assert!(matches!(split(bad, 1, PanelFormat::Jpeg), Err(SplitError::Npy(_))));
        }
        let announced = b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}";
        assert!(matches!(split(announced, 1, PanelFormat::Jpeg), Err(SplitError::Header(u32::MAX))));
        let mut columns = Vec::new();
        Array3::<u8>::zeros(strip::shape(1).f()).write_npy(&mut columns).unwrap();
        assert!(matches!(split(&columns, 1, PanelFormat::Jpeg), Err(SplitError::Order)));
        let mut floats = Vec::new();
        Array3::<f32>::zeros((2, 2, 3)).write_npy(&mut floats).unwrap();
        assert!(matches!(split(&floats, 1, PanelFormat::Jpeg), Err(SplitError::Npy(_))));
    }
}
