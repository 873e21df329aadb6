//! Names on a picture, none over another.

use image::{Rgb, RgbImage};

use super::letters::{HEIGHT, text, width_of};

/// The names that a picture has so far. One that would lie over another moves up to the next free place, away
/// from its box, or down where there is none.
#[derive(Debug, Clone, Default)]
pub struct Tags {
    /// `[left, top, right, bottom]` in pixels.
    taken: Vec<[i64; 4]>,
}

impl Tags {
    /// Draws a name in white on its class's colour. Its upper left corner is at `place`, or as near to it as the picture and the other names
    /// allow. Where the whole height is taken, it lies over others.
    pub fn draw(&mut self, picture: &mut RgbImage, name: &str, place: [i64; 2], paint: [u8; 3]) {
        let size = [i64::from(width_of(name)) + 2, i64::from(HEIGHT) + 2];
        let sides = [i64::from(picture.width()), i64::from(picture.height())];
        let within = |axis: usize| place[axis].min(sides[axis] - size[axis]).max(0);
        let (x, y) = (within(0), within(1));
        let at = |y: i64| [x, y, x + size[0], y + size[1]];
        let above = (0..=y).rev().map(at).find(|free| self.is_free(*free));
        let below = || (y + 1..=sides[1] - size[1]).map(at).find(|free| self.is_free(*free));
        let [left, top, right, bottom] = above.or_else(below).unwrap_or(at(y));
        for row in top..bottom.min(sides[1]) {
            for column in left..right.min(sides[0]) {
                picture.put_pixel(column as u32, row as u32, Rgb(paint));
            }
        }
        text(picture, name, [left + 1, top + 1], [255; 3]);
        self.taken.push([left, top, right, bottom]);
    }

    fn is_free(&self, [left, top, right, bottom]: [i64; 4]) -> bool {
        self.taken.iter().all(|taken| taken[2] <= left || right <= taken[0] || taken[3] <= top || bottom <= taken[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 3] = [200, 0, 0];
    const BLUE: [u8; 3] = [0, 0, 200];

    /// The rows that have pixels of a colour, from the first to the last.
    fn rows(picture: &RgbImage, paint: [u8; 3]) -> [u32; 2] {
        let mut rows = picture.enumerate_pixels().filter(|(.., pixel)| pixel.0 == paint).map(|(_, y, _)| y);
        let first = rows.next().unwrap();
        [first, rows.last().unwrap_or(first)]
    }

    #[test]
    fn names_of_one_box_lie_above_each_other_and_below_where_no_room_is() {
        let mut picture = RgbImage::new(120, 60);
        let mut tags = Tags::default();
        tags.draw(&mut picture, "circle", [10, 5], RED);
        tags.draw(&mut picture, "square", [12, 6], BLUE);
        let (red, blue) = (rows(&picture, RED), rows(&picture, BLUE));
        assert_eq!((red, blue), ([5, 6 + HEIGHT], [7 + HEIGHT, 8 + 2 * HEIGHT]));

        let mut picture = RgbImage::new(120, 60);
        let mut tags = Tags::default();
        tags.draw(&mut picture, "circle", [10, 30], RED);
        tags.draw(&mut picture, "square", [12, 31], BLUE);
        let (red, blue) = (rows(&picture, RED), rows(&picture, BLUE));
        assert_eq!((red, blue), ([30, 31 + HEIGHT], [28 - HEIGHT, 29]));
    }

    #[test]
    fn names_stay_on_the_picture() {
        let mut picture = RgbImage::new(120, 40);
        let mut tags = Tags::default();
        tags.draw(&mut picture, "circle", [10, 90], RED);
        tags.draw(&mut picture, "square", [10, 90], BLUE);
        assert_eq!(rows(&picture, RED)[1], 39);
        assert_eq!(rows(&picture, BLUE)[1] + 1, rows(&picture, RED)[0]);
        // Where there is no room, every name is drawn all the same.
        let mut narrow = RgbImage::new(120, 8);
        (0..3).for_each(|_| tags.draw(&mut narrow, "ring", [0, 0], BLUE));
        assert!(narrow.pixels().any(|pixel| pixel.0 == BLUE));
    }
}
