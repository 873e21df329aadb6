//! Convolutions whose maps are pooled at once.

use rayon::prelude::*;

use super::convolution::Convolution;
use super::extent::Extent;
use super::fused::{DenseEpilogue, Epilogue, Prologue};
use super::max_pool::MaxPool;
use super::prepared::prepared;
use super::scratch::Scratch;

/// Tasks of a thread.
const TASKS: usize = 4;
/// A window of 3x3 pixels at every second one.
const POOL: MaxPool = MaxPool { side: 3, stride: 2 };

/// A convolution, and `torch.nn.MaxPool2d(3, stride=2, padding=1)`. Its maps are four times as large as their pooled ones, and only
/// the rows of a window are in memory.
#[derive(Debug)]
pub struct Pooled<C>(C);

/// A convolution that can compute some rows of its output.
pub trait ByRow: Convolution {
    /// Computes the rows.
    type Rows<'a>: Rows
    where
        Self: 'a;

    /// The rows of the output for maps of an extent.
    fn rows<'a>(&'a self, extent: Extent, epilogue: &'a DenseEpilogue) -> Self::Rows<'a>;
}

/// The rows of a convolution's output.
pub trait Rows: Sync {
    /// What a task keeps from row to row.
    type Memory: Send;

    /// Memory of a task.
    fn memory(&self) -> Self::Memory;

    /// Begins an image at `row`. The rows are computed in order from there.
    fn start(&self, memory: &mut Self::Memory, row: usize);

    /// Computes a row of an image. `first` is the number of its first pixel, through all images.
    fn convolve(&self, image: &[f32], row: usize, first: usize, memory: &mut Self::Memory, out: &mut [f32]);
}

impl<C: ByRow> Pooled<C> {
    /// With the convolution before.
    pub fn new(convolution: C) -> Self {
        Self(convolution)
    }
}

impl<C: ByRow> Convolution for Pooled<C> {
    fn outputs(&self) -> usize {
        self.0.outputs()
    }

    fn out(&self, extent: Extent) -> Extent {
        self.0.out(extent).strided(POOL.stride)
    }

    fn forward(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]) {
        let Self(convolution) = self;
        let inputs = maps.len() / extent.pixels();
        let maps = &*prepared(prologue, maps, inputs);
        let epilogue = epilogue.dense(convolution.outputs());
        let convolved = &convolution.rows(extent, &epilogue);
        let (whole, pooled) = (convolution.out(extent), self.out(extent));
        let (row, pooled_row) = (whole.width * self.outputs(), pooled.width * self.outputs());
        // A task computes the rows that it shares with its neighbour once more.
        let some = pooled.height.div_ceil(TASKS * rayon::current_num_threads());
        let images = maps.chunks_exact(extent.height * extent.width * inputs).enumerate();
        let images = out.chunks_exact_mut(pooled.height * pooled_row).zip(images);
        let tasks: Vec<_> = images
            .flat_map(|(out, image)| {
                let parts = out.chunks_mut(some * pooled_row).enumerate();
                parts.map(move |(index, out)| (index * some, image, out))
            })
            .collect();
        let memory = || (convolved.memory(), Scratch::new(POOL.side * row));
        tasks.into_par_iter().for_each_init(memory, |(memory, rows), (first, (number, image), out)| {
            // Each row has the place of the one that is a window above it.
            let place = |y: usize| y % POOL.side * row..(y % POOL.side + 1) * row;
            let mut done = POOL.under(first, whole.height).start;
            convolved.start(memory, done);
            for (y, out) in (first..).zip(out.chunks_exact_mut(pooled_row)) {
                let under = POOL.under(y, whole.height);
                for y in done..under.end {
                    let pixel = (number * whole.height + y) * whole.width;
                    convolved.convolve(image, y, pixel, memory, &mut rows.values_mut()[place(y)]);
                }
                done = under.end;
                let rows: Vec<&[f32]> = under.map(|y| &rows.values()[place(y)]).collect();
                POOL.row(&rows, self.outputs(), out);
            }
        });
    }
}
