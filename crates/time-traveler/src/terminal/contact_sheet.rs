//! A contact sheet: panels side by side, shown in the terminal.

use std::io::{self, IsTerminal};

use anyhow::Context;
use image::RgbImage;
use image::imageops;
use rayon::prelude::*;

use super::graphics::Graphics;
use super::size::Size;
use super::support;
use crate::pictures::panels;
use crate::stdout;

/// Panels in a row, at most. More panels are spread evenly over several rows.
const PER_ROW: usize = 8;

/// Shows panels as large as the terminal allows. Without `forced`, a stdout that shows no pictures gets none, and a line on stderr
/// says why.
pub(crate) fn show(panels: &[RgbImage], forced: Option<Graphics>) -> anyhow::Result<()> {
    let graphics = match forced {
        Some(graphics) => graphics,
        None if !io::stdout().is_terminal() => {
            note!("--show: stdout is no terminal; --show=blocks shows pictures all the same");
            return Ok(());
        }
        None => match support::graphics(|name| std::env::var(name).ok()) {
            Ok(graphics) => graphics,
            Err(reason) => {
                note!("--show: {reason}");
                return Ok(());
            }
        },
    };
    let size = Size::of_stdout();
    let mut drawn = Vec::new();
    graphics.draw(&mut drawn, &lay_out(panels, graphics.pixels(size)), size).context("the pictures cannot be drawn")?;
    stdout::write(&drawn)
}

/// The panels on a sheet of at most this width and height in pixels.
fn lay_out(panels: &[RgbImage], (width, height): (u32, u32)) -> RgbImage {
    let rows = panels.len().div_ceil(PER_ROW).max(1);
    let columns = panels.len().div_ceil(rows).max(1);
    let largest = panels.first().map_or(1, RgbImage::width);
    let side = (width / columns as u32).min(height / rows as u32).clamp(1, largest);
    let shrunk: Vec<RgbImage> = panels.par_iter().map(|panel| panels::resized(panel, side)).collect();
    let mut sheet = RgbImage::new(side * columns as u32, side * rows as u32);
    for (number, panel) in shrunk.iter().enumerate() {
        let (row, column) = (number / columns, number % columns);
        imageops::replace(&mut sheet, panel, (column as u32 * side).into(), (row as u32 * side).into());
    }
    sheet
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn panels(count: u8) -> Vec<RgbImage> {
        (0..count).map(|n| RgbImage::from_pixel(64, 64, Rgb([n, 0, 0]))).collect()
    }

    #[test]
    fn panels_lie_side_by_side() {
        let sheet = lay_out(&panels(5), (203, 1000));
        assert_eq!(sheet.dimensions(), (200, 40));
        let middles: Vec<u8> = (0..5).map(|n| sheet.get_pixel(40 * n + 20, 20).0[0]).collect();
        assert_eq!(middles, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_sheet_fits_the_height_and_enlarges_nothing() {
        assert_eq!(lay_out(&panels(2), (1000, 30)).dimensions(), (60, 30));
        assert_eq!(lay_out(&panels(2), (1000, 1000)).dimensions(), (128, 64));
        assert_eq!(lay_out(&panels(17), (4, 4)).dimensions(), (6, 3));
    }

    #[test]
    fn many_panels_lie_in_even_rows() {
        let sheet = lay_out(&panels(17), (240, 1000));
        assert_eq!(sheet.dimensions(), (6 * 40, 3 * 40));
        assert_eq!(sheet.get_pixel(20, 60).0[0], 6);
        assert_eq!(sheet.get_pixel(180, 100).0[0], 16);
    }
}
