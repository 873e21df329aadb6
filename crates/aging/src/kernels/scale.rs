//! A scale of StyleGAN2's generator: a doubling and a convolution, some rows at a time, so that what is in between stays in
//! the cache and takes little memory.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::around::{Epilogue, Prologue};
use super::filtering::{F43, Filtering};
use super::flex::Convolution;
use super::maps::Extent;
use super::nested::{Nested, Work};
use super::rgb::{RGB, StyledToRgb};
use super::space::Space;
use super::upsample::{Rows, Upsample};

/// A convolution, and what comes before and after it.
#[derive(Clone, Debug)]
pub(crate) struct Styled {
    pub(crate) convolution: Arc<Convolution>,
    pub(crate) prologue: Prologue,
    pub(crate) epilogue: Epilogue,
}

/// Two convolutions, the first of which doubles the size, while the second keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    doubling: Styled,
    keeping: Styled,
}

impl Scale {
    /// None if these are not such convolutions as can be done some rows at a time.
    pub(crate) fn new(doubling: Styled, keeping: Styled) -> Option<Self> {
        let fit =
            matches!((&*doubling.convolution, &*keeping.convolution), (Convolution::Upsample(_), Convolution::Same(_)));
        fit.then_some(Self { doubling, keeping })
    }

    fn convolutions(&self) -> (&Upsample, &Nested<F43>) {
        match (&*self.doubling.convolution, &*self.keeping.convolution) {
            (Convolution::Upsample(upsample), Convolution::Same(same)) => (upsample, same),
            _ => unreachable!("no scale is made of others"),
        }
    }

    /// Output channels.
    pub(super) fn outputs(&self) -> usize {
        self.convolutions().1.outputs()
    }

    /// What comes of a map.
    pub(super) fn out(&self, extent: Extent) -> Extent {
        self.convolutions().0.out(extent)
    }

    /// One map to one of twice the size.
    pub(super) fn forward(&self, map: &[f32], extent: Extent, out: &mut [f32]) {
        let row = self.out(extent).width * self.outputs();
        self.run(map, extent, |work, rows| {
            let out = &mut out[rows.start * row..rows.end * row];
            let mut bands: Vec<&mut [f32]> = out.chunks_mut(F43::OUTPUTS * row).collect();
            work.bands(0, &mut bands);
        });
    }

    /// One map to the colours of twice its size.
    pub(super) fn forward_to_rgb(&self, map: &[f32], extent: Extent, to_rgb: &StyledToRgb, out: &mut [f32]) {
        let (width, outputs) = (self.out(extent).width, self.outputs());
        self.run(map, extent, |work, rows| {
            let space = || (work.space(), Space::new(F43::OUTPUTS * width * outputs));
            let bands =
                out[rows.start * width * RGB..rows.end * width * RGB].par_chunks_mut(F43::OUTPUTS * width * RGB);
            bands.enumerate().for_each_init(space, |(space, band), (index, out)| {
                let band = &mut band.values_mut()[..out.len() / RGB * outputs];
                work.band(index, space, band);
                to_rgb.rows(rows.start + index * F43::OUTPUTS, band, out);
            });
        });
    }

    /// Tells which rows of outputs may be made, from the first to the last.
    fn run(&self, map: &[f32], extent: Extent, make: impl FnMut(Work<F43>, Range<usize>)) {
        let (upsample, same) = self.convolutions();
        let Extent { height, width, .. } = upsample.out(extent);
        let rows = upsample.rows_at_once(extent) + KEPT;
        let buffer = Space::new(rows.min(height + KEPT) * width * upsample.outputs());
        let Styled { prologue, epilogue, .. } = &self.keeping;
        let mut between = Between { same, prologue, epilogue, height, width, buffer, first: 0, made: 0, make };
        let Styled { prologue, epilogue, .. } = &self.doubling;
        upsample.forward_by_rows(map, extent, prologue, epilogue, &mut between);
    }
}

/// The most rows that are kept for the next ones: those of an unfinished row of tiles, one before and one after them.
const KEPT: usize = F43::OUTPUTS + 2;

/// Rows of the doubled map that are still needed.
struct Between<'a, M> {
    same: &'a Nested<F43>,
    prologue: &'a Prologue,
    epilogue: &'a Epilogue,
    height: usize,
    width: usize,
    buffer: Space,
    /// The first row that is in it.
    first: usize,
    /// Rows of outputs that were made.
    made: usize,
    make: M,
}

impl<M: FnMut(Work<F43>, Range<usize>)> Rows for Between<'_, M> {
    fn space(&mut self, rows: Range<usize>) -> &mut [f32] {
        let row = self.width * self.same.inputs();
        &mut self.buffer.values_mut()[(rows.start - self.first) * row..(rows.end - self.first) * row]
    }

    fn filled(&mut self, end: usize) {
        let row = self.width * self.same.inputs();
        // An output needs the row after its own, if there is one.
        let ready = if end == self.height { end } else { (end - 1) / F43::OUTPUTS * F43::OUTPUTS };
        if ready <= self.made {
            return;
        }
        let (prologue, exit) = (self.prologue.whole(self.same.inputs()), self.epilogue.exit(self.same.outputs()));
        let extent = Extent { images: 1, height: end - self.first, width: self.width };
        let maps = &self.buffer.values_mut()[..extent.height * row];
        let work = Work {
            above: self.made - self.first,
            pixel: self.made * self.width,
            tiles: [(ready - self.made).div_ceil(F43::OUTPUTS), self.width.div_ceil(F43::OUTPUTS)],
            ..self.same.work(maps, extent, &prologue, &exit)
        };
        (self.make)(work, self.made..ready);
        // The row before the next output's is needed again.
        let kept = (ready - 1 - self.first) * row;
        self.buffer.values_mut().copy_within(kept..(end - self.first) * row, 0);
        (self.first, self.made) = (ready - 1, ready);
    }
}
