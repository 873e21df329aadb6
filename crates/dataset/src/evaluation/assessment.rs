//! All that is computed of a comparison.

use std::str::FromStr;

use super::class_counts::ClassCounts;
use super::coco::Coco;
use super::comparison::Comparison;
use super::confusion::Confusion;
use super::mistakes::Mistakes;
use super::outcome::Outcomes;
use super::score_curve::{ScoreCurve, ScorePoint};
use super::voc::Voc;

/// Whose rules say which detection is an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Those of COCO, as pycocotools has them.
    Coco,
    /// Those of PASCAL VOC, as Cartucho's mAP has them.
    Voc,
}

impl FromStr for Style {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "coco" => Ok(Self::Coco),
            "voc" => Ok(Self::Voc),
            _ => Err("coco and voc work".to_owned()),
        }
    }
}

/// The figures of one style.
#[derive(Debug, Clone)]
pub enum Figures {
    /// COCO's.
    Coco(Coco),
    /// PASCAL VOC's.
    Voc(Voc),
}

/// All that is computed of a comparison.
#[derive(Debug, Clone)]
pub struct Assessment {
    /// The figures of the style.
    pub figures: Figures,
    /// In the comparison's order.
    pub classes: Vec<ClassCounts>,
    /// Precision and recall of all classes, at IoU 0.5.
    pub scores: ScoreCurve,
    /// The same of each class.
    pub class_scores: Vec<ScoreCurve>,
    /// Where detections are used: confusions and mistakes are of those with at least this score.
    pub threshold: ScorePoint,
    /// Whether the threshold is the score with the best F1, not one that was asked for.
    pub is_best: bool,
    /// Which class is taken for which.
    pub confusion: Confusion,
    /// What is wrong.
    pub mistakes: Mistakes,
}

impl Figures {
    /// What became of each detection.
    #[must_use]
    pub fn outcomes(&self) -> &Outcomes {
        match self {
            Self::Coco(coco) => &coco.outcomes,
            Self::Voc(voc) => &voc.outcomes,
        }
    }
}

impl Assessment {
    /// Computes all. Without a threshold, that with the best F1 over all classes is taken, or 0.5 if nothing is found.
    #[must_use]
    pub fn of(comparison: &Comparison, style: Style, threshold: Option<f64>) -> Self {
        let figures = match style {
            Style::Coco => Figures::Coco(Coco::evaluate(comparison)),
            Style::Voc => Figures::Voc(Voc::evaluate(comparison)),
        };
        let outcomes = figures.outcomes();
        let scores = ScoreCurve::of(comparison, outcomes);
        let best = scores.best();
        let is_best = threshold.is_none() && best.is_some();
        let threshold = match (threshold, best) {
            (None, Some(best)) => best,
            (threshold, _) => scores.at(threshold.unwrap_or(0.5)),
        };
        Self {
            classes: ClassCounts::of(comparison, outcomes),
            class_scores: ScoreCurve::of_classes(comparison, outcomes),
            threshold,
            is_best,
            confusion: Confusion::of(comparison, threshold.score),
            mistakes: Mistakes::of(comparison, outcomes, threshold.score),
            scores,
            figures,
        }
    }
}
