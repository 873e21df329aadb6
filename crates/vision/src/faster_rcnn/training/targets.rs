//! What the network should have answered: for anchors and for regions.

use super::losses::Example;
use super::matching::{Label, Sampling, matched};
use crate::faster_rcnn::coder::encode;
use crate::faster_rcnn::config::TrainingConfig;

/// The anchors of a picture that are trained with.
#[derive(Clone, Debug)]
pub(crate) struct AnchorTargets {
    /// Indices of anchors that stand for an object.
    pub(crate) objects: Vec<usize>,
    /// Indices of anchors of the background.
    pub(crate) background: Vec<usize>,
    /// The offsets of the former.
    pub(crate) offsets: Vec<[f32; 4]>,
    /// The objects of the former.
    #[cfg_attr(not(test), expect(dead_code, reason = "compared in tests"))]
    pub(crate) corners: Vec<[f32; 4]>,
}

pub(crate) fn of_anchors(
    example: &Example,
    anchors: &[[f32; 4]],
    config: &TrainingConfig,
    weights: [f32; 4],
    sampling: &mut Sampling,
) -> AnchorTargets {
    let matches = matched(&example.boxes, anchors.iter().copied(), config.anchors.overlaps, true);
    let [objects, background] = sampling.sample(&matches.labels, config.anchors.count, config.anchors.share);
    let corners: Vec<[f32; 4]> = objects.iter().map(|index| example.boxes[matches.objects[*index]]).collect();
    let offsets = objects.iter().zip(&corners).map(|(index, corners)| encode(anchors[*index], *corners, weights));
    AnchorTargets { offsets: offsets.collect(), objects, background, corners }
}

/// The regions of a picture that are trained with: those of objects, then those of the background.
#[derive(Clone, Debug)]
pub(crate) struct RegionTargets {
    pub(crate) corners: Vec<[f32; 4]>,
    /// The class of each, or the number of classes for the background.
    pub(crate) classes: Vec<usize>,
    /// The offsets of those of objects.
    pub(crate) offsets: Vec<[f32; 4]>,
}

pub(crate) fn of_regions(
    example: &Example,
    mut regions: Vec<[f32; 4]>,
    classes: usize,
    config: &TrainingConfig,
    weights: [f32; 4],
    sampling: &mut Sampling,
) -> RegionTargets {
    // The objects themselves are regions, so that there are good ones from the start.
    regions.extend(&example.boxes);
    let threshold = config.regions.overlaps[1];
    let matches = matched(&example.boxes, regions.iter().copied(), [threshold; 2], false);
    debug_assert!(!matches.labels.contains(&Label::Ignored));
    let [objects, background] = sampling.sample(&matches.labels, config.regions.count, config.regions.share);
    let object = |index: &usize| matches.objects[*index];
    let offsets = objects.iter().map(|index| encode(regions[*index], example.boxes[object(index)], weights));
    let of_objects = objects.iter().map(|index| example.classes[object(index)]);
    RegionTargets {
        offsets: offsets.collect(),
        classes: of_objects.chain(background.iter().map(|_| classes)).collect(),
        corners: objects.iter().chain(&background).map(|index| regions[*index]).collect(),
    }
}
