//! Average precision and recall as COCO defines them, and as its reference program, pycocotools 2.0.11, computes them for boxes.
//!
//! Thresholds, the order of equal scores, of equal overlaps, and of operations are those of the reference, so that figures agree to the
//! rounding of sums. One thing differs: the reference counts a detection of an object with the id 0 as false. Here it is a hit.

mod curves;
mod matching;

use std::array;

use rayon::prelude::*;

use super::comparison::{Comparison, Detection, Truth};
use super::outcome::{Outcome, Outcomes};
use curves::Curves;
use matching::{Matched, match_picture};

/// How many IoU thresholds there are: 0.50, 0.55 to 0.95.
pub const IOUS: usize = 10;
/// How many recalls a precision is read at: 0, 0.01 to 1.
pub const RECALLS: usize = 101;
/// How many ranges of areas there are: all, small, medium, large.
pub const AREAS: usize = 4;
/// Areas from the first to the second, in square pixels. Both ends belong to a range.
pub const AREA_RANGES: [[f64; 2]; AREAS] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];
/// Detections of a class in a picture, for which recalls are computed.
pub const MAX_DETECTIONS: [usize; 3] = [1, 10, 100];

/// The IoU thresholds, as `numpy.linspace` rounds them: the ninth is 0.8999999999999999.
#[must_use]
pub fn iou_thresholds() -> [f64; IOUS] {
    array::from_fn(|step| if step == IOUS - 1 { 0.95 } else { 0.5 + step as f64 * ((0.95 - 0.5) / 9.0) })
}

/// The recalls at which a precision is read, as `numpy.linspace` rounds them.
#[must_use]
pub fn recall_thresholds() -> [f64; RECALLS] {
    array::from_fn(|step| step as f64 * (1.0 / 100.0))
}

/// The twelve figures, each 0 to 1. `None` where no object has the area.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Average precision, over IoU from 0.50 to 0.95.
    pub ap: Option<f64>,
    /// At IoU 0.50.
    pub ap50: Option<f64>,
    /// At IoU 0.75.
    pub ap75: Option<f64>,
    /// Of small, medium and large objects.
    pub ap_of_areas: [Option<f64>; 3],
    /// Average recall with at most 1, 10 and 100 detections of a class in a picture.
    pub ar: [Option<f64>; 3],
    /// Of small, medium and large objects, with at most 100 detections.
    pub ar_of_areas: [Option<f64>; 3],
}

impl Figures {
    /// The names of the twelve figures, in the reference's order.
    pub const NAMES: [&str; 12] =
        ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"];

    /// The twelve figures, in the reference's order.
    #[must_use]
    pub fn values(&self) -> [Option<f64>; 12] {
        let [aps, apm, apl] = self.ap_of_areas;
        let [ar1, ar10, ar100] = self.ar;
        let [ars, arm, arl] = self.ar_of_areas;
        [self.ap, self.ap50, self.ap75, aps, apm, apl, ar1, ar10, ar100, ars, arm, arl]
    }
}

/// COCO's figures of a comparison.
#[derive(Debug, Clone)]
pub struct Coco {
    /// Averages over all classes that have objects.
    pub figures: Figures,
    /// The same of each class, in the comparison's order.
    pub classes: Vec<Figures>,
    /// What became of each detection at IoU 0.50, whatever the area.
    pub outcomes: Outcomes,
    curves: Vec<Curves>,
}

impl Coco {
    /// Compares detections with the ground truth. Classes run in parallel.
    #[must_use]
    pub fn evaluate(comparison: &Comparison) -> Self {
        let classes = comparison.classes().len();
        let truths = by_class(classes, comparison.truths().iter().map(|truth| truth.class));
        let detections = by_class(classes, comparison.detections().iter().map(|detection| detection.class));
        let matched: Vec<(Vec<Matched>, Curves)> = truths
            .into_par_iter()
            .zip(detections)
            .map(|(truths, detections)| {
                let matched = match_class(comparison, &truths, &detections);
                let curves = Curves::of(&matched, truths.iter().map(|&truth| &comparison.truths()[truth]));
                (matched, curves)
            })
            .collect();
        let mut outcomes = vec![Outcome::Beyond; comparison.detections().len()];
        for matched in matched.iter().flat_map(|(matched, _)| matched) {
            outcomes[matched.detection] = match matched.truth {
                Some(truth) => Outcome::Hit(truth),
                None if matched.ignored[0] & 1 == 1 => Outcome::Ignored,
                None => Outcome::False,
            };
        }
        let curves: Vec<Curves> = matched.into_iter().map(|(_, curves)| curves).collect();
        Self {
            figures: curves::figures(&curves),
            classes: curves.iter().map(|curves| curves::figures(std::slice::from_ref(curves))).collect(),
            outcomes: Outcomes { detections: outcomes },
            curves,
        }
    }

    /// The precision of a class at each recall threshold, for an IoU threshold and a range of areas. `None` without such objects, and
    /// for an index out of range.
    #[must_use]
    pub fn precision(&self, class: usize, iou: usize, area: usize) -> Option<&[f64; RECALLS]> {
        self.curves.get(class)?.precision.get(area)?.as_ref()?.get(iou)
    }

    /// The score of the detection that reaches each recall threshold, 0 where none does: objects of any area.
    #[must_use]
    pub fn scores(&self, class: usize, iou: usize) -> Option<&[f64; RECALLS]> {
        self.curves.get(class)?.scores.as_ref()?.get(iou)
    }

    /// The recall of a class for an IoU threshold, a range of areas, and an index into [`MAX_DETECTIONS`].
    #[must_use]
    pub fn recall(&self, class: usize, iou: usize, area: usize, detections: usize) -> Option<f64> {
        self.curves.get(class)?.recall.get(area)?.as_ref()?.get(iou)?.get(detections).copied()
    }
}

/// The indices of each class, in the given order.
fn by_class(classes: usize, class_of: impl Iterator<Item = usize>) -> Vec<Vec<usize>> {
    let mut indices = vec![Vec::new(); classes];
    for (index, class) in class_of.enumerate() {
        indices[class].push(index);
    }
    indices
}

/// Matches all detections of a class, picture by picture. Returned in descending order of score; equal scores in order of pictures, then
/// of the comparison.
fn match_class(comparison: &Comparison, truths: &[usize], detections: &[usize]) -> Vec<Matched> {
    let (all_truths, all_detections): (&[Truth], &[Detection]) = (comparison.truths(), comparison.detections());
    let mut truths = truths.to_vec();
    truths.sort_by_key(|&truth| all_truths[truth].image);
    let mut ranked = detections.to_vec();
    ranked.sort_by(|&one, &other| {
        let (one, other) = (&all_detections[one], &all_detections[other]);
        one.image.cmp(&other.image).then(other.score.partial_cmp(&one.score).unwrap_or(std::cmp::Ordering::Equal))
    });
    let mut pictures = Vec::new();
    let mut first = 0;
    for ranked in ranked.chunk_by(|&one, &other| all_detections[one].image == all_detections[other].image) {
        let image = all_detections[ranked[0]].image;
        first += truths[first..].partition_point(|&truth| all_truths[truth].image < image);
        let objects = truths[first..].partition_point(|&truth| all_truths[truth].image == image);
        pictures.push((ranked, &truths[first..first + objects]));
    }
    // Few classes with many pictures are the rule in some sets: their pictures run in parallel too.
    let mut matched: Vec<Matched> = pictures
        .par_chunks(64)
        .flat_map_iter(|pictures| {
            let mut matched = Vec::new();
            for (ranked, objects) in pictures {
                match_picture(all_detections, all_truths, ranked, objects, &mut matched);
            }
            matched
        })
        .collect();
    matched.sort_by(|one, other| other.score.partial_cmp(&one.score).unwrap_or(std::cmp::Ordering::Equal));
    matched
}
