//! What became of each detection.

/// What became of a detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is the object of this index.
    Hit(usize),
    /// There is no such object, or another detection has it.
    False,
    /// It counts neither way: its object is a crowd or difficult.
    Ignored,
    /// It was not looked at: its picture has enough detections with higher scores.
    Beyond,
}

/// What became of all detections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// One for each detection, in the comparison's order.
    pub detections: Vec<Outcome>,
}

impl Outcomes {
    /// The detection of each object, in the order of the comparison's objects; `None` for one that was missed.
    #[must_use]
    pub fn found(&self, truths: usize) -> Vec<Option<usize>> {
        let mut found = vec![None; truths];
        for (detection, outcome) in self.detections.iter().enumerate() {
            if let Outcome::Hit(truth) = outcome
                && let Some(place) = found.get_mut(*truth)
            {
                *place = Some(detection);
            }
        }
        found
    }
}
