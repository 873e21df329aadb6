//! From anchors to the regions that may hold an object (Ren et al. 2015, arXiv 1506.01497).

use super::coder::{clip, is_larger};
use super::config::Selection;
use crate::boxes::suppress;

/// A part of a picture that may hold an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Region {
    /// Left, top, right, bottom in pixels of the input.
    pub(crate) corners: [f32; 4],
    /// The logit of the probability that it holds one.
    pub(crate) logit: f32,
}

/// The anchors with the largest logits of a level: their indices, best first. Of equal ones the first comes first.
pub(crate) fn best(logits: &[f32], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let better = |one: &usize, other: &usize| logits[*other].total_cmp(&logits[*one]).then(one.cmp(other));
    if most < order.len() {
        order.select_nth_unstable_by(most, better);
        order.truncate(most);
    }
    order.sort_unstable_by(better);
    order
}

/// The regions of a picture of this size in pixels, best first, from the [best] anchors of each level after decoding.
pub(crate) fn choose(levels: Vec<Vec<Region>>, size: [f32; 2], selection: Selection) -> Vec<Region> {
    let mut chosen = Vec::new();
    for level in levels {
        let clipped = |region: Region| {
            let is_number = region.corners.iter().chain([&region.logit]).all(|value| value.is_finite());
            let corners = clip(region.corners, size);
            (is_number && is_larger(corners, selection.least_side)).then_some((corners, region.logit))
        };
        let (boxes, logits): (Vec<_>, Vec<_>) = level.into_iter().filter_map(clipped).unzip();
        let stay = suppress(&boxes, &logits, selection.overlap).into_iter();
        chosen.extend(stay.map(|index| Region { corners: boxes[index], logit: logits[index] }));
    }
    // Stable: of equal ones, the larger level comes first.
    chosen.sort_by(|one, other| other.logit.total_cmp(&one.logit));
    chosen.truncate(selection.after);
    chosen
}
