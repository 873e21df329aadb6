//! Splits a strip into panels, which are encoded in parallel.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::{iter, thread};

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use libjpeg_turbo_rs::{JpegError, PixelFormat, Subsampling};
use pipeline::strip;

use crate::PanelFormat;
use crate::answer::AnswerError;
use crate::buffers::Buffers;
use crate::strip_reader::{self, Panels, StripReader};

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
    /// The bytes are not the `.npy` of the job's strip.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The JPEG encoder failed.
    #[error("panel {0} cannot be encoded as a JPEG")]
    Jpeg(usize, #[source] JpegError),
    /// The PNG encoder failed.
    #[error("panel {0} cannot be encoded as a PNG")]
    Png(usize, #[source] image::ImageError),
}

/// Splits strips. It keeps the memory of their pixels.
#[derive(Debug, Default)]
pub struct Splitter {
    pixels: Buffers,
}

impl Splitter {
    /// Whether the memory is ready that a strip of `ages` ages takes.
    pub(crate) fn is_prepared(&self, ages: usize) -> bool {
        self.pixels.ready(strip_reader::PANEL * (1 + ages)) > 0
    }

    /// Makes the memory ready that a strip of `ages` ages takes.
    pub(crate) fn prepare(&self, ages: usize) {
        self.pixels.prepare(1, strip_reader::PANEL * (1 + ages));
    }

    /// A reader of a strip of `ages` ages.
    pub(crate) fn reader(&self, ages: usize) -> StripReader {
        StripReader::new(self.pixels.take(), ages)
    }

    /// Keeps the memory of pixels that are not needed any more.
    pub(crate) fn keep(&self, memory: Vec<u8>) {
        self.pixels.give_back(memory);
    }

    /// Splits a strip of `ages` ages into `1 + ages` panels, in order, on all cores. The strip is a `.npy` of any version and
    /// order.
    ///
    /// # Errors
    /// [`SplitError`] where the bytes are not the `.npy` of such a strip.
    pub fn split(&self, npy: &[u8], ages: usize, format: PanelFormat) -> Result<Vec<Encoded>, SplitError> {
        let mut reader = self.reader(ages);
        reader.add(npy);
        let read = reader.finish();
        let strip = read.map_err(|(error, memory)| {
            self.keep(memory);
            error
        })?;
        let encoded = Mutex::new(Vec::with_capacity(1 + ages));
        let all = encode_all(&strip.panels, format, |panel| {
            encoded.lock().unwrap_or_else(PoisonError::into_inner).push(panel);
        });
        self.keep(strip.panels.into_memory());
        all?;
        let mut encoded = encoded.into_inner().unwrap_or_else(PoisonError::into_inner);
        encoded.sort_by_key(|panel: &Encoded| panel.number);
        Ok(encoded)
    }
}

/// Splits one strip, as [`Splitter::split`] does.
///
/// # Errors
/// [`SplitError`] where the bytes are not the `.npy` of such a strip.
pub fn split(npy: &[u8], ages: usize, format: PanelFormat) -> Result<Vec<Encoded>, SplitError> {
    Splitter::default().split(npy, ages, format)
}

/// Encodes panels on all cores. `take` gets each when it is ready, in any order, and from any thread.
pub(crate) fn encode_all(
    panels: &Panels,
    format: PanelFormat,
    take: impl Fn(Encoded) + Sync,
) -> Result<(), SplitError> {
    let next = AtomicUsize::new(0);
    let encode_some = || {
        let next = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < panels.count());
        iter::from_fn(next).try_for_each(|number| encode(panels.panel(number), number, format).map(&take))
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (1..threads(panels.count())).map(|_| scope.spawn(encode_some)).collect();
        let encoded = encode_some();
        let others =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        others.fold(encoded, Result::and)
    })
}

/// The threads that encode this many panels.
fn threads(panels: usize) -> usize {
    // It reads files.
    static CORES: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));
    (*CORES).min(panels)
}

/// Encodes the pixels of a panel.
fn encode(pixels: &[u8], number: usize, format: PanelFormat) -> Result<Encoded, SplitError> {
    let side = strip::PANEL;
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
        let refused = |npy: &[u8], ages| match split(npy, ages, PanelFormat::Jpeg) {
            Err(SplitError::Answer(error)) => error,
            other => panic!("{other:?}"),
        };
        assert!(matches!(refused(&good, 2), AnswerError::Shape(_)));
        assert!(matches!(refused(b"hello world, this is not an array", 1), AnswerError::Kind(_)));
        assert!(matches!(refused(&good[..good.len() - 1], 1), AnswerError::Length { difference: 1, less: true }));
    }

    #[test]
    fn a_strip_in_fortran_order_has_the_same_panels() {
        let array = Array3::from_shape_fn(strip::shape(1), |(row, column, _)| (row / 4 + column / 32) as u8);
        let mut fortran = Array3::zeros(strip::shape(1).f());
        fortran.assign(&array);
        let files = [array, fortran].map(|array| {
            let mut npy = Vec::new();
            array.write_npy(&mut npy).unwrap();
            split(&npy, 1, PanelFormat::Png).unwrap().into_iter().map(|panel| panel.bytes).collect::<Vec<_>>()
        });
        assert!(files[0] == files[1]);
    }
}
