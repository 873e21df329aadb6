//! Precision by recall, and the averages of it.

use crate::evaluation::comparison::Truth;

use super::matching::{Matched, is_outside};
use super::{AREAS, Figures, IOUS, MAX_DETECTIONS, RECALLS, recall_thresholds};

/// The precision and recall of a class. `None` for a range of areas in which it has no object.
#[derive(Debug, Clone)]
pub(super) struct Curves {
    /// Area, IoU, recall.
    pub(super) precision: [Option<[[f64; RECALLS]; IOUS]>; AREAS],
    /// Area, IoU, number of detections.
    pub(super) recall: [Option<[[f64; MAX_DETECTIONS.len()]; IOUS]>; AREAS],
    /// IoU, recall; objects of any area.
    pub(super) scores: Option<[[f64; RECALLS]; IOUS]>,
}

/// A detection that is a hit: where it stands on the curve.
#[derive(Clone, Copy)]
struct Step {
    precision: f64,
    score: f64,
}

impl Curves {
    /// The curves of a class, whose detections come in descending order of score.
    pub(super) fn of<'a>(matched: &[Matched], truths: impl Iterator<Item = &'a Truth>) -> Self {
        let mut curves = Self { precision: [None; AREAS], recall: [None; AREAS], scores: None };
        let mut objects = [0_usize; AREAS];
        for truth in truths.filter(|truth| truth.counts()) {
            for (area, objects) in objects.iter_mut().enumerate() {
                *objects += usize::from(!is_outside(truth.area, area));
            }
        }
        let first_score = matched.first().map_or(0.0, |matched| matched.score);
        for (area, &objects) in objects.iter().enumerate().filter(|&(_, &objects)| objects > 0) {
            let (steps, hits) = steps(matched, area);
            curves.recall[area] = Some(hits.map(|hits| hits.map(|hits| hits as f64 / objects as f64)));
            let mut precision = [[0.0; RECALLS]; IOUS];
            let mut scores = [[0.0; RECALLS]; IOUS];
            for ((mut steps, precision), scores) in steps.into_iter().zip(&mut precision).zip(&mut scores) {
                // Precision never rises with recall: the best one that is still to come counts.
                let mut best = 0.0_f64;
                for step in steps.iter_mut().rev() {
                    best = best.max(step.precision);
                    step.precision = best;
                }
                read(&steps, objects, first_score, precision, scores);
            }
            curves.precision[area] = Some(precision);
            if area == 0 {
                curves.scores = Some(scores);
            }
        }
        curves
    }
}

/// The hits of each IoU threshold with their precision, and how many there are with at most 1, 10 and 100 detections in a picture.
fn steps(matched: &[Matched], area: usize) -> ([Vec<Step>; IOUS], [[usize; MAX_DETECTIONS.len()]; IOUS]) {
    let mut steps: [Vec<Step>; IOUS] = Default::default();
    let mut hits = [[0; MAX_DETECTIONS.len()]; IOUS];
    // False detections, of all thresholds and of each beyond.
    let mut all_false = 0_usize;
    let mut more_false = [0_usize; IOUS];
    for matched in matched {
        let (hit, ignored) = (matched.hits[area], matched.ignored[area]);
        if hit | ignored == 0 {
            all_false += 1;
            continue;
        }
        for iou in 0..IOUS {
            if hit >> iou & 1 == 1 {
                for (hits, most) in hits[iou].iter_mut().zip(MAX_DETECTIONS) {
                    *hits += usize::from(matched.rank < most);
                }
                let (true_ones, false_ones) = (steps[iou].len() + 1, all_false + more_false[iou]);
                let precision = true_ones as f64 / (false_ones as f64 + true_ones as f64 + f64::EPSILON);
                steps[iou].push(Step { precision, score: matched.score });
            } else if ignored >> iou & 1 == 0 {
                more_false[iou] += 1;
            }
        }
    }
    (steps, hits)
}

/// Reads a curve at each recall threshold: at the first hit with at least that recall.
fn read(steps: &[Step], objects: usize, first_score: f64, precision: &mut [f64; RECALLS], scores: &mut [f64; RECALLS]) {
    let mut step = 0;
    for (recall, threshold) in recall_thresholds().into_iter().enumerate() {
        while step < steps.len() && ((step + 1) as f64 / objects as f64) < threshold {
            step += 1;
        }
        let Some(read) = steps.get(step) else { break };
        precision[recall] = read.precision;
        scores[recall] = read.score;
    }
    // Every detection, even a false one, reaches a recall of 0.
    scores[0] = first_score;
}

/// The mean of some numbers; `None` of none.
fn mean(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = numbers.fold((0.0, 0_usize), |(sum, count), number| (sum + number, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// The twelve figures of some classes. Classes without objects of a range do not count there.
pub(super) fn figures(curves: &[Curves]) -> Figures {
    let precision = |area: usize, ious: std::ops::Range<usize>| {
        mean(
            curves
                .iter()
                .filter_map(|curves| curves.precision[area].as_ref())
                .flat_map(|curve| curve[ious.clone()].iter().flatten().copied()),
        )
    };
    let recall = |area: usize, detections: usize| {
        mean(curves.iter().filter_map(|curves| curves.recall[area].as_ref()).flatten().map(|recall| recall[detections]))
    };
    Figures {
        ap: precision(0, 0..IOUS),
        ap50: precision(0, 0..1),
        ap75: precision(0, 5..6),
        ap_of_areas: [1, 2, 3].map(|area| precision(area, 0..IOUS)),
        ar: [0, 1, 2].map(|detections| recall(0, detections)),
        ar_of_areas: [1, 2, 3].map(|area| recall(area, 2)),
    }
}
