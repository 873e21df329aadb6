//! From the classes and offsets of regions to detections.

use super::Detection;
use super::coder::{clip, decode, is_larger};
use super::config::Detecting;
use crate::boxes::suppress;

/// A detection in pixels of the input, and the index of its region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) detection: Detection,
    #[cfg_attr(not(test), expect(dead_code, reason = "compared in tests"))]
    pub(crate) region: usize,
}

/// Probabilities of each class and of the background from their logits.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The boxes of a region: one for each class.
pub(crate) fn boxes(region: [f32; 4], offsets: &[f32], weights: [f32; 4]) -> Vec<[f32; 4]> {
    offsets.as_chunks().0.iter().map(|offsets| decode(region, *offsets, weights)).collect()
}

/// The detections in a picture of this size in pixels, best first. `probabilities` has those of each class and of the background for
/// every region, `boxes` one for each class.
pub(crate) fn choose(
    probabilities: &[Vec<f32>],
    boxes: &[Vec<[f32; 4]>],
    size: [f32; 2],
    detecting: Detecting,
) -> Vec<Found> {
    let Some(classes) = boxes.first().map(Vec::len) else { return Vec::new() };
    let mut of_class: Vec<Vec<Found>> = vec![Vec::new(); classes];
    for (region, (probabilities, boxes)) in probabilities.iter().zip(boxes).enumerate() {
        let numbers = || boxes.as_flattened().iter().chain(probabilities);
        if !numbers().all(|value| value.is_finite()) {
            continue;
        }
        for class in 0..classes {
            let score = probabilities[class];
            if score > detecting.score {
                let detection = Detection { corners: clip(boxes[class], size), score, class };
                of_class[class].push(Found { detection, region });
            }
        }
    }
    let mut chosen = Vec::new();
    for found in of_class {
        let corners: Vec<[f32; 4]> = found.iter().map(|found| found.detection.corners).collect();
        let scores: Vec<f32> = found.iter().map(|found| found.detection.score).collect();
        let stay = suppress(&corners, &scores, detecting.overlap).into_iter();
        chosen.extend(stay.map(|index| found[index]));
    }
    // Stable: of equal ones, the lower class comes first.
    chosen.sort_by(|one, other| other.detection.score.total_cmp(&one.detection.score));
    chosen.truncate(detecting.most);
    chosen
}

/// A detection in pixels of the picture that the input was made of. `None` where nothing of its box is left.
pub(crate) fn rescaled(detection: Detection, from: [usize; 2], to: [usize; 2]) -> Option<Detection> {
    let [across, down] = [0, 1].map(|axis| (to[axis] as f64 / from[axis] as f64) as f32);
    let [left, top, right, bottom] = detection.corners;
    let scaled = [left * across, top * down, right * across, bottom * down];
    let corners = clip(scaled, to.map(|side| side as f32));
    is_larger(corners, 0.0).then_some(Detection { corners, ..detection })
}
