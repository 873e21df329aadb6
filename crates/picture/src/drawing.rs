//! Drawing on pictures.

use image::{Rgb, RgbImage};

/// Pixels that no picture has.
const FAR: f64 = 1e12;

/// Draws the outline of a box, `[left, top, right, bottom]` in pixels, `thickness` pixels thick around its edges. Parts beyond
/// the picture are not drawn.
pub fn outline(picture: &mut RgbImage, corners: [f64; 4], thickness: u32, colour: [u8; 3]) {
    let [left, top, right, bottom] = corners.map(pixel);
    let (before, after) = (i64::from(thickness / 2), i64::from(thickness - thickness / 2));
    let (outer, inner) = (
        [left - before, top - before, right + after, bottom + after],
        [left + after, top + after, right - before, bottom - before],
    );
    fill(picture, [outer[0], outer[1], outer[2], inner[1].min(outer[3])], colour);
    fill(picture, [outer[0], inner[3].max(outer[1]), outer[2], outer[3]], colour);
    fill(picture, [outer[0], outer[1], inner[0].min(outer[2]), outer[3]], colour);
    fill(picture, [inner[2].max(outer[0]), outer[1], outer[2], outer[3]], colour);
}

/// Draws a square of `side` pixels around a point, `[x, y]` in pixels. Parts beyond the picture are not drawn.
pub fn point(picture: &mut RgbImage, place: [f64; 2], side: u32, colour: [u8; 3]) {
    let [x, y] = place.map(|place| pixel(place) - i64::from(side / 2));
    fill(picture, [x, y, x + i64::from(side), y + i64::from(side)], colour);
}

/// The nearest whole number. Those far beyond any picture are cut, so that sums with them do not overflow.
fn pixel(place: f64) -> i64 {
    place.clamp(-FAR, FAR).round() as i64
}

/// Fills the pixels from the left and the top up to, not including, the right and the bottom.
fn fill(picture: &mut RgbImage, [left, top, right, bottom]: [i64; 4], colour: [u8; 3]) {
    let (width, height) = picture.dimensions();
    let within = |place: i64, size: u32| place.clamp(0, i64::from(size)) as u32;
    for y in within(top, height)..within(bottom, height) {
        for x in within(left, width)..within(right, width) {
            picture.put_pixel(x, y, Rgb(colour));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 3] = [255, 0, 0];

    /// The picture's rows, with `#` where it is red.
    fn drawn(width: u32, height: u32, draw: impl FnOnce(&mut RgbImage)) -> Vec<String> {
        let mut picture = RgbImage::new(width, height);
        draw(&mut picture);
        let letter = |x, y| if picture.get_pixel(x, y).0 == RED { '#' } else { '.' };
        (0..height).map(|y| (0..width).map(|x| letter(x, y)).collect()).collect()
    }

    #[test]
    fn an_outline_is_as_thick_as_asked_for() {
        let thin = drawn(7, 5, |picture| outline(picture, [1.2, 0.9, 5.0, 3.0], 1, RED));
        assert_eq!(thin, [".......", ".#####.", ".#...#.", ".#####.", "......."]);
        let thick = drawn(8, 7, |picture| outline(picture, [2.0, 2.0, 6.0, 5.0], 2, RED));
        assert_eq!(thick, ["........", ".######.", ".######.", ".##..##.", ".######.", ".######.", "........"]);
    }

    #[test]
    fn parts_beyond_the_picture_are_not_drawn() {
        let found = drawn(4, 3, |picture| outline(picture, [-5.0, 1.0, 2.0, 9.0], 1, RED));
        assert_eq!(found, ["....", "###.", "..#."]);
        let none = drawn(4, 3, |picture| outline(picture, [1e300, -1e300, f64::INFINITY, f64::NAN], 3, RED));
        assert_eq!(none.len(), 3);
    }

    #[test]
    fn a_point_is_a_square() {
        assert_eq!(drawn(5, 3, |picture| point(picture, [2.0, 1.0], 3, RED)), [".###.", ".###.", ".###."]);
        assert_eq!(drawn(3, 2, |picture| point(picture, [2.0, 1.0], 1, RED)), ["...", "..#"]);
    }
}
