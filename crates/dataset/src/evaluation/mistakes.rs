//! What is wrong with the detections that are wrong, and which objects are missed.

use super::by_image::ByImage;
use super::comparison::Comparison;
use super::outcome::{Outcome, Outcomes};

/// The least IoU of a detection that found its place.
const PLACED: f64 = 0.5;
/// The least IoU of a detection that means an object.
const MEANT: f64 = 0.1;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// There is an object, of another class.
    WrongClass,
    /// Another detection has the object.
    Duplicate,
    /// There is an object of the class, and the box does not fit: its IoU is between 0.1 and 0.5.
    Misplaced,
    /// There is nothing.
    Background,
    /// No detection means the object.
    Missed,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::WrongClass, Self::Duplicate, Self::Misplaced, Self::Background, Self::Missed];

    /// The kind in two words at most.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WrongClass => "wrong class",
            Self::Duplicate => "duplicate",
            Self::Misplaced => "misplaced box",
            Self::Background => "nothing there",
            Self::Missed => "missed",
        }
    }
}

/// A detection that is wrong, or an object that is missed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mistake {
    /// What is wrong.
    pub kind: Kind,
    /// Index into the comparison's pictures.
    pub image: usize,
    /// The wrong detection; `None` for a missed object.
    pub detection: Option<usize>,
    /// The object that it means, or that is missed; `None` if there is nothing.
    pub truth: Option<usize>,
    /// The IoU of the two; 0 without both.
    pub iou: f64,
}

/// All mistakes of the detections with at least a score.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mistakes {
    /// Wrong detections, the surest first, then missed objects, the largest first.
    pub all: Vec<Mistake>,
}

impl Mistakes {
    /// Finds the mistakes.
    #[must_use]
    pub fn of(comparison: &Comparison, outcomes: &Outcomes, least_score: f64) -> Self {
        let truths = ByImage::of(comparison.images().len(), comparison.truths().iter().map(|truth| truth.image));
        let mut is_meant = vec![false; comparison.truths().len()];
        let mut wrong = Vec::new();
        for (index, (detection, outcome)) in comparison.detections().iter().zip(&outcomes.detections).enumerate() {
            if detection.score < least_score {
                continue;
            }
            match *outcome {
                Outcome::Hit(truth) => is_meant[truth] = true,
                Outcome::False => {
                    let mistake = wrong_detection(comparison, truths.get(detection.image), index);
                    if let Some(truth) = mistake.truth {
                        is_meant[truth] = true;
                    }
                    wrong.push(mistake);
                }
                Outcome::Ignored | Outcome::Beyond => {}
            }
        }
        let score =
            |mistake: &Mistake| mistake.detection.map_or(0.0, |detection| comparison.detections()[detection].score);
        wrong.sort_by(|one, other| score(other).total_cmp(&score(one)));
        let mut missed: Vec<usize> = (0..comparison.truths().len())
            .filter(|&truth| !is_meant[truth] && comparison.truths()[truth].counts())
            .collect();
        missed.sort_by(|&one, &other| comparison.truths()[other].area.total_cmp(&comparison.truths()[one].area));
        wrong.extend(missed.into_iter().map(|truth| Mistake {
            kind: Kind::Missed,
            image: comparison.truths()[truth].image,
            detection: None,
            truth: Some(truth),
            iou: 0.0,
        }));
        Self { all: wrong }
    }

    /// How many mistakes of a kind there are.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.all.iter().filter(|mistake| mistake.kind == kind).count()
    }

    /// The surest wrong detections and the largest missed objects, at most `most` of each.
    #[must_use]
    pub fn worst(&self, most: usize) -> Vec<Mistake> {
        let of = |is_missed: bool| {
            self.all.iter().filter(move |mistake| (mistake.kind == Kind::Missed) == is_missed).take(most).copied()
        };
        of(false).chain(of(true)).collect()
    }
}

/// Says what is wrong with a detection that is false.
fn wrong_detection(comparison: &Comparison, truths: &[usize], index: usize) -> Mistake {
    let detection = &comparison.detections()[index];
    let best = |of_class: bool| {
        let mut best: Option<(usize, f64)> = None;
        for &truth in truths {
            let object = &comparison.truths()[truth];
            let iou = detection.bounds.iou(&object.bounds);
            if object.counts()
                && (object.class == detection.class) == of_class
                && iou > best.map_or(0.0, |(_, iou)| iou)
            {
                best = Some((truth, iou));
            }
        }
        best
    };
    let (same, other) = (best(true), best(false));
    let (kind, meant) = match (same, other) {
        (Some((_, iou)), _) if iou >= PLACED => (Kind::Duplicate, same),
        (_, Some((_, iou))) if iou >= PLACED => (Kind::WrongClass, other),
        (Some((_, iou)), _) if iou >= MEANT => (Kind::Misplaced, same),
        _ => (Kind::Background, None),
    };
    Mistake {
        kind,
        image: detection.image,
        detection: Some(index),
        truth: meant.map(|(truth, _)| truth),
        iou: meant.map_or(0.0, |(_, iou)| iou),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::coco::Coco;
    use crate::evaluation::comparison::{BoundingBox, Detection, Image, Truth};

    #[test]
    fn every_kind_of_mistake_is_told_from_the_others() {
        let classes = vec!["cap".to_owned(), "mug".to_owned()];
        let mut comparison = Comparison::new(vec![Image { name: "a".to_owned(), place: None }], classes);
        let square = |left: f64, side: f64| BoundingBox::from_size([left, 0.0, side, side]);
        for (left, side) in [(0.0, 20.0), (100.0, 20.0), (200.0, 20.0), (300.0, 20.0), (400.0, 30.0)] {
            let bounds = square(left, side);
            let truth = Truth { image: 0, class: 0, bounds, area: bounds.area(), crowd: false, difficult: false };
            comparison.push_truth(truth).unwrap();
        }
        for (left, class, score) in
            [(0.0, 0, 0.9), (1.0, 0, 0.8), (100.0, 1, 0.7), (210.0, 0, 0.95), (600.0, 1, 0.6), (300.0, 0, 0.1)]
        {
            comparison.push_detection(Detection { image: 0, class, bounds: square(left, 20.0), score }).unwrap();
        }
        let mistakes = Mistakes::of(&comparison, &Coco::evaluate(&comparison).outcomes, 0.5);
        let kinds: Vec<_> = mistakes.all.iter().map(|mistake| (mistake.kind, mistake.truth)).collect();
        let expected = [
            (Kind::Misplaced, Some(2)),
            (Kind::Duplicate, Some(0)),
            (Kind::WrongClass, Some(1)),
            (Kind::Background, None),
            (Kind::Missed, Some(4)),
            (Kind::Missed, Some(3)),
        ];
        assert_eq!(kinds, expected);
        assert_eq!(Kind::ALL.map(|kind| mistakes.count(kind)), [1, 1, 1, 1, 2]);
        let worst: Vec<_> = mistakes.worst(1).iter().map(|mistake| mistake.kind).collect();
        assert_eq!(worst, [Kind::Misplaced, Kind::Missed]);
    }
}
