//! The anchors of a picture, as Detectron2's `DefaultAnchorGenerator` has them.

use super::config::{self, LEVELS};

/// The first level's pixels from centre to centre.
const STRIDE: usize = 4;

/// The anchors of each level: `[left, top, right, bottom]` in pixels of the input, row after row, in a row column after column.
#[derive(Clone, Debug)]
pub(crate) struct Anchors {
    levels: [Level; LEVELS],
}

#[derive(Clone, Debug)]
struct Level {
    stride: f32,
    offset: f32,
    /// Around the point 0, 0.
    shapes: Vec<[f32; 4]>,
}

impl Anchors {
    /// Of a configuration.
    pub(crate) fn new(config: &config::Anchors) -> Self {
        let mut index = 0;
        let levels = [(); LEVELS].map(|()| {
            let stride = STRIDE << index;
            let (sizes, ratios) = (&config.sizes[index], &config.ratios[index]);
            let shapes = sizes.iter().flat_map(|size| ratios.iter().map(|ratio| shape(*size, *ratio)));
            index += 1;
            Level { stride: stride as f32, offset: (config.offset * stride as f64) as f32, shapes: shapes.collect() }
        });
        Self { levels }
    }

    /// An anchor of a level whose maps have `columns`, by its index.
    pub(crate) fn at(&self, level: usize, columns: usize, index: usize) -> [f32; 4] {
        let Level { stride, offset, shapes } = &self.levels[level];
        let (cell, shape) = (index / shapes.len(), shapes[index % shapes.len()]);
        let centre = |place: usize| place as f32 * stride + offset;
        let (x, y) = (centre(cell % columns), centre(cell / columns));
        [x + shape[0], y + shape[1], x + shape[2], y + shape[3]]
    }
}

/// An anchor around 0, 0: the root of its area, and its height divided by its width.
fn shape(size: f64, ratio: f64) -> [f32; 4] {
    let width = (size * size / ratio).sqrt();
    let height = ratio * width;
    [-width / 2.0, -height / 2.0, width / 2.0, height / 2.0].map(|value| value as f32)
}
