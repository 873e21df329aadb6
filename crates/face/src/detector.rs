use image::RgbImage;
use rayon::prelude::*;

use crate::dlib_reader::{FLOAT, Reader};
use crate::filter::{Filter, Hit};
use crate::hog::{CELL, Hog, PLANES};
use crate::packed::Packed;
use crate::{FaceModelFormatError, Rectangle, resize};

/// The largest width and height of a model's window, in cells.
const MAX_WINDOW: usize = 64;
/// The most hits that enter non-maximum suppression. A filter that accepts every window has millions.
const MAX_FOUND: usize = 10_000;

/// Detects objects with linear filters over histograms of oriented gradients.
///
/// This is dlib's `object_detector<scan_fhog_pyramid<pyramid_down<6>>>`, the type of its frontal face detector.
#[derive(Debug)]
pub struct Detector {
    filters: Vec<Filter>,
    /// Cells of a window, down and across.
    window: (usize, usize),
    /// Cells of the window on each side of the object.
    padding: usize,
    max_levels: usize,
    min_level: (u32, u32),
    overlap: Overlap,
}

/// An object that was found in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Its box, in pixels of the picture. The box may reach beyond the picture.
    pub rectangle: Rectangle,
    /// The filter's response minus the filter's threshold.
    pub score: f64,
    /// The number of the filter that found it, from 0.
    pub filter: usize,
}

/// The limits of non-maximum suppression: above either, two rectangles show the same object.
#[derive(Debug)]
struct Overlap {
    /// Common pixels, as a part of the smallest rectangle around both.
    of_hull: f64,
    /// Common pixels, as a part of either rectangle.
    of_either: f64,
}

impl Overlap {
    fn is_same_object(&self, one: &Rectangle, other: &Rectangle) -> bool {
        let common = one.intersection(other).area() as f64;
        let beyond = |area: u64, limit: f64| common / area as f64 > limit;
        common > 0.0
            && (beyond(one.hull(other).area(), self.of_hull)
                || beyond(one.area(), self.of_either)
                || beyond(other.area(), self.of_either))
    }
}

impl Detector {
    /// Reads a detector that dlib serialized, in C++ or with its Python module's `save`.
    ///
    /// # Errors
    /// [`FaceModelFormatError`]: the first place where the bytes are not such a detector, and what is expected there.
    pub fn read(bytes: &[u8]) -> Result<Self, FaceModelFormatError> {
        let mut reader = Reader::new(bytes);
        let version = reader.within("the detector's version", 1..=2)?;
        reader.within("the scanner's version", 1..=1)?;
        // A detector is saved without a picture's features.
        reader.integer("the capacity for features")?;
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

        let filter = |reader: &mut Reader<'_>| -> Result<Filter, FaceModelFormatError> {
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
            // Python's `simple_object_detector` adds how often its training pictures were doubled in size.
            reader.within("the version of the upsampling", 1..=1)?;
            reader.within("the upsampling", 0..=16)?;
            reader.end()?;
        }
        Ok(Self { filters, window, padding, max_levels, min_level: (min_width, min_height), overlap })
    }

    /// Width and height, in pixels, of the smallest object that is found without enlarging the picture.
    pub fn window(&self) -> [u32; 2] {
        [self.window.1, self.window.0].map(|cells| ((cells - 2 * self.padding) * CELL) as u32)
    }

    /// The objects with scores of at least `threshold`, best first, without those that overlap a better one.
    ///
    /// The picture is doubled in size `upsample` times first. Rectangles, scores and order are dlib's, up to the
    /// rounding of scores.
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
            if !kept.iter().any(|better| self.overlap.is_same_object(&better.rectangle, &detection.rectangle)) {
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

    /// Every window of every pyramid level that reaches its filter's threshold, sorted by filter.
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

    /// The hits of each filter in one pyramid level.
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

    /// The number of a picture's pyramid levels. The last one is the last that is large enough for the model.
    fn levels(&self, picture: &Packed) -> usize {
        let mut area =
            Rectangle { left: 0, top: 0, right: picture.width as i32 - 1, bottom: picture.height as i32 - 1 };
        let mut levels = 0;
        loop {
            let next = area.map(|value, _| (value - 0.3) * (5.0 / 6.0));
            levels += 1;
            let enough = next.width() >= self.min_level.0 && next.height() >= self.min_level.1;
            // The smallest areas round to themselves, so the loop has to end there.
            if !enough || levels >= self.max_levels || next == area {
                return levels;
            }
            area = next;
        }
    }

    /// The box, in pixels of the picture, of the window whose middle is at a row and column of a level's features.
    fn place(&self, row: usize, column: usize, level: usize) -> Rectangle {
        let box_size = |window: usize| (window - 2 * self.padding) as i32;
        let (height, width) = (box_size(self.window.0), box_size(self.window.1));
        let (left, top) = (column as i32 - width / 2, row as i32 - height / 2);
        let cells = Rectangle { left, top, right: left + width - 1, bottom: top + height - 1 };
        // From features to pixels: skip the border and the ring of cells without features, then take the cell's middle.
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

/// The number of cells across a window that is `pixels` wide. dlib counts them on a window around the origin.
fn cells(pixels: i64) -> usize {
    let first = -pixels / 2;
    let last = first + pixels - 1;
    let cell = CELL as i64;
    ((last - 1) / cell - (first - 1) / cell + 1) as usize
}

fn overlap(reader: &mut Reader<'_>) -> Result<Overlap, FaceModelFormatError> {
    let of_hull = reader.share("the overlap above which two rectangles are the same object")?;
    let of_either = reader.share("the covered part above which two rectangles are the same object")?;
    Ok(Overlap { of_hull, of_either })
}
