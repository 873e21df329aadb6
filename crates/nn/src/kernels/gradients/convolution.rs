//! Convolutions whose weights change from step to step.

use rayon::prelude::*;

use super::transposed;
use crate::kernels::gemm::COLUMNS;
use crate::kernels::{Convolution, Direct, Epilogue, Extent, F43, Patches, Prologue, Winograd2d};

/// The fewest pixels for which it pays to transform the weights of a 3x3 convolution for Winograd's algorithm.
const TRANSFORMED: usize = 1024;

/// A convolution with a square kernel of an odd side, padded by half of it, without its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) side: usize,
    pub(crate) stride: usize,
}

impl Shape {
    /// The extent of the output.
    pub(crate) fn out(&self, Extent { images, height, width }: Extent) -> Extent {
        Extent { images, height: height.div_ceil(self.stride), width: width.div_ceil(self.stride) }
    }

    /// The weights of an output and an input.
    pub(crate) fn taps(&self) -> usize {
        self.side * self.side
    }

    fn is_transformed(&self, extent: Extent) -> bool {
        (self.side, self.stride) == (3, 1)
            && self.inputs.is_multiple_of(COLUMNS)
            && self.outputs.is_multiple_of(COLUMNS)
            && extent.pixels() >= TRANSFORMED
    }
}

/// Convolves maps with weights, outputs by inputs by kernel.
pub(crate) fn forward(shape: Shape, weights: &[f32], maps: &[f32], extent: Extent, out: &mut [f32]) {
    let Shape { inputs, outputs, side, stride } = shape;
    let (prologue, epilogue) = (Prologue::default(), Epilogue::default());
    if shape.is_transformed(extent) {
        Winograd2d::<F43>::new(weights, outputs, inputs).forward(maps, extent, &prologue, &epilogue, out);
    } else if inputs.is_multiple_of(COLUMNS) {
        Direct::new(weights, [outputs, inputs], side, stride).forward(maps, extent, &prologue, &epilogue, out);
    } else {
        Patches::new(weights, [outputs, inputs], side, stride).forward(maps, extent, &prologue, &epilogue, out);
    }
}

/// The gradient of the maps, whose extent is `extent`, from that of the output.
pub(crate) fn input_gradient(shape: Shape, weights: &[f32], gradient: &[f32], extent: Extent, out: &mut [f32]) {
    let Shape { inputs, outputs, side, stride } = shape;
    if stride == 1 && outputs.is_multiple_of(COLUMNS) && inputs.is_multiple_of(COLUMNS) {
        // The same convolution from outputs to inputs, with the kernel turned by half a circle.
        let turned = Shape { inputs: outputs, outputs: inputs, side, stride };
        forward(turned, &turn(shape, weights), gradient, extent, out);
    } else {
        transposed::convolve(shape, weights, gradient, extent, out);
    }
}

/// Inputs by outputs by kernel, each kernel backwards.
fn turn(shape: Shape, weights: &[f32]) -> Vec<f32> {
    let (taps, inputs, outputs) = (shape.taps(), shape.inputs, shape.outputs);
    let mut turned = vec![0.0; weights.len()];
    // Some inputs at a time, whose weights lie side by side.
    let at_once = COLUMNS * taps * outputs;
    turned.par_chunks_mut(at_once).enumerate().for_each(|(block, turned)| {
        let first = block * COLUMNS;
        for (output, weights) in weights.chunks_exact(inputs * taps).enumerate() {
            for (input, kernel) in weights[first * taps..].chunks_exact(taps).take(COLUMNS).enumerate() {
                let place = &mut turned[(input * outputs + output) * taps..][..taps];
                place.iter_mut().zip(kernel.iter().rev()).for_each(|(place, weight)| *place = *weight);
            }
        }
    });
    turned
}
