//! The panels of a strip: the aligned original, then one for each age.

use std::path::PathBuf;

use aging::PANEL;
use anyhow::Context;
use image::DynamicImage;
use image::imageops::FilterType;
use picture::RgbImage;
use rayon::prelude::*;

use crate::escape::Shown;

/// Reads downloaded panels: JPEG or PNG files.
pub(crate) fn read(files: &[PathBuf]) -> anyhow::Result<Vec<RgbImage>> {
    let read = |file: &PathBuf| {
        let bytes = std::fs::read(file).with_context(|| format!("the panel {} cannot be read", file.shown()))?;
        picture::decode(&bytes).with_context(|| format!("the panel {}", file.shown()))
    };
    files.par_iter().map(read).collect()
}

/// Decodes downloaded panels: the names and bytes of JPEG, PNG or WebP files.
pub(crate) fn decode(files: &[(String, Vec<u8>)]) -> anyhow::Result<Vec<RgbImage>> {
    let decode =
        |(name, bytes): &(String, Vec<u8>)| picture::decode(bytes).with_context(|| format!("the panel {name}"));
    files.par_iter().map(decode).collect()
}

/// A panel resized to `side` x `side` pixels.
pub(crate) fn resized(panel: &RgbImage, side: u32) -> RgbImage {
    // `imageops::resize` is generic: it would be compiled in this crate, which debug builds do not optimize.
    DynamicImage::from(panel.clone()).resize_exact(side, side, FilterType::Triangle).into_rgb8()
}

/// Cuts a strip into its panels. `pixels` have the shape (1024, 1024 · count, 3).
pub(crate) fn of_strip(pixels: &[u8], count: usize) -> Vec<RgbImage> {
    let row = 3 * PANEL as usize;
    let panel = |number: usize| {
        let rows = pixels.chunks_exact(row * count).flat_map(|rows| &rows[row * number..][..row]);
        RgbImage::from_raw(PANEL, PANEL, rows.copied().collect())
    };
    (0..count).filter_map(panel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_is_cut_where_its_panels_meet() {
        let side = PANEL as usize;
        let pixels: Vec<u8> = (0..side * 2 * side * 3).map(|at| (at / 3 / side % 2) as u8).collect();
        let panels = of_strip(&pixels, 2);
        assert_eq!(panels.len(), 2);
        for (number, panel) in panels.iter().enumerate() {
            assert!(panel.iter().all(|&level| usize::from(level) == number));
        }
    }
}
