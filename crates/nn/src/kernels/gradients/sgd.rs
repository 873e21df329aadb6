//! One step of gradient descent with momentum in place.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::kernels::arch::arch;

/// Numbers of a task.
const NUMBERS: usize = 1 << 14;

/// The numbers of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SgdStep {
    pub(crate) rate: f32,
    pub(crate) momentum: f32,
    /// The share of a weight that is added to its gradient.
    pub(crate) decay: f32,
}

/// Updates values and velocities.
pub(crate) fn sgd(step: SgdStep, values: &mut [f32], gradient: &[f32], velocity: &mut [f32]) {
    let chunks = values.par_chunks_mut(NUMBERS).zip(gradient.par_chunks(NUMBERS)).zip(velocity.par_chunks_mut(NUMBERS));
    chunks.for_each(|((values, gradient), velocity)| {
        arch().dispatch(Update { step, values, gradient, velocity });
    });
}

struct Update<'a> {
    step: SgdStep,
    values: &'a mut [f32],
    gradient: &'a [f32],
    velocity: &'a mut [f32],
}

impl WithSimd for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { step: SgdStep { rate, momentum, decay }, values, gradient, velocity } = self;
        for ((value, gradient), velocity) in values.iter_mut().zip(gradient).zip(velocity) {
            *velocity = *velocity * momentum + (gradient + *value * decay);
            *value -= *velocity * rate;
        }
    }
}
