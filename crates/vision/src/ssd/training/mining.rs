//! Mining of hard examples: `HardExampleMiner` of the Object Detection API's `losses.py`.

use super::super::detections::intersection_over_union;
use super::targets::Match;

/// Which losses make an example hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HardBy {
    /// Those of classes and boxes together.
    Both,
    /// Those of classes.
    Classification,
    /// Those of boxes.
    Localization,
}

/// Which anchors count in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Miner {
    /// The most anchors of a picture; `None`: all.
    pub most: Option<usize>,
    /// An anchor goes if its box overlaps with that of a harder one by more, intersection over union.
    pub iou: f32,
    /// Which losses make an anchor hard.
    pub by: HardBy,
    /// The most anchors of the background for each that has an object; `None`: all.
    pub negatives_per_positive: Option<f32>,
    /// The fewest of them that count in any case.
    pub least_negatives: usize,
}

impl Miner {
    /// The anchors that count, hardest first. `boxes` are those that the network says now, and `losses` how hard they are.
    pub fn select(&self, boxes: &[[f32; 4]], losses: &[f32], matches: &[Match]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..boxes.len()).collect();
        order.sort_by(|one, other| losses[*other].total_cmp(&losses[*one]));
        let area = |index: usize| (boxes[index][2] - boxes[index][0]) * (boxes[index][3] - boxes[index][1]);
        let most = self.most.unwrap_or(boxes.len());
        let mut kept: Vec<usize> = Vec::new();
        for index in order {
            if kept.len() == most {
                break;
            }
            let overlaps = |other: &usize| {
                intersection_over_union([boxes[*other], boxes[index]], [area(*other), area(index)]) > self.iou
            };
            if !kept.iter().any(overlaps) {
                kept.push(index);
            }
        }
        let Some(ratio) = self.negatives_per_positive else { return kept };
        let positives = kept.iter().filter(|index| matches!(matches[**index], Match::Object(_))).count();
        let most = self.least_negatives.max((ratio * positives as f32) as usize);
        let mut negatives = 0;
        kept.retain(|index| match matches[*index] {
            Match::Object(_) => true,
            Match::Ignored => false,
            Match::Background => {
                negatives += 1;
                negatives <= most
            }
        });
        kept
    }
}
