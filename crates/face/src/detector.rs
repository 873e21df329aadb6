use image::RgbImage;
use rayon::prelude::*;

use crate::filter::{Filter, Hit};
use crate::hog::{CELL, Hog, PLANES};
use crate::packed::Packed;
use crate::serialized::{FLOAT, ModelError, Reader};
use crate::{Rectangle, resize};

/// The largest window of a model, in cells each way.
const MAX_WINDOW: usize = 64;
/// The most windows that may overlap each other: a filter that takes everything finds millions.
const MAX_FOUND: usize = 10_000;

/// A detector of objects by linear filters over histograms of oriented gradients: dlib's
/// `object_detector<scan_fhog_pyramid<pyramid_down<6>>>`, which its frontal face detector is.
#[derive(Debug)]
pub struct Detector {
    filters: Vec<Filter>,
    /// Cells of a window, down and across, and how many of them frame the object.
    window: (usize, usize),
    padding: usize,
    max_levels: usize,
    min_level: (u32, u32),
    overlap: Overlap,
}

/// What was found in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Where, in pixels of the picture; it may reach beyond.
    pub rectangle: Rectangle,
    /// How far beyond the filter's threshold.
    pub score: f64,
    /// Which of the detector's filters, from 0.
    pub filter: usize,
}

/// When two rectangles show the same object.
#[derive(Debug)]
struct Overlap {
    /// Common pixels over the pixels of the rectangle around both.
    of_hull: f64,
    /// Common pixels over the pixels of either.
    of_either: f64,
}

impl Overlap {
    fn tells_same(&self, one: &Rectangle, other: &Rectangle) -> bool {
        let common = one.intersection(other).area() as f64;
        let beyond = |area: u64, limit: f64| common / area as f64 > limit;
        common > 0.0
            && (beyond(one.hull(other).area(), self.of_hull)
                || beyond(one.area(), self.of_either)
                || beyond(other.area(), self.of_either))
    }
}

impl Detector {
    /// From the bytes of a detector that dlib serialized, in C++ or by the `save` of its Python module.
    ///
    /// # Errors
    /// [`ModelError`]: where the bytes stop making sense, and what would.
    pub fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut reader = Reader::new(bytes);
        let version = reader.within("the detector's version", 1..=2)?;
        reader.within("the scanner's version", 1..=1)?;
        // A detector is saved without a picture's features.
        reader.integer("the room for features")?;
        reader.within("the number of features kept", 0..=0)?;
        reader.within("the cell size", CELL as i64..=CELL as i64)?;
        let padding = reader.within("the padding of the window, in cells,", 0..=16)? as usize;
        let most = (MAX_WINDOW * CELL) as i64;
        let width = reader.within("the width of the window", 1..=most)?;
        let height = reader.within("the height of the window", 1..=most)?;
        let max_levels = reader.within("the largest number of pyramid levels", 1..=1000)? as usize;
        let min_width = reader.within("the smallest width of a pyramid level", 1..=i64::from(u32::MAX))? as u32;
        let min_height = reader.within("the smallest height of a pyramid level", 1..=i64::from(u32::MAX))? as u32;
        reader.float("the regularization strength")?;
        let window = (cells(height) + 2 * padding, cells(width) + 2 * padding);
        let dimensions = PLANES * window.0 * window.1;
        reader.within("the number of weights", dimensions as i64..=dimensions as i64)?;

        let filter = |reader: &mut Reader<'_>| -> Result<Filter, ModelError> {
            Ok(Filter::new(&reader.column("the weights of a filter", dimensions + 1)?, window))
        };
        let (overlap, filters) = if version == 1 {
            let only = filter(&mut reader)?;
            (overlap(&mut reader)?, vec![only])
        } else {
            let overlap = overlap(&mut reader)?;
            let count = reader.some("the number of filters", dimensions * FLOAT)?;
            (overlap, (0..count).map(|_| filter(&mut reader)).collect::<Result<_, _>>()?)
        };
        if !reader.at_end() {
            // What Python's `simple_object_detector` adds: how often it enlarged the pictures it was trained on.
            reader.within("the version of the upsampling", 1..=1)?;
            reader.within("the upsampling", 0..=16)?;
            reader.end()?;
        }
        Ok(Self { filters, window, padding, max_levels, min_level: (min_width, min_height), overlap })
    }

    /// Width and height of the narrowest object that is found without enlarging the picture, in pixels.
    pub fn window(&self) -> [u32; 2] {
        [self.window.1, self.window.0].map(|cells| ((cells - 2 * self.padding) * CELL) as u32)
    }

    /// What is found in a picture that is enlarged `upsample` times to twice its size first, with scores of at least
    /// `threshold`: the best first, without those that overlap a better one.
    ///
    /// The same rectangles, scores and order as dlib's, up to rounding of the scores.
    pub fn detect(&self, picture: &RgbImage, upsample: u32, threshold: f64) -> Vec<Detection> {
        let mut enlarged = Packed::from(picture);
        for _ in 0..upsample {
            enlarged = resize::up(&enlarged);
        }
        let mut found = self.scan(enlarged, threshold);
        found.sort_by(|one, other| other.score.total_cmp(&one.score));
        found.truncate(MAX_FOUND);
        let mut kept: Vec<Detection> = Vec::new();
        for detection in found {
            if !kept.iter().any(|better| self.overlap.tells_same(&better.rectangle, &detection.rectangle)) {
                kept.push(detection);
            }
        }
        for detection in &mut kept {
            let shrunk = |value: f64, vertical| {
                (0..upsample).fold(value, |value, _| value / 2.0 - if vertical { 0.75 } else { 1.25 })
            };
            detection.rectangle = detection.rectangle.map(shrunk);
        }
        kept
    }

    /// Every window of every level that reaches its filter's threshold, filter by filter.
    fn scan(&self, picture: Packed, threshold: f64) -> Vec<Detection> {
        let levels = self.levels(&picture);
        let mut found: Vec<Vec<Vec<Detection>>> = Vec::new();
        found.resize_with(levels, Vec::new);
        rayon::scope(|scope| {
            let mut level = picture;
            for (index, found) in found.iter_mut().enumerate() {
                let next = if index + 1 < levels { resize::down(&level) } else { Packed::new(0, 0) };
                let this = std::mem::replace(&mut level, next);
                scope.spawn(move |_| *found = self.scan_level(&this, index, threshold));
            }
        });
        let found = &found;
        let of = |filter: usize| found.iter().filter_map(move |level| level.get(filter)).flatten().copied();
        (0..self.filters.len()).flat_map(of).collect()
    }

    /// What each filter finds in a level.
    fn scan_level(&self, level: &Packed, index: usize, threshold: f64) -> Vec<Vec<Detection>> {
        let Some(hog) = Hog::of(level, self.window) else { return Vec::new() };
        let scanned = self.filters.par_iter().enumerate().map(|(number, filter)| {
            let hits = filter.hits(&hog, filter.threshold + threshold);
            let detection = |hit: &Hit| Detection {
                rectangle: self.place(hit.row, hit.column, index),
                score: f64::from(hit.score) - filter.threshold,
                filter: number,
            };
            hits.iter().map(detection).collect()
        });
        scanned.collect()
    }

    /// How many levels a picture has: until one is too small for the window.
    fn levels(&self, picture: &Packed) -> usize {
        let mut area =
            Rectangle { left: 0, top: 0, right: picture.width as i32 - 1, bottom: picture.height as i32 - 1 };
        let mut levels = 0;
        loop {
            let next = area.map(|value, _| (value - 0.3) * (5.0 / 6.0));
            levels += 1;
            let enough = next.width() >= self.min_level.0 && next.height() >= self.min_level.1;
            // Rounding keeps the smallest areas as they are.
            if !enough || levels >= self.max_levels || next == area {
                return levels;
            }
            area = next;
        }
    }

    /// The pixels of the picture that a window around a place among a level's features shows.
    fn place(&self, row: usize, column: usize, level: usize) -> Rectangle {
        let box_size = |window: usize| (window - 2 * self.padding) as i32;
        let (height, width) = (box_size(self.window.0), box_size(self.window.1));
        let (left, top) = (column as i32 - width / 2, row as i32 - height / 2);
        let cells = Rectangle { left, top, right: left + width - 1, bottom: top + height - 1 };
        // From features to pixels: past the border and the ring of cells without features, to the cell's middle.
        let border = [(self.window.1 - 1) / 2, (self.window.0 - 1) / 2].map(|border| border as i32);
        let cell = CELL as i32;
        let middle = |value: i32, border: i32| {
            let corner = (value + 1 - border) * cell + 1;
            if corner >= 0 { corner + cell / 2 } else { corner - cell / 2 }
        };
        let pixels = Rectangle {
            left: middle(cells.left, border[0]),
            top: middle(cells.top, border[1]),
            right: middle(cells.right, border[0]),
            bottom: middle(cells.bottom, border[1]),
        };
        pixels.map(|value, _| (0..level).fold(value, |value, _| value * (6.0 / 5.0) + 0.3))
    }
}

/// The cells across a window of so many pixels: dlib counts them from a window around the origin.
fn cells(pixels: i64) -> usize {
    let first = -pixels / 2;
    let last = first + pixels - 1;
    let cell = CELL as i64;
    ((last - 1) / cell - (first - 1) / cell + 1) as usize
}

fn overlap(reader: &mut Reader<'_>) -> Result<Overlap, ModelError> {
    let of_hull = reader.share("the overlap of two rectangles that tells them the same")?;
    let of_either = reader.share("the covered part that tells two rectangles the same")?;
    Ok(Overlap { of_hull, of_either })
}
