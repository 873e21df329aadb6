//! What the network shall say of a picture: `argmax_matcher.py`, `target_assigner.py` and `faster_rcnn_box_coder.py` of the Object
//! Detection API.

/// What is added to lengths before they are divided.
const EPSILON: f32 = 1e-8;

/// An object of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// Top, left, bottom and right, in multiples of the picture's height and width.
    pub corners: [f32; 4],
    /// From 0.
    pub class: usize,
    /// What its losses are multiplied with.
    pub weight: f32,
}

/// Which anchors are to find an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matcher {
    /// The least overlap, intersection over union, of an anchor with the object that it is to find.
    pub matched: f32,
    /// The overlap below which an anchor is to find nothing.
    pub unmatched: f32,
    /// Whether anchors below `unmatched` are to find nothing and those between both are ignored, and not the other way round.
    pub lower_are_negative: bool,
    /// Whether each object takes the anchor with the largest overlap, whatever that is.
    pub is_forced: bool,
}

/// What an anchor is to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The object of this index.
    Object(usize),
    /// Nothing.
    Background,
    /// It has no loss.
    Ignored,
}

/// The targets of a picture, anchor by anchor.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// What it is to find.
    pub matches: Vec<Match>,
    /// 0 for the background, else the class and 1.
    pub classes: Vec<usize>,
    /// What the loss of the class is multiplied with.
    pub class_weights: Vec<f32>,
    /// The encoding of the box, times the scales of the coder.
    pub boxes: Vec<[f32; 4]>,
    /// What the loss of the box is multiplied with.
    pub box_weights: Vec<f32>,
}

impl Matcher {
    /// What each anchor is to find among these objects.
    pub fn matches(&self, truths: &[Truth], anchors: &[[f32; 4]]) -> Vec<Match> {
        let overlaps = |truth: &Truth| anchors.iter().map(|anchor| overlap(truth.corners, *anchor)).collect();
        let overlaps: Vec<Vec<f32>> = truths.iter().map(overlaps).collect();
        // The first of equals.
        let best = |values: &mut dyn Iterator<Item = f32>| {
            values.enumerate().fold((0, f32::MIN), |best, next| if next.1 > best.1 { next } else { best })
        };
        let [below, between] = match self.lower_are_negative {
            true => [Match::Background, Match::Ignored],
            false => [Match::Ignored, Match::Background],
        };
        let of = |anchor: usize| {
            let (truth, value) = best(&mut overlaps.iter().map(|overlaps| overlaps[anchor]));
            match value {
                _ if truths.is_empty() => Match::Background,
                value if value < self.unmatched => below,
                value if value < self.matched => between,
                _ => Match::Object(truth),
            }
        };
        let mut matches: Vec<Match> = (0..anchors.len()).map(of).collect();
        if self.is_forced && !anchors.is_empty() {
            // Of objects that take one anchor, the first has it.
            for (truth, overlaps) in overlaps.iter().enumerate().rev() {
                matches[best(&mut overlaps.iter().copied()).0] = Match::Object(truth);
            }
        }
        matches
    }

    /// The targets of a picture. `scales` are those of the coder.
    pub fn targets(&self, truths: &[Truth], anchors: &[[f32; 4]], scales: [f32; 4]) -> Targets {
        let matches = self.matches(truths, anchors);
        let object = |index: usize| match matches[index] {
            Match::Object(truth) => Some(truths[truth]),
            _ => None,
        };
        let of = |index: usize| object(index).map_or([0.0; 4], |truth| encode(truth.corners, anchors[index], scales));
        let class_weight = |index: usize| match matches[index] {
            Match::Object(truth) => truths[truth].weight,
            Match::Background => 1.0,
            Match::Ignored => 0.0,
        };
        let indices = 0..anchors.len();
        Targets {
            classes: indices.clone().map(|index| object(index).map_or(0, |truth| truth.class + 1)).collect(),
            class_weights: indices.clone().map(class_weight).collect(),
            boxes: indices.clone().map(of).collect(),
            box_weights: indices.map(|index| object(index).map_or(0.0, |truth| truth.weight)).collect(),
            matches,
        }
    }
}

/// Intersection over union.
fn overlap(one: [f32; 4], other: [f32; 4]) -> f32 {
    let along = |first: usize, last: usize| (one[last].min(other[last]) - one[first].max(other[first])).max(0.0);
    let shared = along(0, 2) * along(1, 3);
    let area = |corners: [f32; 4]| (corners[2] - corners[0]) * (corners[3] - corners[1]);
    if shared == 0.0 { 0.0 } else { shared / (area(one) + area(other) - shared) }
}

/// A box as offsets from an anchor, both `[top, left, bottom, right]`: those of its centre's y and x, height and width.
fn encode(corners: [f32; 4], anchor: [f32; 4], scales: [f32; 4]) -> [f32; 4] {
    let along = |first: usize, last: usize| {
        let of = |corners: [f32; 4]| {
            let length = corners[last] - corners[first];
            (corners[first] + length / 2.0, length + EPSILON)
        };
        let ((centre, length), (from, unit)) = (of(corners), of(anchor));
        ((centre - from) / unit, (length / unit).ln())
    };
    let ((y, height), (x, width)) = (along(0, 2), along(1, 3));
    [y * scales[0], x * scales[1], height * scales[2], width * scales[3]]
}
