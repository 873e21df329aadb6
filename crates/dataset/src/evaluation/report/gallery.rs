//! The worst mistakes as pictures.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use picture::RgbImage;

use crate::Pictures;
use crate::evaluation::Assessment;
use crate::evaluation::comparison::{BoundingBox, Comparison};
use crate::evaluation::mistakes::Mistake;

/// How many wrong detections and how many missed objects are shown.
const MOST: usize = 12;
/// The longer side of a view in pixels.
const SIDE: u32 = 360;
/// How far a view reaches beyond the boxes, as a share of their longer side.
const MARGIN: f64 = 0.6;
/// The least side of a view in pixels of the picture.
const LEAST_SIDE: f64 = 48.0;
/// The quality of the JPEG files.
const QUALITY: u8 = 80;

/// A part of a picture around a mistake.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// The mistake.
    pub(super) mistake: Mistake,
    /// `[left, top, width, height]` in pixels of the picture.
    pub(super) frame: [f64; 4],
    /// A JPEG as a `data:` URI; `None` if the picture was not found or cannot be read.
    pub(super) jpeg: Option<String>,
}

/// The worst mistakes: the surest wrong detections, and the largest objects that were missed.
#[derive(Debug, Clone, Default)]
pub struct Gallery {
    pub(super) views: Vec<View>,
}

impl Gallery {
    /// Cuts the views out of the pictures. A picture that is not where the ground truth says is looked for in the usual folders
    /// beside `truth`, the file or folder of the ground truth.
    #[must_use]
    pub fn of(comparison: &Comparison, assessment: &Assessment, truth: &Path, pictures: &dyn Pictures) -> Self {
        let worst = assessment.mistakes.worst(MOST);
        // One picture after the other, so that only one is in memory.
        let mut of_image: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, mistake) in worst.iter().enumerate() {
            of_image.entry(mistake.image).or_default().push(place);
        }
        let mut views: Vec<(usize, View)> = Vec::with_capacity(worst.len());
        for (image, mistakes) in of_image {
            let picture = comparison.images()[image].place.as_deref().and_then(|place| {
                let found = places(place, truth).into_iter().find_map(|place| pictures.bytes(&place).ok())?;
                picture::decode(&found).ok()
            });
            for place in mistakes {
                let mistake = worst[place];
                let frame = frame(&boxes(comparison, &mistake), picture.as_ref().map(RgbImage::dimensions));
                let jpeg = picture.as_ref().and_then(|picture| cut(picture, frame));
                views.push((place, View { mistake, frame, jpeg }));
            }
        }
        views.sort_by_key(|(place, _)| *place);
        let views = views.into_iter().map(|(_, view)| view).collect();
        Self { views }
    }
}

/// The boxes of a mistake: that of the detection, and that of the object.
pub(super) fn boxes(comparison: &Comparison, mistake: &Mistake) -> Vec<BoundingBox> {
    let detection = mistake.detection.map(|index| comparison.detections()[index].bounds);
    let truth = mistake.truth.map(|index| comparison.truths()[index].bounds);
    detection.into_iter().chain(truth).collect()
}

/// Where a picture may lie.
fn places(place: &str, truth: &Path) -> Vec<String> {
    let given = Path::new(place);
    let mut places = vec![given.to_owned()];
    if let (Some(name), Some(folder)) = (given.file_name(), truth.parent()) {
        let stem = truth.file_stem().unwrap_or_default();
        for beside in [Path::new(stem), Path::new("images"), Path::new("images-optional"), Path::new("JPEGImages")] {
            places.push(folder.join(beside).join(name));
        }
        places.push(folder.join("../images").join(name));
        places.push(folder.join(name));
    }
    // Formats of text files name pictures without their extension.
    let with_extensions = |place: &std::path::PathBuf| {
        ["", ".jpg", ".jpeg", ".png", ".webp"].map(|extension| format!("{}{extension}", place.to_string_lossy()))
    };
    places.iter().flat_map(with_extensions).collect()
}

/// A frame around boxes, within the picture if its size is known.
fn frame(boxes: &[BoundingBox], size: Option<(u32, u32)>) -> [f64; 4] {
    let least = |edge: fn(&BoundingBox) -> f64| boxes.iter().map(edge).fold(f64::INFINITY, f64::min);
    let most = |edge: fn(&BoundingBox) -> f64| boxes.iter().map(edge).fold(f64::NEG_INFINITY, f64::max);
    let (left, right) = (least(|bounds| bounds.left.min(bounds.right)), most(|bounds| bounds.right.max(bounds.left)));
    let (top, bottom) = (least(|bounds| bounds.top.min(bounds.bottom)), most(|bounds| bounds.bottom.max(bounds.top)));
    let side = ((right - left).max(bottom - top) * (1.0 + MARGIN)).max(LEAST_SIDE);
    let (width, height) = size.map_or((f64::INFINITY, f64::INFINITY), |(width, height)| (width.into(), height.into()));
    // A view is square unless the picture ends, so that all have one size.
    let along = |low: f64, high: f64, whole: f64| {
        let side = side.min(whole);
        let start = ((low + high - side) / 2.0).min(whole - side).max(0.0).floor();
        (start, side.ceil())
    };
    let (left, width) = along(left, right, width);
    let (top, height) = along(top, bottom, height);
    [left, top, width, height]
}

/// A part of a picture as a `data:` URI.
fn cut(picture: &RgbImage, [left, top, width, height]: [f64; 4]) -> Option<String> {
    let within = |place: f64, side: u32| place.clamp(0.0, f64::from(side)) as u32;
    let (left, top) = (within(left, picture.width()), within(top, picture.height()));
    let (width, height) = (within(width, picture.width() - left), within(height, picture.height() - top));
    if width == 0 || height == 0 {
        return None;
    }
    let part = imageops::crop_imm(picture, left, top, width, height).to_image();
    let scale = f64::from(SIDE) / f64::from(width.max(height));
    let part = if scale < 1.0 {
        let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
        imageops::resize(&part, side(width), side(height), FilterType::Triangle)
    } else {
        part
    };
    let mut jpeg = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&part).ok()?;
    Some(format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg.into_inner())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_stays_within_the_picture() {
        let bounds = BoundingBox::from_size([90.0, 0.0, 20.0, 10.0]);
        assert_eq!(frame(&[bounds], Some((120, 100))), [72.0, 0.0, 48.0, 48.0]);
        assert_eq!(frame(&[bounds], Some((30, 20))), [0.0, 0.0, 30.0, 20.0]);
        assert_eq!(frame(&[bounds], None), [76.0, 0.0, 48.0, 48.0]);
        let far = BoundingBox::from_size([5000.0, 5000.0, -20.0, 10.0]);
        let picture = RgbImage::new(40, 30);
        assert!(cut(&picture, frame(&[far], Some((40, 30)))).is_some());
        assert_eq!(cut(&picture, [50.0, 0.0, 10.0, 10.0]), None);
    }

    #[test]
    fn pictures_are_looked_for_beside_the_ground_truth() {
        let found = places("data/a", Path::new("data/train.json"));
        for place in ["data/a", "data/a.png", "data/train/a.jpg", "data/images/a"] {
            assert!(found.iter().any(|found| found == place), "{place}: {found:?}");
        }
    }
}
