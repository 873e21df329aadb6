//! Boxes and points as offsets from priors, as SSD codes them (Liu et al. 2016, arXiv 1512.02325).

use super::number::Number;

/// The factors of the offsets of centres and of sizes: the "variances" of SSD.
const CENTRE: f32 = 0.1;
const SIZE: f32 = 0.2;

/// The box of a prior and its offsets. The offsets are scaled in 32 bits first, as PyTorch does.
pub fn decode<T: Number>([x, y, width, height]: [T; 4], offsets: [f32; 4]) -> [T; 4] {
    let along = |centre: T, size: T, shift: f32, growth: f32| {
        let size_there = size * T::from((growth * SIZE).exp());
        let first = centre + T::from(shift * CENTRE) * size - size_there / T::from(2.0);
        (first, first + size_there)
    };
    let (left, right) = along(x, width, offsets[0], offsets[2]);
    let (top, bottom) = along(y, height, offsets[1], offsets[3]);
    [left, top, right, bottom]
}

/// The points `[x, y]` of a prior and their offsets.
pub fn decode_points<T: Number, const N: usize>([x, y, width, height]: [T; 4], offsets: [[f32; 2]; N]) -> [[T; 2]; N] {
    offsets.map(|[across, down]| [x + T::from(across * CENTRE) * width, y + T::from(down * CENTRE) * height])
}
