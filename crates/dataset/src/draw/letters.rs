//! Text of eight by eight pixels a letter.

use font8x8::{BASIC_FONTS, GREEK_FONTS, HIRAGANA_FONTS, LATIN_FONTS, UnicodeFonts};
use image::{Rgb, RgbImage};

/// Pixels across a letter.
pub(super) const WIDTH: u32 = 8;
/// Pixels down a letter.
pub const HEIGHT: u32 = 8;

/// The width of a text in pixels.
#[must_use]
pub fn width_of(text: &str) -> u32 {
    (text.chars().count() as u32).saturating_mul(WIDTH)
}

/// Writes a text whose upper left corner is at `place`. Letters beyond Latin, Greek and Hiragana are boxes.
pub fn text(picture: &mut RgbImage, text: &str, [left, top]: [i64; 2], colour: [u8; 3]) {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    for (index, letter) in text.chars().enumerate() {
        let x = left + index as i64 * i64::from(WIDTH);
        if x >= width {
            break;
        }
        for (row, bits) in glyph(letter).into_iter().enumerate() {
            for column in 0..WIDTH {
                let (x, y) = (x + i64::from(column), top + row as i64);
                if bits >> column & 1 == 1 && (0..width).contains(&x) && (0..height).contains(&y) {
                    picture.put_pixel(x as u32, y as u32, Rgb(colour));
                }
            }
        }
    }
}

/// The rows of a letter. The lowest bit is on the left.
fn glyph(letter: char) -> [u8; 8] {
    let known = BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter));
    let known = known.or_else(|| GREEK_FONTS.get(letter)).or_else(|| HIRAGANA_FONTS.get(letter));
    match letter {
        '…' => [0, 0, 0, 0, 0, 0, 0b0101_0101, 0],
        _ => known.unwrap_or([0, 0x7e, 0x42, 0x42, 0x42, 0x42, 0x7e, 0]),
    }
}
