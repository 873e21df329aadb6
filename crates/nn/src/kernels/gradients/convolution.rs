//! Convolutions whose weights change from step to step.

use rayon::prelude::*;

use super::{depthwise, transposed};
use crate::kernels::gemm::COLUMNS;
use crate::kernels::{
    Convolution, Direct, Epilogue, Extent, F43, Padding, Patches, Prologue, Scratch, Use, Winograd2d,
};

/// The fewest pixels for which it pays to transform the weights of a 3x3 convolution for Winograd's algorithm.
const TRANSFORMED: usize = 1024;

/// A convolution with a square kernel of an odd side, without its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) side: usize,
    pub(crate) stride: usize,
    /// Centred where the stride is 1.
    pub(crate) padding: Padding,
    /// Whether each channel has a kernel of its own, of 3 or 5 pixels.
    pub(crate) depthwise: bool,
}

impl Shape {
    /// The extent of the output.
    pub(crate) fn out(&self, extent: Extent) -> Extent {
        extent.strided(self.stride)
    }

    /// The zeros above the first row of maps, and before their first column.
    pub(crate) fn before(&self, Extent { height, width, .. }: Extent) -> [usize; 2] {
        [height, width].map(|length| self.padding.before(self.side, self.stride, length))
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
    let Shape { inputs, outputs, side, stride, padding, .. } = shape;
    if shape.depthwise {
        return depthwise::forward(shape, weights, maps, extent, out);
    }
    let (prologue, epilogue) = (Prologue::default(), Epilogue::default());
    if shape.is_transformed(extent) {
        Winograd2d::<F43>::of_use(weights, outputs, inputs, Use::Step).forward(maps, extent, &prologue, &epilogue, out);
    } else if inputs.is_multiple_of(COLUMNS) && padding == Padding::Centred {
        Direct::of_use(weights, [outputs, inputs], side, stride, Use::Step)
            .forward(maps, extent, &prologue, &epilogue, out);
    } else {
        let patches = Patches::of_use(weights, [outputs, inputs], side, stride, Use::Step).padded(padding);
        patches.forward(maps, extent, &prologue, &epilogue, out);
    }
}

/// The gradient of the maps, whose extent is `extent`, from that of the output.
pub(crate) fn input_gradient(shape: Shape, weights: &[f32], gradient: &[f32], extent: Extent, out: &mut [f32]) {
    let Shape { inputs, outputs, stride, .. } = shape;
    if shape.depthwise {
        depthwise::input_gradient(shape, weights, gradient, extent, out);
    } else if stride == 1 && outputs.is_multiple_of(COLUMNS) && inputs.is_multiple_of(COLUMNS) {
        // The same convolution from outputs to inputs, with the kernel turned by half a circle.
        let turned = Shape { inputs: outputs, outputs: inputs, ..shape };
        forward(turned, turn(shape, weights).values(), gradient, extent, out);
    } else {
        transposed::convolve(shape, weights, gradient, extent, out);
    }
}

/// Inputs by outputs by kernel, each kernel backwards.
fn turn(shape: Shape, weights: &[f32]) -> Scratch {
    let (taps, inputs, outputs) = (shape.taps(), shape.inputs, shape.outputs);
    let mut scratch = Scratch::new(weights.len());
    // Some inputs at a time, whose weights lie side by side.
    let at_once = COLUMNS * taps * outputs;
    scratch.values_mut().par_chunks_mut(at_once).enumerate().for_each(|(block, turned)| {
        let first = block * COLUMNS;
        for (output, weights) in weights.chunks_exact(inputs * taps).enumerate() {
            for (input, kernel) in weights[first * taps..].chunks_exact(taps).take(COLUMNS).enumerate() {
                let place = &mut turned[(input * outputs + output) * taps..][..taps];
                place.iter_mut().zip(kernel.iter().rev()).for_each(|(place, weight)| *place = *weight);
            }
        }
    });
    scratch
}
