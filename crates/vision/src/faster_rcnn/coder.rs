//! Boxes as offsets from other boxes, as Detectron2's `Box2BoxTransform` codes them (Girshick 2015, arXiv 1504.08083), in 32 bits.

/// Widths and heights grow by a factor of at most `1000 / 16`. The logarithm of it.
const MOST_GROWTH: f32 = 4.135_166_6;

/// A box `[left, top, right, bottom]` and its offsets become a box. The offsets are divided by the weights first.
pub(crate) fn decode(corners: [f32; 4], offsets: [f32; 4], weights: [f32; 4]) -> [f32; 4] {
    let along = |axis: usize| {
        let size = corners[axis + 2] - corners[axis];
        let centre = corners[axis] + 0.5 * size;
        let growth = (offsets[axis + 2] / weights[axis + 2]).min(MOST_GROWTH);
        let centre = offsets[axis] / weights[axis] * size + centre;
        let size = growth.exp() * size;
        (centre - 0.5 * size, centre + 0.5 * size)
    };
    let ((left, right), (top, bottom)) = (along(0), along(1));
    [left, top, right, bottom]
}

/// The offsets, times the weights, by which a box becomes another one.
pub(crate) fn encode(corners: [f32; 4], other: [f32; 4], weights: [f32; 4]) -> [f32; 4] {
    let along = |axis: usize| {
        let [size, other_size] = [corners, other].map(|corners| corners[axis + 2] - corners[axis]);
        let [centre, other_centre] = [corners[axis] + 0.5 * size, other[axis] + 0.5 * other_size];
        (weights[axis] * (other_centre - centre) / size, weights[axis + 2] * (other_size / size).ln())
    };
    let ((across, wider), (down, higher)) = (along(0), along(1));
    [across, down, wider, higher]
}

/// The part of a box in a picture of this size in pixels.
pub(crate) fn clip([left, top, right, bottom]: [f32; 4], [width, height]: [f32; 2]) -> [f32; 4] {
    [left.clamp(0.0, width), top.clamp(0.0, height), right.clamp(0.0, width), bottom.clamp(0.0, height)]
}

/// Whether a box is wider and higher than a side.
pub(crate) fn is_larger([left, top, right, bottom]: [f32; 4], side: f32) -> bool {
    right - left > side && bottom - top > side
}
