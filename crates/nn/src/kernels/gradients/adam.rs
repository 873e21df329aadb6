//! One step of Adam in place.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::kernels::arch::arch;

/// Numbers of a task.
const NUMBERS: usize = 1 << 14;

/// The numbers of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamStep {
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    /// What remains of the weight.
    pub(crate) kept: f32,
    /// The rate, corrected for the first moment's beginning at 0.
    pub(crate) rate: f32,
    /// The factor of the second moment's root, corrected likewise.
    pub(crate) root: f32,
    pub(crate) epsilon: f32,
}

/// Updates values and moments.
pub(crate) fn adam(step: AdamStep, values: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
    let moments = first.par_chunks_mut(NUMBERS).zip(second.par_chunks_mut(NUMBERS));
    let chunks = values.par_chunks_mut(NUMBERS).zip(gradient.par_chunks(NUMBERS)).zip(moments);
    chunks.for_each(|((values, gradient), (first, second))| {
        arch().dispatch(Update { step, values, gradient, first, second });
    });
}

struct Update<'a> {
    step: AdamStep,
    values: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl WithSimd for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { step: AdamStep { beta1, beta2, kept, rate, root, epsilon }, values, gradient, first, second } = self;
        let moments = first.iter_mut().zip(second);
        for ((value, gradient), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            *first = *first * beta1 + gradient * (1.0 - beta1);
            *second = *second * beta2 + gradient * gradient * (1.0 - beta2);
            *value = *value * kept - *first / (second.sqrt() * root + epsilon) * rate;
        }
    }
}
