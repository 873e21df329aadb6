//! Detections of one class in one picture, and the objects that they are.

use std::array;

use crate::evaluation::comparison::{BoundingBox, Detection, Truth};

use super::{AREA_RANGES, AREAS, IOUS, iou_thresholds};

/// The most detections of a class in a picture that are looked at.
pub(super) const MAX_DETECTIONS: usize = 100;

/// A detection of a class, and what became of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matched {
    /// Index into the comparison's detections.
    pub(super) detection: usize,
    pub(super) score: f64,
    /// Its place among the detections of its class and picture, by score: 0 to 99.
    pub(super) rank: usize,
    /// For each range of areas, a bit for each IoU threshold: whether the detection matched an object that counts.
    pub(super) hits: [u16; AREAS],
    /// The same: whether the detection counts neither way.
    pub(super) ignored: [u16; AREAS],
    /// The object of any area that it matched at the lowest IoU, as an index into the comparison's objects.
    pub(super) truth: Option<usize>,
}

/// An object that overlaps a detection enough for the lowest threshold.
#[derive(Clone, Copy)]
struct Candidate {
    /// Place among the picture's objects.
    place: usize,
    iou: f64,
}

/// IoU as COCO has it: with a crowd, the share of the detection that lies within it.
fn overlap(detection: &BoundingBox, truth: &Truth) -> f64 {
    let shared = detection.intersection(&truth.bounds);
    if shared == 0.0 {
        return 0.0;
    }
    let union = if truth.crowd { detection.area() } else { detection.area() + truth.bounds.area() - shared };
    shared / union
}

/// Whether an area lies outside of a range, whose ends belong to it.
pub(super) fn is_outside(area: f64, range: usize) -> bool {
    let [least, most] = AREA_RANGES[range];
    area < least || area > most
}

/// The candidate of highest IoU, the later one of equals, that fits and reaches the threshold. Returns its place among the objects.
fn highest(candidates: &[Candidate], least: f64, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let mut found: Option<&Candidate> = None;
    for candidate in candidates {
        let enough = found.map_or(least, |found| found.iou);
        if candidate.iou >= enough && fits(candidate.place) {
            found = Some(candidate);
        }
    }
    found.map(|found| found.place)
}

/// Matches the detections of a class in a picture, in descending order of score. Each takes the free object of highest IoU. Objects that
/// do not count are tried if no other is left, and a crowd is always free.
pub(super) fn match_picture(
    detections: &[Detection],
    truths: &[Truth],
    ranked: &[usize],
    objects: &[usize],
    matched: &mut Vec<Matched>,
) {
    // A match needs at least this IoU: at 1 an inexact division must not decide.
    let least = iou_thresholds().map(|threshold| threshold.min(1.0 - 1e-10));
    let object = |place: usize| &truths[objects[place]];
    // For each range of areas and object, a bit for each IoU threshold.
    let mut taken: [Vec<u16>; AREAS] = array::from_fn(|_| vec![0; objects.len()]);
    let mut candidates: Vec<Candidate> = Vec::new();
    for (rank, &index) in ranked.iter().take(MAX_DETECTIONS).enumerate() {
        let bounds = &detections[index].bounds;
        let overlaps = (0..objects.len()).map(|place| Candidate { place, iou: overlap(bounds, object(place)) });
        candidates.clear();
        candidates.extend(overlaps.filter(|candidate| candidate.iou >= least[0]));
        let best = candidates.iter().fold(0.0, |best: f64, candidate| best.max(candidate.iou));
        let (mut hits, mut ignored, mut truth) = ([0; AREAS], [0; AREAS], None);
        for (area, taken) in taken.iter_mut().enumerate() {
            if is_outside(bounds.area(), area) {
                ignored[area] = (1 << IOUS) - 1;
            }
            let counts = |place: usize| object(place).counts() && !is_outside(object(place).area, area);
            for (step, &least) in least.iter().enumerate().take_while(|&(_, &least)| least <= best) {
                let bit = 1 << step;
                let is_free = |place: usize| taken[place] & bit == 0 || object(place).crowd;
                if let Some(place) = highest(&candidates, least, |place| counts(place) && is_free(place)) {
                    hits[area] |= bit;
                    ignored[area] &= !bit;
                    taken[place] |= bit;
                    if area == 0 && step == 0 {
                        truth = Some(objects[place]);
                    }
                } else if let Some(place) = highest(&candidates, least, |place| !counts(place) && is_free(place)) {
                    ignored[area] |= bit;
                    taken[place] |= bit;
                }
            }
        }
        matched.push(Matched { detection: index, score: detections[index].score, rank, hits, ignored, truth });
    }
}
