//! A convolution with prepared weights, as an operation on feature maps.

use std::fmt;
use std::sync::Arc;

use burn::tensor::Tensor;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::extent::Extent;
use super::fused::{Epilogue, Prologue};
use super::ops::{MapOp, Maps, UpdateOp, apply, update};
use super::scratch::Scratch;

/// A convolution whose weights are prepared for a kernel of the CPU.
pub trait Convolution: fmt::Debug + Send + Sync {
    /// Output channels.
    fn outputs(&self) -> usize;

    /// The extent of the output.
    fn out(&self, extent: Extent) -> Extent;

    /// Convolves maps into `out`, every value of which is written.
    fn forward(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]);

    /// The same with the values that `out` holds added before the activation. The epilogue has no gain.
    fn forward_add(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]) {
        let sum = Epilogue { slope: None, ceiling: None, ..epilogue.clone() };
        let mut convolved = Scratch::new(out.len());
        self.forward(maps, extent, prologue, &sum, convolved.values_mut());
        let outputs = self.outputs();
        let (slope, ceiling) = (epilogue.slope.as_deref(), epilogue.ceiling);
        let row = self.out(extent).width * outputs;
        out.par_chunks_exact_mut(row).zip(convolved.values().par_chunks_exact(row)).for_each(|(out, others)| {
            arch().dispatch(AddActivate { slope, ceiling, outputs, others, out });
        });
    }
}

/// Adds values, and applies the activation with this slope for each channel and this ceiling.
struct AddActivate<'a> {
    slope: Option<&'a [f32]>,
    ceiling: Option<f32>,
    outputs: usize,
    others: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for AddActivate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { slope, ceiling, outputs, others, out } = self;
        for (out, others) in out.chunks_exact_mut(outputs).zip(others.chunks_exact(outputs)) {
            out.iter_mut().zip(others).for_each(|(out, other)| *out += other);
            if let Some(slope) = slope {
                out.iter_mut().zip(slope).for_each(|(out, slope)| *out = if *out < 0.0 { *out * slope } else { *out });
            }
            if let Some(ceiling) = ceiling {
                out.iter_mut().for_each(|out| *out = if *out > ceiling { ceiling } else { *out });
            }
        }
    }
}

/// Convolves float32 maps, `(images, height, width, channels)`, on the CPU.
pub fn convolve(
    maps: Tensor<4>,
    convolution: Arc<dyn Convolution>,
    prologue: Prologue,
    epilogue: Epilogue,
) -> Tensor<4> {
    apply(Convolve { convolution, prologue, epilogue }, maps)
}

/// The same with `others`, maps of the output's extent, added before the activation. The epilogue has no gain.
pub fn convolve_add(
    maps: Tensor<4>,
    others: Tensor<4>,
    convolution: Arc<dyn Convolution>,
    prologue: Prologue,
    epilogue: Epilogue,
) -> Tensor<4> {
    update(Convolve { convolution, prologue, epilogue }, maps, others)
}

#[derive(Debug)]
struct Convolve {
    convolution: Arc<dyn Convolution>,
    prologue: Prologue,
    epilogue: Epilogue,
}

impl MapOp for Convolve {
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize) {
        (self.convolution.out(inputs[0].extent), self.convolution.outputs())
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        let Maps { values, extent, .. } = inputs[0];
        self.convolution.forward(values, extent, &self.prologue, &self.epilogue, out);
    }
}

impl UpdateOp for Convolve {
    fn update(&self, Maps { values, extent, .. }: Maps, _: Extent, sums: &mut [f32]) {
        self.convolution.forward_add(values, extent, &self.prologue, &self.epilogue, sums);
    }
}
