//! Maps with more channels, which are zero.

use rayon::prelude::*;

use super::extent::Extent;
use super::ops::{MapOp, Maps};

/// Appends channels of zeros to the channels of every pixel, up to this number of channels.
#[derive(Debug)]
pub struct PadChannels(pub usize);

impl MapOp for PadChannels {
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize) {
        (inputs[0].extent, self.0)
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        let Maps { values, extent, channels } = inputs[0];
        let rows =
            out.par_chunks_exact_mut(extent.width * self.0).zip(values.par_chunks_exact(extent.width * channels));
        rows.for_each(|(out, values)| {
            for (out, values) in out.chunks_exact_mut(self.0).zip(values.chunks_exact(channels)) {
                let (copied, zeros) = out.split_at_mut(channels);
                copied.copy_from_slice(values);
                zeros.fill(0.0);
            }
        });
    }
}
