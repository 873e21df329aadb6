//! The anchors of SSD (Liu et al. 2016, arXiv 1512.02325, section 2.2), as `multiple_grid_anchor_generator.py` of TensorFlow's Object
//! Detection API makes them.

/// The settings of `ssd_anchor_generator`: which boxes there are in a cell of each level.
#[derive(Clone, Debug, PartialEq)]
pub struct AnchorGenerator {
    /// The side of boxes at each level, in multiples of the picture's shorter side, and of one level more.
    pub scales: Vec<f32>,
    /// Width divided by height of a cell's boxes.
    pub aspect_ratios: Vec<f32>,
    /// The ratio of one more box, between the scales of a level and the next; `None` without one.
    pub interpolated_ratio: Option<f32>,
    /// Whether the first level has three boxes alone.
    pub reduce_first: bool,
    /// The height and width of a box of scale 1.
    pub base: [f32; 2],
}

impl AnchorGenerator {
    /// The number of levels.
    pub fn levels(&self) -> usize {
        self.scales.len().saturating_sub(1)
    }

    /// Scale and ratio of the boxes of a level's cells.
    fn boxes(&self, level: usize) -> Vec<(f32, f32)> {
        let (scale, next) = (self.scales[level], self.scales[level + 1]);
        if level == 0 && self.reduce_first {
            return vec![(0.1, 1.0), (scale, 2.0), (scale, 0.5)];
        }
        let mut boxes: Vec<(f32, f32)> = self.aspect_ratios.iter().map(|ratio| (scale, *ratio)).collect();
        if let Some(ratio) = self.interpolated_ratio {
            boxes.push(((scale * next).sqrt(), ratio));
        }
        boxes
    }

    /// The boxes of each cell of a level.
    pub fn per_cell(&self, level: usize) -> usize {
        self.boxes(level).len()
    }

    /// All anchors, `[top, left, bottom, right]` in multiples of the picture's height and width: level by level, row by row, cell by
    /// cell. `grids` are the rows and columns of each level, `picture` is height and width in pixels.
    pub fn generate(&self, grids: &[[usize; 2]], picture: [usize; 2]) -> Vec<[f32; 4]> {
        let shorter = picture[0].min(picture[1]) as f32;
        let base = [0, 1].map(|axis| shorter / picture[axis] as f32 * self.base[axis]);
        let mut anchors = Vec::new();
        for (level, [rows, columns]) in grids.iter().copied().enumerate() {
            let boxes = self.boxes(level);
            let sizes: Vec<[f32; 2]> = boxes
                .iter()
                .map(|(scale, ratio)| [scale / ratio.sqrt() * base[0], scale * ratio.sqrt() * base[1]])
                .collect();
            let centre = |place: usize, count: usize| {
                let step = 1.0 / count as f32;
                place as f32 * step + 0.5 * step
            };
            for row in 0..rows {
                for column in 0..columns {
                    let (y, x) = (centre(row, rows), centre(column, columns));
                    let corners = |[height, width]: &[f32; 2]| {
                        [y - 0.5 * height, x - 0.5 * width, y + 0.5 * height, x + 0.5 * width]
                    };
                    anchors.extend(sizes.iter().map(corners));
                }
            }
        }
        anchors
    }
}
