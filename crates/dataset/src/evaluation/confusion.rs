//! Which class is taken for which.

use std::collections::BTreeMap;

use super::by_image::ByImage;
use super::comparison::{Comparison, Detection, Truth};

/// The least IoU of a detection and the object that it is taken for.
const LEAST_IOU: f64 = 0.5;
/// The most classes of a matrix. Its memory grows with their square.
const MOST_IN_MATRIX: usize = 1000;

/// How often an object of one class was detected as each class. Only detections with at least a score take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    /// The number of classes.
    classes: usize,
    /// By the class of the object and that of the detection. The number after the last class stands for nothing.
    counts: BTreeMap<(usize, usize), u32>,
}

/// Two classes that are taken for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confused {
    /// The class of the objects.
    pub truth: usize,
    /// The class of their detections.
    pub detected: usize,
    /// How often.
    pub count: u32,
}

impl Confusion {
    /// Pairs the objects and detections of each picture, whatever their classes, at IoU 0.5 or more: pairs of one class before others,
    /// then by IoU. A detection on a crowd or a difficult object takes no part unless it has a pair.
    #[must_use]
    pub fn of(comparison: &Comparison, least_score: f64) -> Self {
        let classes = comparison.classes().len();
        let mut confusion = Self { classes, counts: BTreeMap::new() };
        let truths = ByImage::of(comparison.images().len(), comparison.truths().iter().map(|truth| truth.image));
        let detections =
            ByImage::of(comparison.images().len(), comparison.detections().iter().map(|detection| detection.image));
        for image in 0..comparison.images().len() {
            let truths: Vec<&Truth> = truths.get(image).iter().map(|&truth| &comparison.truths()[truth]).collect();
            let detections: Vec<&Detection> = detections
                .get(image)
                .iter()
                .map(|&detection| &comparison.detections()[detection])
                .filter(|detection| detection.score >= least_score)
                .collect();
            confusion.add(&truths, &detections);
        }
        confusion
    }

    fn add(&mut self, truths: &[&Truth], detections: &[&Detection]) {
        let nothing = self.classes;
        let mut pairs: Vec<(bool, f64, usize, usize)> = Vec::new();
        let mut is_left_out = vec![false; detections.len()];
        for (place, detection) in detections.iter().enumerate() {
            for (object, truth) in truths.iter().enumerate() {
                let shared = detection.bounds.intersection(&truth.bounds);
                if truth.crowd && shared >= LEAST_IOU * detection.bounds.area() && shared > 0.0 {
                    is_left_out[place] = true;
                }
                let iou = detection.bounds.iou(&truth.bounds);
                if iou >= LEAST_IOU && truth.counts() {
                    pairs.push((truth.class == detection.class, iou, object, place));
                } else if iou >= LEAST_IOU {
                    is_left_out[place] = true;
                }
            }
        }
        pairs.sort_by(|one, other| {
            let score = |pair: &(bool, f64, usize, usize)| detections[pair.3].score;
            other.0.cmp(&one.0).then(other.1.total_cmp(&one.1)).then(score(other).total_cmp(&score(one)))
        });
        let mut truth_is_free = vec![true; truths.len()];
        let mut detection_is_free = vec![true; detections.len()];
        for (_, _, object, place) in pairs {
            if truth_is_free[object] && detection_is_free[place] {
                (truth_is_free[object], detection_is_free[place]) = (false, false);
                self.count(truths[object].class, detections[place].class);
            }
        }
        for (truth, is_free) in truths.iter().zip(truth_is_free) {
            if is_free && truth.counts() {
                self.count(truth.class, nothing);
            }
        }
        for ((detection, is_free), is_left_out) in detections.iter().zip(detection_is_free).zip(is_left_out) {
            if is_free && !is_left_out {
                self.count(nothing, detection.class);
            }
        }
    }

    fn count(&mut self, truth: usize, detected: usize) {
        *self.counts.entry((truth, detected)).or_default() += 1;
    }

    /// How often each class was detected for objects of a class: a row for each class of objects, in it one number for each class of
    /// detections, and the last for nothing. The last row has detections where there is no object. `None`: more than 1000 classes.
    #[must_use]
    pub fn rows(&self) -> Option<Vec<Vec<u32>>> {
        (self.classes <= MOST_IN_MATRIX).then(|| {
            let mut rows = vec![vec![0; self.classes + 1]; self.classes + 1];
            for (&(truth, detected), &count) in &self.counts {
                rows[truth][detected] = count;
            }
            rows
        })
    }

    /// Pairs of different classes, the most frequent first.
    #[must_use]
    pub fn pairs(&self) -> Vec<Confused> {
        let are_confused = |truth, detected| truth != detected && truth < self.classes && detected < self.classes;
        let mut pairs: Vec<Confused> = (self.counts.iter())
            .filter(|((truth, detected), _)| are_confused(*truth, *detected))
            .map(|(&(truth, detected), &count)| Confused { truth, detected, count })
            .collect();
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.count));
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::comparison::{BoundingBox, Image};

    #[test]
    fn classes_that_are_taken_for_each_other_are_counted() {
        let classes = vec!["cap".to_owned(), "mug".to_owned()];
        let mut comparison = Comparison::new(vec![Image { name: "a".to_owned(), place: None }], classes);
        let square = |left: f64| BoundingBox::from_size([left, 0.0, 20.0, 20.0]);
        for (left, class, difficult) in [(0.0, 0, false), (100.0, 0, false), (200.0, 1, false), (300.0, 1, true)] {
            let truth = Truth { image: 0, class, bounds: square(left), area: 400.0, crowd: false, difficult };
            comparison.push_truth(truth).unwrap();
        }
        // The first object is found although a mug overlaps more. The second is taken for a mug, the third missed, the fourth
        // difficult. The last two detections are of nothing, and too weak.
        for (left, class, score) in
            [(0.0, 1, 0.9), (2.0, 0, 0.6), (101.0, 1, 0.8), (300.0, 0, 0.9), (500.0, 1, 0.7), (200.0, 1, 0.1)]
        {
            comparison.push_detection(Detection { image: 0, class, bounds: square(left), score }).unwrap();
        }
        let confusion = Confusion::of(&comparison, 0.5);
        assert_eq!(confusion.rows().unwrap(), [[1, 1, 0], [0, 0, 1], [0, 2, 0]]);
        assert_eq!(confusion.pairs(), [Confused { truth: 0, detected: 1, count: 1 }]);
    }

    #[test]
    fn many_classes_have_pairs_and_no_matrix() {
        let classes = (0..100_000).map(|number| number.to_string()).collect();
        let mut comparison = Comparison::new(vec![Image { name: "a".to_owned(), place: None }], classes);
        let bounds = BoundingBox::from_size([0.0, 0.0, 20.0, 20.0]);
        let truth = Truth { image: 0, class: 99_999, bounds, area: 400.0, crowd: false, difficult: false };
        comparison.push_truth(truth).unwrap();
        comparison.push_detection(Detection { image: 0, class: 7, bounds, score: 0.9 }).unwrap();
        let confusion = Confusion::of(&comparison, 0.5);
        assert_eq!(confusion.rows(), None);
        assert_eq!(confusion.pairs(), [Confused { truth: 99_999, detected: 7, count: 1 }]);
    }
}
