//! 3x3 convolutions of stride 1 by F(4x4, 3x3) of Winograd's minimal filtering (Lavin and Gray 2016): 36 products instead of
//! 144 for every 4x4 outputs. The points are 0, ±3/4, ±3/2 and infinity, which lose a third of the digits that the usual
//! 0, ±1, ±2 lose.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::around::{Entry, Epilogue, Exit, Prologue};
use super::gemm::{self, COLUMNS, DEPTH, ROWS};
use super::pages::Pages;
use super::space::Space;

/// Outputs of a tile along one axis.
const TILE: usize = 4;
/// Inputs that they depend on.
const PATCH: usize = 6;
/// Products of a tile.
const POSITIONS: usize = PATCH * PATCH;
/// Pixels that a panel of tiles side by side depends on, across.
const SPAN: usize = TILE * COLUMNS + PATCH - TILE;
/// What the transformed values of the tiles worked on at once may take, in bytes, if all cores work on them, and if one does.
const WORKING_SET: usize = 12 << 20;
const LOCAL_SET: usize = 600 << 10;
/// Up to so many weights are read again for every part of a map.
const LOCAL_WEIGHTS: usize = 3 << 18;
/// Rows of tiles for each core, from which on a map is divided between them.
const BANDS: usize = 4;

/// The first points and their squares.
const A: f32 = 0.75;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;

/// The weights of a convolution, transformed.
#[derive(Debug)]
pub(crate) struct Winograd {
    inputs: usize,
    outputs: usize,
    /// A matrix of outputs by inputs for each position in a patch, packed by [`ROWS`] outputs; missing ones are zero.
    weights: Pages,
}

/// Tiles of a panel that lie side by side in the map.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Where in the panel.
    lane: usize,
    tiles: usize,
    /// The first output pixel.
    row: usize,
    column: usize,
}

/// The transformation of a kernel, as factors of its three values.
fn kernel_transform() -> [[f64; 3]; PATCH] {
    let (a, b) = (f64::from(A), f64::from(B));
    let row = |point: f64, norm: f64| [1.0 / norm, point / norm, point * point / norm];
    let (near, far) = (2.0 * a * a * (a * a - b * b), 2.0 * b * b * (b * b - a * a));
    [row(0.0, a * a * b * b), row(a, near), row(-a, near), row(b, far), row(-b, far), [0.0, 0.0, 1.0]]
}

/// The values of a kernel for each position.
fn transformed(kernel: &[f32; 9], factors: &[[f64; 3]; PATCH]) -> [f32; POSITIONS] {
    let mut values = [0.0; POSITIONS];
    for (down, values) in factors.iter().zip(values.as_chunks_mut::<PATCH>().0) {
        let of_column = |x: usize| (0..3).map(|y| down[y] * f64::from(kernel[3 * y + x])).sum::<f64>();
        let columns = [of_column(0), of_column(1), of_column(2)];
        for (across, value) in factors.iter().zip(values) {
            *value = (across[0] * columns[0] + across[1] * columns[1] + across[2] * columns[2]) as f32;
        }
    }
    values
}

impl Winograd {
    /// Of weights: outputs by inputs by 3 by 3.
    pub(crate) fn new(kernels: &[f32], outputs: usize, inputs: usize) -> Self {
        let factors = kernel_transform();
        let kernels = kernels.as_chunks::<9>().0;
        let strips = outputs.div_ceil(ROWS);
        let mut weights = Pages::new(POSITIONS * strips * ROWS * inputs);
        let mut tasks: Vec<Vec<&mut [f32]>> = (0..strips).map(|_| Vec::with_capacity(POSITIONS)).collect();
        for matrix in weights.values_mut().chunks_exact_mut(strips * ROWS * inputs).take(POSITIONS) {
            matrix.chunks_exact_mut(ROWS * inputs).zip(&mut tasks).for_each(|(strip, task)| task.push(strip));
        }
        tasks.into_par_iter().enumerate().for_each(|(strip, mut matrices)| {
            let rows = strip * ROWS..outputs.min((strip + 1) * ROWS);
            let mut six = [[0.0; ROWS]; POSITIONS];
            for input in 0..inputs {
                for (row, output) in rows.clone().enumerate() {
                    let values = transformed(&kernels[output * inputs + input], &factors);
                    six.iter_mut().zip(values).for_each(|(six, value)| six[row] = value);
                }
                for (matrix, six) in matrices.iter_mut().zip(&six) {
                    matrix[input * ROWS..][..ROWS].copy_from_slice(six);
                }
            }
        });
        Self { inputs, outputs, weights }
    }

    /// Output channels, and what is missing to whole strips.
    fn rows(&self) -> usize {
        self.outputs.next_multiple_of(ROWS)
    }

    /// The weights of a position: strips of inputs by [`ROWS`] outputs.
    fn matrix(&self, position: usize) -> &[[f32; ROWS]] {
        let size = self.rows() * self.inputs;
        self.weights.values()[position * size..][..size].as_chunks().0
    }

    /// Output channels.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// A map of `inputs` channels of `height` x `width` pixels to one of `outputs` channels of the same size.
    pub(crate) fn forward(
        &self,
        map: &[f32],
        size: [usize; 2],
        prologue: &Prologue,
        epilogue: &Epilogue,
        out: &mut [f32],
    ) {
        let work = Work { winograd: self, map, size, prologue, epilogue };
        let bands = size[0].div_ceil(TILE);
        if self.weights.values().len() <= LOCAL_WEIGHTS && bands >= BANDS * rayon::current_num_threads() {
            work.by_bands(out);
        } else {
            work.by_steps(out);
        }
    }
}

/// A convolution and what it is of.
#[derive(Clone, Copy)]
struct Work<'a> {
    winograd: &'a Winograd,
    map: &'a [f32],
    size: [usize; 2],
    prologue: &'a Prologue,
    epilogue: &'a Epilogue,
}

impl Work<'_> {
    fn tiles(&self) -> [usize; 2] {
        self.size.map(|size| size.div_ceil(TILE))
    }

    fn rows(&self) -> usize {
        self.winograd.rows()
    }

    /// How many panels of tiles may be worked on at once in so many bytes.
    fn panels_within(&self, bytes: usize) -> usize {
        bytes / (size_of::<f32>() * POSITIONS * COLUMNS * (self.winograd.inputs + self.rows()))
    }

    /// Every task does all the work on some rows of the map, for which the weights have to be small.
    fn by_bands(self, out: &mut [f32]) {
        let [height, width] = self.size;
        let [down, across] = self.tiles();
        let bands = down.div_ceil((4 * rayon::current_num_threads()).min(down));
        let mut tasks: Vec<Vec<&mut [f32]>> = (0..down.div_ceil(bands)).map(|_| Vec::new()).collect();
        for plane in out.chunks_exact_mut(height * width) {
            plane.chunks_mut(bands * TILE * width).zip(&mut tasks).for_each(|(rows, task)| task.push(rows));
        }
        let at_once = self.panels_within(LOCAL_SET).max(1);
        let panel_values = POSITIONS * COLUMNS;
        let sizes = [self.winograd.inputs, self.rows()].map(|channels| at_once * panel_values * channels);
        let space = || (Space::new(sizes[0]), Space::new(sizes[1]));
        tasks.into_par_iter().enumerate().for_each_init(space, |(patches, products), (task, mut out)| {
            let first_band = task * bands;
            let last_band = (first_band + bands).min(down);
            let (first, last) = (first_band * across, last_band * across);
            let panels = (last - first).div_ceil(COLUMNS);
            for panel in (0..panels).step_by(at_once) {
                let count = at_once.min(panels - panel);
                let runs: Vec<Vec<Run>> =
                    (panel..panel + count).map(|panel| runs(first + panel * COLUMNS, last, across)).collect();
                Arch::new().dispatch(Band {
                    work: self,
                    runs: &runs,
                    top: TILE * first_band,
                    patches: &mut patches.values_mut()[..count * panel_values * self.winograd.inputs],
                    products: &mut products.values_mut()[..count * panel_values * self.rows()],
                    out: &mut out,
                });
            }
        });
    }

    /// All tasks do one step on many tiles, then the next step, so that weights are read once for many.
    fn by_steps(self, out: &mut [f32]) {
        let [height, width] = self.size;
        let [down, across] = self.tiles();
        let (inputs, rows) = (self.winograd.inputs, self.rows());
        let panels = (across * down).div_ceil(COLUMNS);
        let panel_values = POSITIONS * COLUMNS;
        let at_once = self.panels_within(WORKING_SET).clamp(2, 64).min(panels);
        let mut patches = Space::new(at_once * panel_values * inputs);
        let mut products = Space::new(at_once * panel_values * rows);
        let arch = Arch::new();
        for first in (0..panels).step_by(at_once) {
            let count = at_once.min(panels - first);
            let runs: Vec<Vec<Run>> =
                (first..first + count).map(|panel| runs(panel * COLUMNS, across * down, across)).collect();
            let patches = &mut patches.values_mut()[..count * panel_values * inputs];
            patches.par_chunks_exact_mut(panel_values * inputs).zip(&runs).for_each(|(out, runs)| {
                arch.dispatch(Patches { work: self, runs, out });
            });
            let products = &mut products.values_mut()[..count * panel_values * rows];
            products.par_chunks_exact_mut(count * COLUMNS * rows).enumerate().for_each(|(position, out)| {
                let weights = self.winograd.matrix(position);
                arch.dispatch(Product { weights, patches, position, inputs, out: out.as_chunks_mut().0 });
            });
            out.par_chunks_exact_mut(height * width).enumerate().for_each(|(channel, out)| {
                let (products, exit) = (products.as_chunks().0, self.epilogue.channel(channel));
                arch.dispatch(Outputs { products, runs: &runs, channel, rows, exit, size: self.size, top: 0, out });
            });
        }
    }
}

/// The tiles from `first` on that fill a panel, of those before `last`.
fn runs(first: usize, last: usize, across: usize) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut lane = 0;
    while lane < COLUMNS && first + lane < last {
        let tile = first + lane;
        let (row, column) = (tile / across, tile % across);
        let tiles = (across - column).min(COLUMNS - lane).min(last - tile);
        runs.push(Run { lane, tiles, row: TILE * row, column: TILE * column });
        lane += tiles;
    }
    runs
}

/// All steps on some panels of tiles.
struct Band<'a, 'b> {
    work: Work<'a>,
    runs: &'a [Vec<Run>],
    /// The first row that is in `out`.
    top: usize,
    patches: &'a mut [f32],
    products: &'a mut [f32],
    /// Some rows of each output channel.
    out: &'a mut [&'b mut [f32]],
}

impl WithSimd for Band<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, runs, top, patches, products, out } = self;
        let (inputs, rows) = (work.winograd.inputs, work.rows());
        for (out, runs) in patches.chunks_exact_mut(POSITIONS * COLUMNS * inputs).zip(runs) {
            Patches { work, runs, out }.with_simd(simd);
        }
        for (position, out) in products.chunks_exact_mut(runs.len() * COLUMNS * rows).enumerate() {
            let (weights, out) = (work.winograd.matrix(position), out.as_chunks_mut().0);
            Product { weights, patches, position, inputs, out }.with_simd(simd);
        }
        for (channel, out) in out.iter_mut().enumerate() {
            let (products, exit) = (products.as_chunks().0, work.epilogue.channel(channel));
            Outputs { products, runs, channel, rows, exit, size: work.size, top, out }.with_simd(simd);
        }
    }
}

/// The transformed patches of a panel of tiles: position by channel by tile.
struct Patches<'a> {
    work: Work<'a>,
    runs: &'a [Run],
    out: &'a mut [f32],
}

impl WithSimd for Patches<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { work: Work { winograd, map, size: [height, width], prologue, .. }, runs, out } = self;
        let inputs = winograd.inputs;
        let out = out.as_chunks_mut::<COLUMNS>().0;
        let mut rows = [[0.0; SPAN]; PATCH];
        let mut columns = [[0.0; SPAN]; PATCH];
        let mut values = [[0.0; COLUMNS]; PATCH];
        for (channel, plane) in map.chunks_exact(height * width).enumerate() {
            let entry = prologue.channel(channel);
            for run in runs {
                for (y, row) in rows.iter_mut().enumerate() {
                    read_row(plane, height, width, run, y, entry, row);
                }
                for x in 0..SPAN {
                    let [d0, d1, d2, d3, d4, d5] =
                        [rows[0][x], rows[1][x], rows[2][x], rows[3][x], rows[4][x], rows[5][x]];
                    let (near, near_odd) = (d4 - B2 * d2, A * (d3 - B2 * d1));
                    let (far, far_odd) = (d4 - A2 * d2, B * (d3 - A2 * d1));
                    columns[0][x] = A2 * B2 * d0 - (A2 + B2) * d2 + d4;
                    columns[1][x] = near + near_odd;
                    columns[2][x] = near - near_odd;
                    columns[3][x] = far + far_odd;
                    columns[4][x] = far - far_odd;
                    columns[5][x] = A2 * B2 * d1 - (A2 + B2) * d3 + d5;
                }
                for (y, row) in columns.iter().enumerate() {
                    across(row, &mut values);
                    for (x, values) in values.iter().enumerate() {
                        let out = &mut out[(y * PATCH + x) * inputs + channel];
                        match run.tiles {
                            COLUMNS => *out = *values,
                            tiles => out[run.lane..run.lane + tiles].copy_from_slice(&values[..tiles]),
                        }
                    }
                }
            }
        }
    }
}

/// A row of the map as the tiles of a run need it, zeros beyond the edge.
#[inline(always)]
fn read_row(plane: &[f32], height: usize, width: usize, run: &Run, y: usize, entry: Entry, out: &mut [f32; SPAN]) {
    let Entry { scale, shift } = entry;
    let line = run.row + y;
    if line == 0 || line > height {
        *out = [0.0; SPAN];
        return;
    }
    let line = &plane[(line - 1) * width..line * width];
    if run.column > 0 && run.column + SPAN - 1 <= width {
        for (out, value) in out.iter_mut().zip(&line[run.column - 1..run.column + SPAN - 1]) {
            *out = value * scale + shift;
        }
        return;
    }
    let left = usize::from(run.column == 0);
    let line = &line[run.column + left - 1..(run.column + SPAN - 1).min(width)];
    *out = [0.0; SPAN];
    for (out, value) in out[left..].iter_mut().zip(line) {
        *out = value * scale + shift;
    }
}

/// The transformation along a row, for all tiles of a run.
#[inline(always)]
fn across(row: &[f32; SPAN], out: &mut [[f32; COLUMNS]; PATCH]) {
    let [zero, near, near_minus, far, far_minus, infinity] = out;
    for tile in 0..COLUMNS {
        let at = TILE * tile;
        let [d0, d1, d2, d3, d4, d5] = [row[at], row[at + 1], row[at + 2], row[at + 3], row[at + 4], row[at + 5]];
        let (even, odd) = (d4 - B2 * d2, A * (d3 - B2 * d1));
        let (far_even, far_odd) = (d4 - A2 * d2, B * (d3 - A2 * d1));
        zero[tile] = A2 * B2 * d0 - (A2 + B2) * d2 + d4;
        near[tile] = even + odd;
        near_minus[tile] = even - odd;
        far[tile] = far_even + far_odd;
        far_minus[tile] = far_even - far_odd;
        infinity[tile] = A2 * B2 * d1 - (A2 + B2) * d3 + d5;
    }
}

/// The products of one position: panel by output channel by tile.
struct Product<'a> {
    weights: &'a [[f32; ROWS]],
    patches: &'a [f32],
    position: usize,
    inputs: usize,
    out: &'a mut [[f32; COLUMNS]],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, patches, position, inputs, out } = self;
        let rows = weights.len() / inputs * ROWS;
        let panels = patches.as_chunks::<COLUMNS>().0.chunks_exact(POSITIONS * inputs);
        for (panel, out) in panels.zip(out.chunks_exact_mut(rows)) {
            let panel = &panel[position * inputs..][..inputs];
            for start in (0..inputs).step_by(DEPTH) {
                let end = (start + DEPTH).min(inputs);
                for (strip, out) in out.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
                    let block = gemm::multiply_packed(simd, &weights[strip * inputs..][start..end], &panel[start..end]);
                    if start == 0 {
                        *out = block;
                    } else {
                        for (out, block) in out.as_flattened_mut().iter_mut().zip(block.as_flattened()) {
                            *out += block;
                        }
                    }
                }
            }
        }
    }
}

/// The pixels of one output channel.
struct Outputs<'a> {
    products: &'a [[f32; COLUMNS]],
    runs: &'a [Vec<Run>],
    channel: usize,
    rows: usize,
    exit: Exit<'a>,
    size: [usize; 2],
    /// The first row that is in `out`.
    top: usize,
    out: &'a mut [f32],
}

impl WithSimd for Outputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { products, runs, channel, rows, exit, size: [height, width], top, out } = self;
        let of_position = runs.len() * rows;
        let mut columns = [[[0.0; COLUMNS]; PATCH]; TILE];
        let mut line = [[0.0; TILE]; COLUMNS];
        for (panel, runs) in runs.iter().enumerate() {
            let first = panel * rows + channel;
            for x in 0..PATCH {
                let m = |y: usize| &products[(y * PATCH + x) * of_position + first];
                let (m0, m1, m2, m3, m4, m5) = (m(0), m(1), m(2), m(3), m(4), m(5));
                for tile in 0..COLUMNS {
                    let (near, near_odd) = (m1[tile] + m2[tile], A * (m1[tile] - m2[tile]));
                    let (far, far_odd) = (m3[tile] + m4[tile], B * (m3[tile] - m4[tile]));
                    columns[0][x][tile] = m0[tile] + near + far;
                    columns[1][x][tile] = near_odd + far_odd;
                    columns[2][x][tile] = A2 * near + B2 * far;
                    columns[3][x][tile] = A2 * near_odd + B2 * far_odd + m5[tile];
                }
            }
            for (y, [m0, m1, m2, m3, m4, m5]) in columns.iter().enumerate() {
                for (tile, pixels) in line.iter_mut().enumerate() {
                    let (near, near_odd) = (m1[tile] + m2[tile], A * (m1[tile] - m2[tile]));
                    let (far, far_odd) = (m3[tile] + m4[tile], B * (m3[tile] - m4[tile]));
                    *pixels = [
                        m0[tile] + near + far,
                        near_odd + far_odd,
                        A2 * near + B2 * far,
                        A2 * near_odd + B2 * far_odd + m5[tile],
                    ];
                }
                for run in runs {
                    let row = run.row + y;
                    if row >= height {
                        continue;
                    }
                    let pixels = (TILE * run.tiles).min(width - run.column);
                    let line = &mut line[run.lane..].as_flattened_mut()[..pixels];
                    let start = row * width + run.column;
                    exit.finish(line, start);
                    out[start - top * width..][..pixels].copy_from_slice(line);
                }
            }
        }
    }
}
