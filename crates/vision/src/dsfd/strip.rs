//! Strips: adjacent rows of maps. Whole maps of a large level would take more memory than all other maps.

use std::ops::Range;

use burn::tensor::Tensor;
use nn::layers::{After, Conv2d, Execution};

/// The size of strips: the rows of as many pixels as `pixels`, but not fewer than `rows`.
#[derive(Clone, Copy, Debug)]
pub(super) struct StripSize {
    pub(super) pixels: usize,
    pub(super) rows: usize,
}

impl StripSize {
    /// The strips of maps of a height and width, with about as many rows each.
    pub(super) fn of(self, [height, width]: [usize; 2]) -> impl Iterator<Item = Range<usize>> {
        let count = height.div_ceil((self.pixels / width.max(1)).max(self.rows));
        (0..count).map(move |index| height * index / count..height * (index + 1) / count)
    }
}

/// Some rows of maps.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) maps: Tensor<4>,
    pub(super) rows: Range<usize>,
    /// The rows of the whole maps.
    pub(super) height: usize,
    execution: Execution,
}

impl Part {
    /// All rows.
    pub(super) fn whole(maps: Tensor<4>, execution: Execution) -> Self {
        let [height, _] = execution.size(&maps);
        Self { maps, rows: 0..height, height, execution }
    }

    /// The height of the whole maps, and their width.
    pub(super) fn size(&self) -> [usize; 2] {
        [self.height, self.execution.size(&self.maps)[1]]
    }

    /// These rows, and up to `reach` rows above and below them.
    pub(super) fn around(&self, rows: &Range<usize>, reach: usize) -> Self {
        let rows = widened(rows, reach, self.height);
        let maps = self.execution.rows(self.maps.clone(), within(&rows, &self.rows));
        Self { maps, rows, ..*self }
    }

    /// The channels of parts with the same rows, one after the other.
    pub(super) fn joined(parts: [Self; 3]) -> Self {
        let maps = parts.each_ref().map(|part| part.maps.clone());
        let [first, ..] = parts;
        Self { maps: first.execution.concatenate(maps), ..first }
    }

    /// After layers that keep the size. The outermost rows are wrong where the whole maps have more rows that the layers read.
    pub(super) fn map(self, layers: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Self {
        Self { maps: layers(self.maps), ..self }
    }

    /// After a convolution and `ReLU`, of which the same is true.
    pub(super) fn convolved(self, conv: &Conv2d) -> Self {
        self.map(|maps| conv.forward(maps, None, &After::LeakyReLU(0.0)))
    }
}

/// Rows of maps of a height, and up to `reach` rows above and below them.
pub(super) fn widened(rows: &Range<usize>, reach: usize, height: usize) -> Range<usize> {
    rows.start.saturating_sub(reach)..(rows.end + reach).min(height)
}

/// Where rows are among others.
pub(super) fn within(rows: &Range<usize>, others: &Range<usize>) -> Range<usize> {
    rows.start - others.start..rows.end - others.start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_are_all_rows() {
        for (size, pixels, rows, expected) in [
            ([7, 10], 1000, 1, vec![[0, 7]]),
            ([7, 10], 39, 2, vec![[0, 2], [2, 4], [4, 7]]),
            ([7, 10], 39, 4, vec![[0, 3], [3, 7]]),
            ([3, 10], 1, 1, vec![[0, 1], [1, 2], [2, 3]]),
            ([3, 10], usize::MAX, 1, vec![[0, 3]]),
        ] {
            let strips = StripSize { pixels, rows };
            let found = strips.of(size).map(|rows| [rows.start, rows.end]);
            assert_eq!(found.collect::<Vec<_>>(), expected, "{size:?} with {strips:?}");
        }
    }

    #[test]
    fn rows_around_a_strip_end_with_the_maps() {
        assert_eq!(widened(&(4..6), 3, 8), 1..8);
        assert_eq!(widened(&(4..6), 5, 20), 0..11);
        assert_eq!(within(&(4..6), &(1..8)), 3..5);
    }
}
