//! The channels of several maps, one after the other.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::extent::Extent;
use super::ops::{MapOp, Maps};

/// `torch.cat` of maps of one extent along the channels.
#[derive(Debug)]
pub struct Concatenate;

impl MapOp for Concatenate {
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize) {
        (inputs[0].extent, inputs.iter().map(|maps| maps.channels).sum())
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        let (Extent { width, .. }, channels) = self.shape(inputs);
        out.par_chunks_exact_mut(width * channels).enumerate().for_each(|(row, out)| {
            let mut first = 0;
            for Maps { values, channels: some, .. } in inputs {
                let values = &values[row * width * some..][..width * some];
                arch().dispatch(Copy { values, some: *some, first, channels, out });
                first += some;
            }
        });
    }
}

/// Copies a row of some channels into a row of all of them.
struct Copy<'a> {
    values: &'a [f32],
    some: usize,
    /// Channels before them.
    first: usize,
    channels: usize,
    out: &'a mut [f32],
}

impl WithSimd for Copy<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { values, some, first, channels, out } = self;
        for (values, out) in values.chunks_exact(some).zip(out.chunks_exact_mut(channels)) {
            // A loop: a call of `memcpy` for each pixel takes longer than the copy.
            out[first..][..some].iter_mut().zip(values).for_each(|(out, value)| *out = *value);
        }
    }
}
