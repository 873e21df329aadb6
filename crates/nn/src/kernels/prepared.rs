//! Maps after the prologue of a convolution that needs them in memory.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::fused::Prologue;
use super::scratch::Scratch;

/// Numbers that a task computes, about.
const NUMBERS: usize = 1 << 14;

/// The memory for [`prepared`] maps.
pub(super) fn memory(prologue: &Prologue, maps: &[f32]) -> Scratch {
    Scratch::new(if prologue.is_empty() { 0 } else { maps.len() })
}

/// Maps of `channels` after the prologue, in `memory`; the maps themselves where the prologue is empty.
pub(super) fn prepared<'a>(
    prologue: &Prologue,
    maps: &'a [f32],
    channels: usize,
    memory: &'a mut Scratch,
) -> &'a [f32] {
    let Prologue { scale: Some(scale), shift: Some(shift) } = &prologue.dense(channels) else { return maps };
    let some = NUMBERS.next_multiple_of(channels);
    memory.values_mut().par_chunks_mut(some).zip(maps.par_chunks(some)).for_each(|(out, values)| {
        arch().dispatch(Apply { scale, shift, values, out });
    });
    memory.values_mut()
}

struct Apply<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    values: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { scale, shift, values, out } = self;
        let channels = scale.len();
        for (out, values) in out.chunks_exact_mut(channels).zip(values.chunks_exact(channels)) {
            let operations = scale.iter().zip(shift);
            for ((out, value), (scale, shift)) in out.iter_mut().zip(values).zip(operations) {
                *out = value.mul_add(*scale, *shift);
            }
        }
    }
}
