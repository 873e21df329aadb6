//! Precision and recall of the detections that have at least a score.

use super::comparison::Comparison;
use super::outcome::{Outcome, Outcomes};

/// How good the detections with at least a score are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScorePoint {
    /// The least score.
    pub score: f64,
    /// Detections that are an object.
    pub hits: usize,
    /// Detections that are none.
    pub false_ones: usize,
    /// Objects that count.
    pub objects: usize,
}

impl ScorePoint {
    /// The share of detections that are an object; `None` without detections.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        share(self.hits, self.hits + self.false_ones)
    }

    /// The share of objects that are found; `None` without objects.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        share(self.hits, self.objects)
    }

    /// The harmonic mean of precision and recall, 0 to 1; `None` without detections and objects.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        share(2 * self.hits, self.hits + self.false_ones + self.objects)
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Precision and recall at every score, in descending order of score.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreCurve {
    objects: usize,
    points: Vec<ScorePoint>,
}

impl ScoreCurve {
    /// The curve of all classes together.
    #[must_use]
    pub fn of(comparison: &Comparison, outcomes: &Outcomes) -> Self {
        let objects = comparison.truths().iter().filter(|truth| truth.counts()).count();
        let mut curve = Builder { objects, ..Builder::default() };
        for (detection, outcome) in comparison.detections().iter().zip(&outcomes.detections) {
            curve.add(detection.score, *outcome);
        }
        curve.finish()
    }

    /// The curve of each class, in the comparison's order.
    #[must_use]
    pub fn of_classes(comparison: &Comparison, outcomes: &Outcomes) -> Vec<Self> {
        let mut curves: Vec<Builder> = Vec::new();
        curves.resize_with(comparison.classes().len(), Builder::default);
        for truth in comparison.truths().iter().filter(|truth| truth.counts()) {
            curves[truth.class].objects += 1;
        }
        for (detection, outcome) in comparison.detections().iter().zip(&outcomes.detections) {
            curves[detection.class].add(detection.score, *outcome);
        }
        curves.into_iter().map(Builder::finish).collect()
    }

    /// A point for each score that occurs, in descending order of score.
    #[must_use]
    pub fn points(&self) -> &[ScorePoint] {
        &self.points
    }

    /// The detections with at least this score.
    #[must_use]
    pub fn at(&self, score: f64) -> ScorePoint {
        let count = self.points.partition_point(|point| point.score >= score);
        let none = ScorePoint { score, hits: 0, false_ones: 0, objects: self.objects };
        count.checked_sub(1).and_then(|last| self.points.get(last)).map_or(none, |point| ScorePoint { score, ..*point })
    }

    /// The point with the highest F1; of equal ones that with the highest score. `None` without a hit.
    #[must_use]
    pub fn best(&self) -> Option<ScorePoint> {
        let mut best: Option<ScorePoint> = None;
        for point in self.points.iter().filter(|point| point.hits > 0) {
            if best.is_none_or(|best| point.f1() > best.f1()) {
                best = Some(*point);
            }
        }
        best
    }
}

/// A curve whose detections have no order yet.
#[derive(Default)]
struct Builder {
    objects: usize,
    /// Scores, and whether each is of a hit.
    scores: Vec<(f64, bool)>,
}

impl Builder {
    fn add(&mut self, score: f64, outcome: Outcome) {
        match outcome {
            Outcome::Hit(_) => self.scores.push((score, true)),
            Outcome::False => self.scores.push((score, false)),
            Outcome::Ignored | Outcome::Beyond => {}
        }
    }

    fn finish(mut self) -> ScoreCurve {
        self.scores.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let mut point = ScorePoint { score: f64::INFINITY, hits: 0, false_ones: 0, objects: self.objects };
        let mut points = Vec::new();
        for equal in self.scores.chunk_by(|(one, _), (other, _)| one == other) {
            let hits = equal.iter().filter(|(_, is_hit)| *is_hit).count();
            point.score = equal[0].0;
            point.hits += hits;
            point.false_ones += equal.len() - hits;
            points.push(point);
        }
        ScoreCurve { objects: self.objects, points }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::comparison::{BoundingBox, Detection, Image, Truth};

    #[test]
    fn precision_and_recall_follow_the_score() {
        let mut comparison = Comparison::new(vec![Image { name: "a".to_owned(), place: None }], vec!["cap".to_owned()]);
        let bounds = BoundingBox::from_size([0.0, 0.0, 9.0, 9.0]);
        for _ in 0..3 {
            let truth = Truth { image: 0, class: 0, bounds, area: 81.0, crowd: false, difficult: false };
            comparison.push_truth(truth).unwrap();
        }
        for score in [0.9, 0.5, 0.5, 0.7, 0.1] {
            comparison.push_detection(Detection { image: 0, class: 0, bounds, score }).unwrap();
        }
        let detections = vec![Outcome::Hit(0), Outcome::Hit(1), Outcome::False, Outcome::Ignored, Outcome::False];
        let curve = ScoreCurve::of(&comparison, &Outcomes { detections });
        let counts: Vec<_> = curve.points().iter().map(|point| (point.score, point.hits, point.false_ones)).collect();
        assert_eq!(counts, [(0.9, 1, 0), (0.5, 2, 1), (0.1, 2, 2)]);
        assert_eq!((curve.at(0.6).hits, curve.at(0.5).hits, curve.at(0.95).hits), (1, 2, 0));
        assert_eq!((curve.at(0.95).precision(), curve.at(0.95).recall()), (None, Some(0.0)));
        let best = curve.best().unwrap();
        assert_eq!((best.score, best.f1()), (0.5, Some(4.0 / 6.0)));
        let others = ScoreCurve::of_classes(&comparison, &Outcomes { detections: vec![Outcome::False; 5] });
        assert_eq!((others.len(), others[0].best()), (1, None));
    }
}
