//! A palette of 255 colours for some pictures, with ordered dithering: for GIF files and sixel graphics.

use color_quant::NeuQuant;
use image::{Rgb, RgbImage};
use rayon::prelude::*;

/// Colours of a palette, at most. The 256th index is left for transparent pixels.
pub(crate) const MAX_COLOURS: usize = 255;
/// Pixels that the colours are learned from, at most. More take longer and look the same.
const SAMPLES: usize = 40_000;
/// Levels of a channel in the table of nearest colours.
const LEVELS: usize = 32;
/// The largest shift of a channel by dithering: about half the distance between two neighbouring colours of skin.
const REACH: i32 = 8;
/// Bayer's matrix of thresholds, 8 x 8.
const THRESHOLDS: [[i32; 8]; 8] = [
    [0, 32, 8, 40, 2, 34, 10, 42],
    [48, 16, 56, 24, 50, 18, 58, 26],
    [12, 44, 4, 36, 14, 46, 6, 38],
    [60, 28, 52, 20, 62, 30, 54, 22],
    [3, 35, 11, 43, 1, 33, 9, 41],
    [51, 19, 59, 27, 49, 17, 57, 25],
    [15, 47, 7, 39, 13, 45, 5, 37],
    [63, 31, 55, 23, 61, 29, 53, 21],
];

pub(crate) struct Palette {
    colours: Vec<[u8; 3]>,
    /// The index of the nearest colour, by the upper five bits of red, green and blue.
    nearest: Vec<u8>,
    /// The shift by dithering, by row and column.
    dither: [[i16; 8]; 8],
}

impl Palette {
    /// One palette for all the pictures.
    pub(crate) fn of(pictures: &[RgbImage]) -> Self {
        let pixels: usize = pictures.iter().map(|picture| picture.len() / 3).sum();
        // A prime step does not stay within some columns.
        let step = [1, 3, 7, 13, 29, 59, 127, 257].into_iter().find(|step| pixels / step <= SAMPLES).unwrap_or(509);
        let sample: Vec<u8> = pictures
            .iter()
            .flat_map(|picture| picture.pixels().step_by(step))
            .flat_map(|Rgb([red, green, blue])| [*red, *green, *blue, u8::MAX])
            .collect();
        let learned = NeuQuant::new(1, MAX_COLOURS, &sample).color_map_rgb();
        let colours = learned.as_chunks().0.to_vec();
        let nearest = nearest(&colours);
        let dither = THRESHOLDS.map(|row| row.map(|threshold| (((2 * threshold - 63) * REACH) / 63) as i16));
        Self { colours, nearest, dither }
    }

    pub(crate) fn colours(&self) -> &[[u8; 3]] {
        &self.colours
    }

    /// The index of a pixel's colour. It depends on the colour and the position only, so that animations do not flicker.
    #[inline]
    pub(crate) fn index(&self, pixel: [u8; 3], x: usize, y: usize) -> u8 {
        let dither = self.dither[y % 8][x % 8];
        let cell = pixel.into_iter().fold(0, |cell, channel| {
            let level = (i16::from(channel) + dither).clamp(0, 255) as usize * LEVELS / 256;
            cell * LEVELS + level
        });
        self.nearest[cell]
    }
}

/// The index of the colour nearest to the middle of each cell, of [`LEVELS`] cubed cells.
fn nearest(colours: &[[u8; 3]]) -> Vec<u8> {
    let middle = |level: usize| (level * 256 / LEVELS + 128 / LEVELS) as i32;
    let planes: Vec<[i32; 3]> = colours.iter().map(|colour| colour.map(i32::from)).collect();
    let cells = (0..LEVELS * LEVELS * LEVELS).into_par_iter().with_min_len(LEVELS);
    cells
        .map(|cell| {
            let target = [cell / LEVELS / LEVELS, cell / LEVELS % LEVELS, cell % LEVELS].map(middle);
            let distance = |colour: &[i32; 3]| {
                let [red, green, blue] = [0, 1, 2].map(|channel| (colour[channel] - target[channel]).pow(2));
                // Eyes distinguish greens best, blues least.
                3 * red + 4 * green + 2 * blue
            };
            (0..planes.len()).min_by_key(|&index| distance(&planes[index])).unwrap_or(0) as u8
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A smooth gradient of skin colours, from dark to light.
    fn gradient() -> RgbImage {
        RgbImage::from_fn(256, 256, |x, y| {
            let level = (x + y) / 2;
            Rgb([level as u8, (level * 3 / 4) as u8, (level * 3 / 5) as u8])
        })
    }

    #[test]
    fn the_mean_of_dithered_pixels_is_the_colour() {
        let picture = gradient();
        let palette = Palette::of(std::slice::from_ref(&picture));
        assert_eq!(palette.colours().len(), MAX_COLOURS);
        for (left, top) in [(32, 32), (96, 64), (128, 128), (200, 160)] {
            for channel in 0..3 {
                let (mut wanted, mut shown) = (0, 0);
                for (x, y) in (0..256).map(|n| (left + n % 16, top + n / 16)) {
                    let pixel = picture.get_pixel(x, y).0;
                    let colour = palette.colours()[usize::from(palette.index(pixel, x as usize, y as usize))];
                    wanted += i32::from(pixel[channel]);
                    shown += i32::from(colour[channel]);
                }
                assert!((wanted - shown).abs() < 3 * 256, "{left} {top}: {wanted} became {shown}");
            }
        }
    }

    #[test]
    fn pictures_of_few_pixels_have_a_palette() {
        let white = RgbImage::from_pixel(1, 1, Rgb([255; 3]));
        let palette = Palette::of(&[white]);
        let shown = palette.colours()[usize::from(palette.index([255; 3], 0, 0))];
        assert!(shown.iter().all(|&level| level > 240), "{shown:?}");
    }
}
