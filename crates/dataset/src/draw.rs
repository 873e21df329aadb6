//! Annotated pictures drawn on contact sheets.

mod letters;
mod tags;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use picture::drawing;

use crate::annotations::Sample;
use crate::{ClassId, Classes};

pub use letters::{HEIGHT, text, width_of};
pub use tags::Tags;

/// Pixels between panels.
const GAP: u32 = 6;
const PAPER: Rgb<u8> = Rgb([245, 245, 245]);
const INK: [u8; 3] = [30, 30, 30];
/// The most pixels of a side of a sheet.
const MAX_SIDE: u32 = 16_000;

/// Colours of classes that are told apart well; they repeat after twelve.
const COLOURS: [[u8; 3]; 12] = [
    [230, 25, 75],
    [60, 180, 75],
    [0, 110, 230],
    [245, 130, 48],
    [145, 30, 180],
    [0, 160, 160],
    [240, 50, 230],
    [120, 170, 0],
    [170, 110, 40],
    [128, 0, 0],
    [60, 60, 190],
    [100, 100, 100],
];

/// The colour of a class.
#[must_use]
pub fn colour(class: ClassId) -> [u8; 3] {
    COLOURS[class.0 as usize % COLOURS.len()]
}

/// The picture, not larger than `side` on either side, with its boxes and names. Pictures smaller than half of that are enlarged by
/// a whole number.
#[must_use]
pub fn panel(picture: &RgbImage, sample: &Sample, classes: &Classes, side: u32) -> RgbImage {
    let longest = picture.width().max(picture.height()).max(1);
    let scale = if longest > side { f64::from(side) / f64::from(longest) } else { f64::from(side / longest) };
    let sized = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let filter = if scale > 1.0 { FilterType::Nearest } else { FilterType::Triangle };
    let mut drawn = imageops::resize(picture, sized(picture.width()), sized(picture.height()), filter);
    // A data set may give another size than the file has.
    let given = sample.size.map_or(picture.dimensions(), |size| (size.width, size.height));
    let across = f64::from(drawn.width()) / f64::from(given.0);
    let down = f64::from(drawn.height()) / f64::from(given.1);
    let thickness = (side / 160).max(1);
    for object in &sample.objects {
        let [left, top, right, bottom] = object.bounds.corners();
        let corners = [left * across, top * down, right * across, bottom * down];
        drawing::outline(&mut drawn, corners, thickness, colour(object.class));
    }
    // Names come last, so that no line crosses them.
    let mut tags = Tags::default();
    for object in &sample.objects {
        let mut name = classes.shown(object.class).into_owned();
        if let Some(confidence) = object.confidence {
            name.push_str(&format!(" {confidence:.2}"));
        }
        if object.flags.is_crowd {
            name.push_str(" (crowd)");
        }
        let [left, top, ..] = object.bounds.corners();
        let place = [(left * across) as i64, ((top * down) as i64).saturating_sub(i64::from(HEIGHT) + 1)];
        tags.draw(&mut drawn, &name, place, colour(object.class));
    }
    for (index, label) in sample.labels.iter().enumerate() {
        let y = i64::from(drawn.height()) - (index as i64 + 1) * i64::from(HEIGHT + 2);
        tags.draw(&mut drawn, &classes.shown(label.class), [0, y], colour(label.class));
    }
    drawn
}

/// How many columns and rows of panels a sheet has at most, of those that are asked for: no side has more than 16,000 pixels.
#[must_use]
pub fn fitting(columns: u32, rows: u32, side: u32) -> [u32; 2] {
    let of = |length: u32| (MAX_SIDE / length).max(1);
    [columns.clamp(1, of(side + GAP)), rows.clamp(1, of(side + HEIGHT + 2 * GAP))]
}

/// Panels in rows of `columns`, each with a caption below. Those that do not [fit](fitting) are left out.
#[must_use]
pub fn sheet(panels: &[(RgbImage, String)], columns: u32, side: u32) -> RgbImage {
    let count = (panels.len() as u32).max(1);
    let [columns, _] = fitting(columns.min(count), 1, side);
    let [_, rows] = fitting(1, count.div_ceil(columns), side);
    let (cell, line) = (side + GAP, HEIGHT + GAP);
    let mut sheet = RgbImage::from_pixel(columns * cell + GAP, rows * (cell + line) + GAP, PAPER);
    for (index, (panel, caption)) in (0..columns * rows).zip(panels) {
        let x = GAP + index % columns * cell;
        let y = GAP + index / columns * (cell + line);
        let centred = |room: u32, length: u32| i64::from(room.saturating_sub(length) / 2);
        let place = [i64::from(x) + centred(side, panel.width()), i64::from(y) + centred(side, panel.height())];
        imageops::overlay(&mut sheet, panel, place[0], place[1]);
        let most = (side / letters::WIDTH) as usize;
        let count = caption.chars().count();
        let shown = match count > most {
            // The end of a name tells pictures apart.
            true => format!("…{}", caption.chars().skip(count + 1 - most).collect::<String>()),
            false => caption.clone(),
        };
        text(&mut sheet, &shown, [i64::from(x), i64::from(y + side + GAP / 2)], INK);
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotations::{Object, Rectangle, Size};

    #[test]
    fn boxes_are_drawn_where_they_are_in_the_panel() {
        let mut classes = Classes::default();
        let class = classes.of_name("cat");
        let mut sample = Sample::at("a.jpg");
        sample.size = Some(Size { width: 400, height: 200, depth: 3 });
        sample.objects.push(Object::new(class, Rectangle::between([200.0, 80.0, 360.0, 180.0])));
        let drawn = panel(&RgbImage::new(400, 200), &sample, &classes, 200);
        assert_eq!(drawn.dimensions(), (200, 100));
        let is_red = |x, y| drawn.get_pixel(x, y).0 == colour(class);
        assert!(is_red(100, 60) && is_red(140, 90) && is_red(180, 70) && !is_red(140, 65) && !is_red(90, 60));
        // The name is above the box, in white.
        assert!((100..140).any(|x| (30..40).any(|y| drawn.get_pixel(x, y).0 == [255; 3])));
    }

    #[test]
    fn a_sheet_has_room_for_all_panels() {
        let panels: Vec<_> = (0..5).map(|n| (RgbImage::new(20, 10), format!("{n}"))).collect();
        let sheet = sheet(&panels, 3, 20);
        assert_eq!(sheet.dimensions(), (3 * 26 + 6, 2 * (26 + HEIGHT + GAP) + 6));
        assert_eq!([fitting(4, 100, 256), fitting(100, 1, 2048)], [[4, MAX_SIDE / (256 + HEIGHT + 2 * GAP)], [7, 1]]);
        let few = super::sheet(&panels[..1], 8, 4096);
        assert!(few.width() < 2 * 4096);
        assert!(super::sheet(&[], 3, 20).width() > 0);
    }

    #[test]
    fn hostile_boxes_do_not_panic() {
        let mut classes = Classes::default();
        let class = classes.of_name(&"x".repeat(1000));
        let mut sample = Sample::at("a.jpg");
        for corners in [[f64::NAN; 4], [-1e300, f64::INFINITY, 1e300, 0.0], [5.0, 5.0, 1.0, 1.0]] {
            sample.objects.push(Object::new(class, Rectangle::between(corners)));
        }
        assert_eq!(panel(&RgbImage::new(3, 1), &sample, &classes, 7).dimensions(), (6, 2));
    }
}
