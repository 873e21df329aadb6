//! From the network's values for one picture to detections, as the exported graph does.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rayon::prelude::*;

use super::config::{PostProcessing, ScoreConverter};
use crate::vision_error::VisionError;

/// Scores that are worth a task of their own.
const MANY: usize = 4096;

/// An object in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// The index of its class, from 0; its label in a label map is one more.
    pub class: usize,
    /// 0 to 1, unless the network's values are scores already.
    pub score: f32,
    /// Left, top, right and bottom, in multiples of the picture's width and height, 0 to 1.
    pub corners: [f32; 4],
    /// The index of the anchor that it was found by.
    pub anchor: usize,
}

/// The box of an anchor `[top, left, bottom, right]`, in the same form, not clipped: the other way round of
/// `faster_rcnn_box_coder.py`. The encoding is divided by `scales`.
pub(super) fn decode([top, left, bottom, right]: [f32; 4], encoding: [f32; 4], scales: [f32; 4]) -> [f32; 4] {
    let along = |first: f32, last: f32, shift: f32, growth: f32| {
        let length = last - first;
        let (centre, there) = (shift * length + (first + length / 2.0), growth.exp() * length);
        (centre - there / 2.0, centre + there / 2.0)
    };
    let (top, bottom) = along(top, bottom, encoding[0] / scales[0], encoding[2] / scales[2]);
    let (left, right) = along(left, right, encoding[1] / scales[1], encoding[3] / scales[3]);
    [top, left, bottom, right]
}

/// The detections of a picture, best first. `boxes` are encodings, `logits` those of the background and `classes` classes for each
/// anchor.
///
/// # Errors
/// [`VisionError::NotFinite`].
pub(super) fn detections(
    boxes: &[f32],
    logits: &[f32],
    anchors: &[[f32; 4]],
    scales: [f32; 4],
    settings: &PostProcessing,
) -> Result<Vec<Detection>, VisionError> {
    if !boxes.iter().chain(logits).all(|value| value.is_finite()) {
        return Err(VisionError::NotFinite);
    }
    let encodings = boxes.as_chunks::<4>().0;
    let boxes: Vec<[f32; 4]> =
        anchors.iter().zip(encodings).map(|(anchor, encoding)| decode(*anchor, *encoding, scales)).collect();
    let columns = logits.len() / anchors.len().max(1);
    let scores = scores(logits, columns, settings.converter);
    let candidates = Candidates { areas: boxes.iter().copied().map(area).collect(), boxes, scores, columns, settings };
    // Column 0 is the background. Each thread takes some classes.
    let classes: Vec<usize> = (0..columns.saturating_sub(1)).collect();
    let some = classes.len().div_ceil(rayon::current_num_threads()).max(1);
    let all: Vec<Vec<Detection>> = classes.par_chunks(some).map(|classes| candidates.of_classes(classes)).collect();
    Ok(best(all.concat(), settings.total))
}

/// The best `total` detections, best first. Of equal scores, the one of the lower class is better.
fn best(mut detections: Vec<Detection>, total: usize) -> Vec<Detection> {
    detections.sort_by(|one, other| other.score.total_cmp(&one.score));
    detections.truncate(total);
    detections
}

/// The boxes of all anchors, and their scores in every class.
struct Candidates<'a> {
    boxes: Vec<[f32; 4]>,
    areas: Vec<f32>,
    /// For each anchor, one of each column.
    scores: Vec<f32>,
    columns: usize,
    settings: &'a PostProcessing,
}

impl Candidates<'_> {
    /// The best detections of ascending classes.
    fn of_classes(&self, classes: &[usize]) -> Vec<Detection> {
        let total = self.settings.total;
        let mut all = Vec::new();
        for &class in classes {
            // Where there are enough detections, one of a later class has to be better than the last of them.
            let least = if all.len() < total {
                f32::NEG_INFINITY
            } else {
                all.last().map_or(f32::INFINITY, |last: &Detection| last.score)
            };
            let before = all.len();
            self.of_class(class, least, &mut all);
            if all.len() > before {
                all = best(all, total);
            }
        }
        all
    }

    /// Adds the detections of a class whose score is above `least`.
    fn of_class(&self, class: usize, least: f32, all: &mut Vec<Detection>) {
        let Self { boxes, areas, scores, columns, settings } = self;
        let mut candidates: BinaryHeap<Candidate> = (0..boxes.len())
            .map(|anchor| Candidate { score: scores[anchor * columns + class + 1], anchor })
            .filter(|candidate| candidate.score > settings.score_threshold && candidate.score > least)
            .collect();
        let mut kept: Vec<usize> = Vec::new();
        while kept.len() < settings.per_class
            && let Some(Candidate { score, anchor }) = candidates.pop()
        {
            let overlaps = |other: &usize| {
                let (areas, boxes) = ([areas[*other], areas[anchor]], [boxes[*other], boxes[anchor]]);
                intersection_over_union(boxes, areas) > settings.iou_threshold
            };
            if kept.iter().any(overlaps) {
                continue;
            }
            kept.push(anchor);
            let [top, left, bottom, right] = boxes[anchor].map(|value| value.clamp(0.0, 1.0));
            if (bottom - top) * (right - left) > 0.0 {
                all.push(Detection { class, score, corners: [left, top, right, bottom], anchor });
            }
        }
    }
}

fn scores(logits: &[f32], columns: usize, converter: ScoreConverter) -> Vec<f32> {
    match converter {
        ScoreConverter::Identity => logits.to_vec(),
        ScoreConverter::Sigmoid => {
            logits.par_iter().with_min_len(MANY).map(|logit| 1.0 / (1.0 + (-logit).exp())).collect()
        }
        ScoreConverter::Softmax => {
            let softmax = |row: &[f32]| {
                let most = row.iter().copied().fold(f32::MIN, f32::max);
                let powers: Vec<f32> = row.iter().map(|logit| (logit - most).exp()).collect();
                let sum: f32 = powers.iter().sum();
                powers.into_iter().map(move |power| power / sum)
            };
            logits.chunks_exact(columns).flat_map(softmax).collect()
        }
    }
}

/// A box that may become a detection. The best one is the greatest; of equals, that of the first anchor.
struct Candidate {
    score: f32,
    anchor: usize,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.anchor.cmp(&self.anchor))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

fn area([top, left, bottom, right]: [f32; 4]) -> f32 {
    (bottom - top) * (right - left)
}

/// 0 where one of both boxes is empty.
pub(super) fn intersection_over_union([one, other]: [[f32; 4]; 2], areas: [f32; 2]) -> f32 {
    if areas[0] <= 0.0 || areas[1] <= 0.0 {
        return 0.0;
    }
    let along = |first: usize, last: usize| (one[last].min(other[last]) - one[first].max(other[first])).max(0.0);
    let shared = along(0, 2) * along(1, 3);
    shared / (areas[0] + areas[1] - shared)
}
