//! How often each class occurs, in the ground truth and among the detections.

use super::comparison::Comparison;
use super::outcome::{Outcome, Outcomes};

/// The counts of a class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// Objects that count.
    pub objects: usize,
    /// Crowds and difficult objects, which do not count.
    pub uncounted: usize,
    /// Pictures with objects that count.
    pub images: usize,
    /// All detections, of any score.
    pub detections: usize,
    /// Detections that are an object.
    pub hits: usize,
    /// Detections that are none.
    pub false_ones: usize,
}

impl ClassCounts {
    /// The counts of each class.
    #[must_use]
    pub fn of(comparison: &Comparison, outcomes: &Outcomes) -> Vec<Self> {
        let mut counts = vec![Self::default(); comparison.classes().len()];
        let mut places: Vec<(usize, usize)> = Vec::new();
        for truth in comparison.truths() {
            if truth.counts() {
                counts[truth.class].objects += 1;
                places.push((truth.class, truth.image));
            } else {
                counts[truth.class].uncounted += 1;
            }
        }
        places.sort_unstable();
        places.dedup();
        for (class, _) in places {
            counts[class].images += 1;
        }
        for (detection, outcome) in comparison.detections().iter().zip(&outcomes.detections) {
            let counts = &mut counts[detection.class];
            counts.detections += 1;
            counts.hits += usize::from(matches!(outcome, Outcome::Hit(_)));
            counts.false_ones += usize::from(matches!(outcome, Outcome::False));
        }
        counts
    }
}
