//! A scale of StyleGAN2's generator: an upsampling convolution and one that keeps the size. Both are computed in groups of rows,
//! so that the maps between them stay in the cache and take little memory.

use std::ops::Range;
use std::sync::Arc;

use nn::kernels::{Convolution, Epilogue, Extent, F43, MapOp, Maps, Prologue, Scratch, Tiling, Winograd, Winograd2d};
use rayon::prelude::*;

use super::styled::{Styled, StyledConvolution};
use super::to_rgb::{RGB, StyledToRgb, ToRgb};
use super::upsample::{Rows, Upsample};

/// Two convolutions of one map: the first doubles the size, the second keeps it.
#[derive(Debug)]
pub(in crate::sam) struct Scale {
    doubling: Styled<Upsample>,
    keeping: Styled<Winograd2d<F43>>,
}

/// The colours of a scale's map, added to the picture of the scale before. It takes two inputs: the map before, and the picture,
/// which has its size.
#[derive(Debug)]
pub(in crate::sam) struct ScaleToRgb {
    pub(in crate::sam) scale: Scale,
    pub(in crate::sam) to_rgb: Arc<ToRgb>,
    /// The factors of the map's channels.
    pub(in crate::sam) style: Prologue,
}

impl MapOp for Scale {
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize) {
        (self.out(inputs[0].extent), self.outputs())
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        self.double(inputs[0].values, inputs[0].extent, out);
    }
}

impl MapOp for ScaleToRgb {
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize) {
        (self.scale.out(inputs[0].extent), RGB)
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        let (map, picture) = (inputs[0], inputs[1]);
        let to_rgb = self.to_rgb.styled(&self.style, picture.values, self.scale.out(map.extent));
        self.scale.double_to_rgb(map.values, map.extent, &to_rgb, out);
    }
}

impl Scale {
    /// `None` for convolutions that cannot be computed in groups of rows.
    pub(in crate::sam) fn new(doubling: Styled<StyledConvolution>, keeping: Styled<StyledConvolution>) -> Option<Self> {
        let (StyledConvolution::Upsample(upsample), StyledConvolution::Same(same)) =
            (&*doubling.convolution, &*keeping.convolution)
        else {
            return None;
        };
        let (upsample, same) = (upsample.clone(), same.clone());
        Some(Self {
            doubling: Styled { convolution: upsample, prologue: doubling.prologue, epilogue: doubling.epilogue },
            keeping: Styled { convolution: same, prologue: keeping.prologue, epilogue: keeping.epilogue },
        })
    }

    /// Output channels.
    fn outputs(&self) -> usize {
        self.keeping.convolution.outputs()
    }

    /// The extent of the output.
    fn out(&self, extent: Extent) -> Extent {
        self.doubling.convolution.out(extent)
    }

    /// One map to one of twice the size.
    pub(super) fn double(&self, map: &[f32], extent: Extent, out: &mut [f32]) {
        let row = self.out(extent).width * self.outputs();
        self.run(map, extent, |tiling, rows| {
            let out = &mut out[rows.start * row..rows.end * row];
            let mut bands: Vec<&mut [f32]> = out.chunks_mut(F43::OUTPUTS * row).collect();
            tiling.bands(0, &mut bands);
        });
    }

    /// One map to a picture of twice its size.
    pub(super) fn double_to_rgb(&self, map: &[f32], extent: Extent, to_rgb: &StyledToRgb, out: &mut [f32]) {
        let (width, outputs) = (self.out(extent).width, self.outputs());
        self.run(map, extent, |tiling, rows| {
            let scratch = || (tiling.scratch(), Scratch::new(F43::OUTPUTS * width * outputs));
            let bands =
                out[rows.start * width * RGB..rows.end * width * RGB].par_chunks_mut(F43::OUTPUTS * width * RGB);
            bands.enumerate().for_each_init(scratch, |(scratch, band), (index, out)| {
                let band = &mut band.values_mut()[..out.len() / RGB * outputs];
                tiling.band(index, scratch, band);
                to_rgb.rows(rows.start + index * F43::OUTPUTS, band, out);
            });
        });
    }

    /// Calls `make` with the tiles of the rows that can be computed next, from the first row to the last.
    fn run(&self, map: &[f32], extent: Extent, make: impl FnMut(Tiling<F43>, Range<usize>)) {
        let (upsample, same) = (&*self.doubling.convolution, &*self.keeping.convolution);
        let Extent { height, width, .. } = upsample.out(extent);
        let rows = upsample.rows_at_once(extent) + KEPT;
        let buffer = Scratch::new(rows.min(height + KEPT) * width * upsample.outputs());
        let Styled { prologue, epilogue, .. } = &self.keeping;
        let mut between = Between { same, prologue, epilogue, height, width, buffer, first: 0, made: 0, make };
        let Styled { prologue, epilogue, .. } = &self.doubling;
        upsample.forward_by_rows(map, extent, prologue, epilogue, &mut between);
    }
}

/// The most rows that are kept for the next group: those of an incomplete row of tiles, one before and one after them.
const KEPT: usize = F43::OUTPUTS + 2;

/// The rows of the doubled map that are still needed.
struct Between<'a, M> {
    same: &'a Winograd2d<F43>,
    prologue: &'a Prologue,
    epilogue: &'a Epilogue,
    height: usize,
    width: usize,
    buffer: Scratch,
    /// The first row in the buffer.
    first: usize,
    /// Rows of outputs that are computed.
    made: usize,
    make: M,
}

impl<M: FnMut(Tiling<F43>, Range<usize>)> Rows for Between<'_, M> {
    fn rows(&mut self, rows: Range<usize>) -> &mut [f32] {
        let row = self.width * self.same.inputs();
        &mut self.buffer.values_mut()[(rows.start - self.first) * row..(rows.end - self.first) * row]
    }

    fn filled(&mut self, end: usize) {
        let row = self.width * self.same.inputs();
        // An output depends on the row after it, except in the last row.
        let ready = if end == self.height { end } else { (end - 1) / F43::OUTPUTS * F43::OUTPUTS };
        if ready <= self.made {
            return;
        }
        let (prologue, epilogue) = (self.prologue.dense(self.same.inputs()), self.epilogue.dense(self.same.outputs()));
        let extent = Extent { images: 1, height: end - self.first, width: self.width };
        let maps = &self.buffer.values_mut()[..extent.height * row];
        let tiling = Tiling {
            above: self.made - self.first,
            pixel: self.made * self.width,
            tiles: [(ready - self.made).div_ceil(F43::OUTPUTS), self.width.div_ceil(F43::OUTPUTS)],
            ..self.same.tiling(maps, extent, &prologue, &epilogue)
        };
        (self.make)(tiling, self.made..ready);
        // The next output depends on the row before it.
        let kept = (ready - 1 - self.first) * row;
        self.buffer.values_mut().copy_within(kept..(end - self.first) * row, 0);
        (self.first, self.made) = (ready - 1, ready);
    }
}
