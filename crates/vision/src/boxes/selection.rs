use super::nms::suppress;
use super::number::Number;

/// The thresholds of a detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// The least score of a box, 0 to 1.
    pub confidence: f32,
    /// The largest overlap of two boxes, intersection over union, 0 to 1.
    pub overlap: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { confidence: 0.5, overlap: 0.3 }
    }
}

/// A box that stays after the thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selected<T> {
    /// The index of its prior.
    pub prior: usize,
    /// The box.
    pub corners: [T; 4],
    /// 0 to 1.
    pub score: f32,
}

/// The boxes that reach the confidence and are not [suppressed](suppress) by a better one, best first. `corners` decodes the box
/// of a prior.
pub fn select<T: Number>(
    scores: &[f32],
    corners: impl Fn(usize) -> [T; 4],
    thresholds: Thresholds,
) -> Vec<Selected<T>> {
    let priors: Vec<usize> = (0..scores.len()).filter(|prior| scores[*prior] >= thresholds.confidence).collect();
    let boxes: Vec<[T; 4]> = priors.iter().map(|prior| corners(*prior)).collect();
    let candidates: Vec<f32> = priors.iter().map(|prior| scores[*prior]).collect();
    let stay = suppress(&boxes, &candidates, thresholds.overlap).into_iter();
    stay.map(|index| Selected { prior: priors[index], corners: boxes[index], score: candidates[index] }).collect()
}
