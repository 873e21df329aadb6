//! Dilated convolutions as plain ones: the pixels that a dilated kernel sees are those of a smaller map.

use rayon::prelude::*;

use super::convolution::Convolution;
use super::extent::Extent;
use super::fused::{Epilogue, Prologue};
use super::scratch::Scratch;

/// A dilated convolution of stride 1 by a plain one, on every map of each `dilation`th row and column. So it can be
/// [Winograd's](super::Winograd2d).
#[derive(Debug)]
pub struct Phases<C> {
    convolution: C,
    dilation: usize,
}

/// Every `dilation`th row and column of maps, from a row and a column on.
#[derive(Clone, Copy)]
struct Phase {
    row: usize,
    column: usize,
    dilation: usize,
    extent: Extent,
}

impl<C: Convolution> Phases<C> {
    /// With the convolution without dilation, of stride 1.
    pub fn new(convolution: C, dilation: usize) -> Self {
        Self { convolution, dilation }
    }
}

impl Phase {
    /// The extent of the smaller maps.
    fn smaller(&self) -> Extent {
        let size = |size: usize, first: usize| size.saturating_sub(first).div_ceil(self.dilation);
        let Extent { images, height, width } = self.extent;
        Extent { images, height: size(height, self.row), width: size(width, self.column) }
    }

    /// The first pixel of a row of the smaller maps, in the larger ones.
    fn first(&self, row: usize) -> usize {
        let smaller = self.smaller();
        let (image, row) = (row / smaller.height, row % smaller.height);
        (image * self.extent.height + self.row + row * self.dilation) * self.extent.width + self.column
    }
}

impl<C: Convolution> Convolution for Phases<C> {
    fn outputs(&self) -> usize {
        self.convolution.outputs()
    }

    fn out(&self, extent: Extent) -> Extent {
        self.convolution.out(extent)
    }

    /// # Panics
    /// If the epilogue has noise, which is a value for each pixel of the larger maps.
    fn forward(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]) {
        assert!(epilogue.noise.is_none(), "noise of a dilated convolution");
        let (inputs, outputs, dilation) = (maps.len() / extent.pixels(), self.outputs(), self.dilation);
        for index in 0..dilation * dilation {
            let phase = Phase { row: index / dilation, column: index % dilation, dilation, extent };
            let smaller = phase.smaller();
            if smaller.pixels() == 0 {
                continue;
            }
            let mut gathered = Scratch::new(smaller.pixels() * inputs);
            let gathered = gathered.values_mut();
            gathered.par_chunks_exact_mut(smaller.width * inputs).enumerate().for_each(|(row, values)| {
                let pixels = maps[phase.first(row) * inputs..].chunks(inputs).step_by(dilation);
                values.chunks_exact_mut(inputs).zip(pixels).for_each(|(value, pixel)| value.copy_from_slice(pixel));
            });
            let mut convolved = Scratch::new(smaller.pixels() * outputs);
            let convolved = convolved.values_mut();
            self.convolution.forward(gathered, smaller, prologue, epilogue, convolved);
            // Rows of the larger maps, of which every `dilation`th belongs to this phase.
            let row = extent.width * outputs;
            out.par_chunks_exact_mut(row).enumerate().for_each(|(line, out)| {
                let (image, y) = (line / extent.height, line % extent.height);
                if y % dilation != phase.row {
                    return;
                }
                let from = (image * smaller.height + y / dilation) * smaller.width * outputs;
                let pixels = out[phase.column * outputs..].chunks_mut(outputs).step_by(dilation);
                let values = convolved[from..][..smaller.width * outputs].chunks_exact(outputs);
                pixels.zip(values).for_each(|(pixel, value)| pixel.copy_from_slice(value));
            });
        }
    }
}
