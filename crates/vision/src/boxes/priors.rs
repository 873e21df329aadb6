//! The priors of a picture: boxes on grids, which a network moves and scales.

/// A grid of priors: one for each size, at every step down and across.
#[derive(Clone, Copy, Debug)]
pub struct Level<'a> {
    /// Pixels from centre to centre.
    pub step: usize,
    /// Widths and heights, in pixels.
    pub sizes: &'a [[f64; 2]],
}

/// The priors of a picture, level after level, row after row. None of them is kept in memory.
#[derive(Clone, Debug)]
pub struct Priors<'a> {
    levels: &'a [Level<'a>],
    width: usize,
    height: usize,
}

impl<'a> Priors<'a> {
    /// Of a picture of this size in pixels.
    pub fn new(levels: &'a [Level<'a>], width: usize, height: usize) -> Self {
        Self { levels, width, height }
    }

    /// The rows and columns of each level's grid. Its last row and column may have their centres beyond the edge.
    pub fn grids(&self) -> impl Iterator<Item = [usize; 2]> + '_ {
        self.levels.iter().map(|level| [self.height.div_ceil(level.step), self.width.div_ceil(level.step)])
    }

    /// The number of all priors.
    pub fn count(&self) -> usize {
        self.grids().zip(self.levels).map(|([rows, columns], level)| rows * columns * level.sizes.len()).sum()
    }

    /// The prior of an index: `[centre x, centre y, width, height]`, in multiples of the picture's width and height.
    ///
    /// # Panics
    /// If there are not as many priors.
    pub fn at(&self, index: usize) -> [f64; 4] {
        let mut rest = index;
        for ([rows, columns], level) in self.grids().zip(self.levels) {
            let here = rows * columns * level.sizes.len();
            if rest >= here {
                rest -= here;
                continue;
            }
            let (cell, [width, height]) = (rest / level.sizes.len(), level.sizes[rest % level.sizes.len()]);
            let centre = |place: usize, size: usize| (place as f64 + 0.5) * level.step as f64 / size as f64;
            return [
                centre(cell % columns, self.width),
                centre(cell / columns, self.height),
                width / self.width as f64,
                height / self.height as f64,
            ];
        }
        panic!("prior {index} of {}", self.count());
    }
}
