//! Maps after the prologue of a convolution that needs them in memory.

use std::ops::Deref;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::arch::arch;
use super::fused::Prologue;
use super::scratch::Scratch;

/// Numbers that a task computes, about.
const NUMBERS: usize = 1 << 14;

/// Maps after the prologue of a convolution: those that were given where it is empty.
pub(super) enum Prepared<'a> {
    Given(&'a [f32]),
    Computed(Scratch),
}

impl Deref for Prepared<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Given(maps) => maps,
            Self::Computed(maps) => maps.values(),
        }
    }
}

/// Applies a prologue to maps of `channels`.
pub(super) fn prepared<'a>(prologue: &Prologue, maps: &'a [f32], channels: usize) -> Prepared<'a> {
    let Prologue { scale: Some(scale), shift: Some(shift) } = &prologue.dense(channels) else {
        return Prepared::Given(maps);
    };
    let mut computed = Scratch::new(maps.len());
    let some = NUMBERS.next_multiple_of(channels);
    computed.values_mut().par_chunks_mut(some).zip(maps.par_chunks(some)).for_each(|(out, values)| {
        arch().dispatch(Apply { scale, shift, values, out });
    });
    Prepared::Computed(computed)
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
