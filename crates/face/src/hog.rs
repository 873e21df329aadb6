//! Histograms of oriented gradients, after Felzenszwalb, Girshick, McAllester and Ramanan, *Object Detection with
//! Discriminatively Trained Part-Based Models* (PAMI 2010), section 6. The results are those of dlib's
//! `extract_fhog_features` with cells of 8 pixels.

use std::array;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::gradient::{DIRECTIONS, Gradients};
use crate::packed::Packed;

/// Width and height of a cell in pixels.
pub(crate) const CELL: usize = 8;
/// Features of a cell: 18 signed directions, 9 unsigned ones, 4 of texture.
pub(crate) const PLANES: usize = 31;

/// The count of readable numbers after each row, so that vectors may read past its end.
pub(crate) const SLACK: usize = 32;
/// Rows of cells that one task computes.
const BAND: usize = 16;

/// The features of a picture: `rows` x [`PLANES`] x `stride` numbers, with a border of zeros for the scanning window.
/// The outermost ring of cells has no features.
pub(crate) struct Hog {
    /// The number of cells with features, down and across.
    pub(crate) inner: (usize, usize),
    /// The length of a row of one plane, border included.
    stride: usize,
    values: Vec<f32>,
}

impl Hog {
    /// Computes the features of a picture. `window` is the scanning window in cells (rows, columns). `None` where the
    /// picture is so small that no cell has features.
    pub(crate) fn of(picture: &Packed, window: (usize, usize)) -> Option<Self> {
        let cells = |size: usize| (size as f32 / CELL as f32 + 0.5) as usize;
        let (rows, columns) = (cells(picture.height), cells(picture.width));
        if rows <= 2 || columns <= 2 {
            return None;
        }
        let inner = (rows - 2, columns - 2);
        let border = (window.0 - 1, window.1 - 1);
        let stride = inner.1 + border.1;
        let mut values = vec![0.0; (inner.0 + border.0) * PLANES * stride + SLACK];
        let arch = Arch::new();
        let histograms = Histograms::of(picture, rows, columns, arch);
        let blocks = Blocks::of(&histograms);
        let (above, left) = (border.0 / 2, border.1 / 2);
        values.par_chunks_exact_mut(PLANES * stride).skip(above).take(inner.0).enumerate().for_each(|(row, planes)| {
            arch.dispatch(Features { histograms: &histograms, blocks: &blocks, row, stride, left, planes });
        });
        Some(Self { inner, stride, values })
    }

    /// A row of a plane: the border's zeros, the features, zeros again, and [`SLACK`] unspecified numbers.
    pub(crate) fn row(&self, plane: usize, row: usize) -> &[f32] {
        &self.values[(row * PLANES + plane) * self.stride..][..self.stride + SLACK]
    }
}

/// The histogram of each cell, gradient lengths summed by direction: `rows` x [`DIRECTIONS`] x `columns`.
struct Histograms {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

/// The contributions of the pixels between the centres of four cells. Each direction has four sums, one a cell: top
/// left, bottom left, top right, bottom right.
type Square = [[f32; 4]; DIRECTIONS];

impl Histograms {
    fn of(picture: &Packed, rows: usize, columns: usize, arch: Arch) -> Self {
        let row_length = DIRECTIONS * columns;
        let mut values = vec![0.0; rows * row_length];
        values.par_chunks_mut(BAND * row_length).enumerate().for_each(|(band, values)| {
            let first = band * BAND;
            let last = first + values.len() / row_length;
            let mut squares = Squares::new(picture, rows, columns);
            // A row of cells needs the squares above and below it. Neighbouring bands compute the shared row twice.
            for row in first..=last {
                squares.fill(picture, row, arch);
                if row > first {
                    squares.add_to(&mut values[(row - 1 - first) * row_length..][..row_length], [0, 2]);
                }
                if row < last {
                    squares.add_to(&mut values[(row - first) * row_length..][..row_length], [1, 3]);
                }
            }
        });
        Self { rows, columns, values }
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * DIRECTIONS * self.columns..][..DIRECTIONS * self.columns]
    }
}

/// A row of squares. The first one reaches half a cell beyond the left edge.
struct Squares {
    squares: Vec<Square>,
    length: Vec<f32>,
    direction: Vec<u32>,
    /// The number of pixels that contribute, down and across, with the outermost, which have no gradient.
    visible: (usize, usize),
}

impl Squares {
    fn new(picture: &Packed, rows: usize, columns: usize) -> Self {
        let pixels = (columns + 1) * CELL;
        let visible = ((rows * CELL).min(picture.height), (columns * CELL).min(picture.width));
        Self {
            squares: vec![[[0.0; 4]; DIRECTIONS]; columns + 1],
            length: vec![0.0; pixels],
            direction: vec![0; pixels],
            visible,
        }
    }

    fn fill(&mut self, picture: &Packed, row: usize, arch: Arch) {
        self.squares.fill([[0.0; 4]; DIRECTIONS]);
        // Index 0 is half a cell to the left of the picture, and the first pixel has no gradient.
        let start = CELL / 2 + 1;
        let count = self.visible.1 - 2;
        for (within, shares) in SHARES.iter().enumerate() {
            let Some(y) = (row * CELL + within).checked_sub(CELL / 2) else { continue };
            if y == 0 || y + 1 >= self.visible.0 {
                continue;
            }
            let (length, direction) = (&mut self.length[start..][..count], &mut self.direction[start..][..count]);
            let rows = [picture.row(y - 1), picture.row(y), picture.row(y + 1)];
            arch.dispatch(Gradients { rows, length, direction });
            let (lengths, directions) = (self.length.as_chunks::<CELL>().0, self.direction.as_chunks::<CELL>().0);
            for ((square, lengths), directions) in self.squares.iter_mut().zip(lengths).zip(directions) {
                for x in 0..CELL {
                    let bin = &mut square[directions[x] as usize];
                    for (sum, share) in bin.iter_mut().zip(shares[x]) {
                        *sum += lengths[x] * share;
                    }
                }
            }
        }
    }

    /// Adds the squares' contributions to a row of cells. `corners` names the cell's corner in the square to its right,
    /// then in the square to its left.
    fn add_to(&self, cells: &mut [f32], corners: [usize; 2]) {
        let columns = self.squares.len() - 1;
        for (direction, cells) in cells.chunks_exact_mut(columns).enumerate() {
            for (cell, pair) in cells.iter_mut().zip(self.squares.windows(2)) {
                *cell += pair[0][direction][corners[1]] + pair[1][direction][corners[0]];
            }
        }
    }
}

/// The bilinear weights of a pixel's contributions to the four cells, by the pixel's row and column in its square.
const SHARES: [[[f32; 4]; CELL]; CELL] = {
    let mut shares = [[[0.0; 4]; CELL]; CELL];
    let mut y = 0;
    while y < CELL {
        let mut x = 0;
        while x < CELL {
            let (down, right) = ((y as f32 + 0.5) / CELL as f32, (x as f32 + 0.5) / CELL as f32);
            shares[y][x] = [(1.0 - down) * (1.0 - right), down * (1.0 - right), (1.0 - down) * right, down * right];
            x += 1;
        }
        y += 1;
    }
    shares
};

/// The normalization of blocks of 2 x 2 cells by their gradient energy. A row has as many blocks as cells.
struct Blocks {
    /// The value at which a histogram is truncated.
    limit: Vec<f32>,
    /// The factor of the truncated value.
    factor: Vec<f32>,
}

impl Blocks {
    fn of(histograms: &Histograms) -> Self {
        let columns = histograms.columns;
        let mut energy = vec![0.0; histograms.rows * columns];
        energy.par_chunks_exact_mut(columns).enumerate().for_each(|(row, energy)| {
            let row = histograms.row(row);
            for direction in 0..DIRECTIONS / 2 {
                let one = &row[direction * columns..][..columns];
                let opposite = &row[(direction + DIRECTIONS / 2) * columns..][..columns];
                for ((energy, one), opposite) in energy.iter_mut().zip(one).zip(opposite) {
                    *energy += (one + opposite) * (one + opposite);
                }
            }
        });
        let mut limit = vec![0.0; (histograms.rows - 1) * columns];
        for (limit, rows) in limit.chunks_exact_mut(columns).zip(energy.windows(2 * columns).step_by(columns)) {
            let (above, below) = rows.split_at(columns);
            for ((limit, above), below) in limit.iter_mut().zip(above.windows(2)).zip(below.windows(2)) {
                *limit = 0.2 * (above[0] + above[1] + below[0] + below[1] + 1e-4).sqrt();
            }
        }
        let factor = limit.iter().map(|limit| 0.1 / limit).collect();
        Self { limit, factor }
    }
}

/// Computes the features of one row of cells. They start at column `left` of each plane in `planes`.
struct Features<'a> {
    histograms: &'a Histograms,
    blocks: &'a Blocks,
    row: usize,
    stride: usize,
    left: usize,
    planes: &'a mut [f32],
}

impl WithSimd for Features<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { histograms, blocks, row, stride, left, planes } = self;
        let columns = histograms.columns;
        let count = columns - 2;
        // The four blocks that a cell belongs to: below right, above right, below left, above left.
        let places = [(1, 1), (0, 1), (1, 0), (0, 0)].map(|(down, right)| (row + down) * columns + right);
        let limits = places.map(|place| &blocks.limit[place..][..count]);
        let factors = places.map(|place| &blocks.factor[place..][..count]);
        let cells = histograms.row(row + 1);
        let of = |direction: usize| &cells[direction * columns + 1..][..count];

        let (directed, rest) = planes.split_at_mut(DIRECTIONS * stride);
        let (undirected, texture) = rest.split_at_mut(DIRECTIONS / 2 * stride);
        let mut texture: [&mut [f32]; 4] = {
            let mut parts = texture.chunks_exact_mut(stride).map(|plane| &mut plane[left..][..count]);
            array::from_fn(|_| parts.next().unwrap_or_default())
        };
        for (direction, plane) in directed.chunks_exact_mut(stride).enumerate() {
            let (out, histogram) = (&mut plane[left..][..count], of(direction));
            for x in 0..count {
                let mut sum = 0.0;
                for block in 0..4 {
                    let part = truncated(histogram[x], limits[block][x]) * factors[block][x];
                    sum += part;
                    texture[block][x] += part;
                }
                out[x] = sum;
            }
        }
        for texture in &mut texture {
            texture.iter_mut().for_each(|value| *value *= 2.0 * 0.2357);
        }
        for (direction, plane) in undirected.chunks_exact_mut(stride).enumerate() {
            let (out, one, opposite) = (&mut plane[left..][..count], of(direction), of(direction + DIRECTIONS / 2));
            for x in 0..count {
                let histogram = one[x] + opposite[x];
                let mut sum = 0.0;
                for block in 0..4 {
                    sum += truncated(histogram, limits[block][x]) * factors[block][x];
                }
                out[x] = sum;
            }
        }
    }
}

/// The smaller number. This is one instruction, while `f32::min` also handles NaN.
#[inline(always)]
fn truncated(value: f32, limit: f32) -> f32 {
    if value < limit { value } else { limit }
}
