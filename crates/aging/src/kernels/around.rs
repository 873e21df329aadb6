//! What is done to values on their way into and out of a convolution.

use std::sync::Arc;

/// For each input channel; what is beyond the edge stays zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prologue {
    /// A factor: styles, or a normalization.
    pub(crate) scale: Option<Arc<[f32]>>,
    /// What is added then.
    pub(crate) shift: Option<Arc<[f32]>>,
}

/// For each output channel, in this order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epilogue {
    /// A factor: a demodulation, or a normalization.
    pub(crate) scale: Option<Arc<[f32]>>,
    /// A value for each pixel, the same in every channel.
    pub(crate) noise: Option<Arc<[f32]>>,
    /// What is added.
    pub(crate) shift: Option<Arc<[f32]>>,
    /// A factor for values below zero.
    pub(crate) slope: Option<Arc<[f32]>>,
    /// A factor for all.
    pub(crate) gain: Option<f32>,
}

/// What a [`Prologue`] does to one channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) scale: f32,
    pub(super) shift: f32,
}

/// What an [`Epilogue`] does to one channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit<'a> {
    pub(super) scale: f32,
    pub(super) shift: f32,
    pub(super) slope: f32,
    pub(super) gain: f32,
    pub(super) noise: Option<&'a [f32]>,
}

fn of(values: &Option<Arc<[f32]>>, channel: usize, otherwise: f32) -> f32 {
    values.as_ref().map_or(otherwise, |values| values[channel])
}

impl Prologue {
    pub(super) fn channel(&self, channel: usize) -> Entry {
        Entry { scale: of(&self.scale, channel, 1.0), shift: of(&self.shift, channel, 0.0) }
    }
}

impl Epilogue {
    pub(super) fn channel(&self, channel: usize) -> Exit<'_> {
        Exit {
            scale: of(&self.scale, channel, 1.0),
            shift: of(&self.shift, channel, 0.0),
            slope: of(&self.slope, channel, 1.0),
            gain: self.gain.unwrap_or(1.0),
            noise: self.noise.as_deref(),
        }
    }
}

impl Exit<'_> {
    /// Finishes the values of a row's pixels from `start` on, in the map's order.
    #[inline(always)]
    pub(super) fn finish(&self, values: &mut [f32], start: usize) {
        let Self { scale, shift, slope, gain, noise } = *self;
        let done = |value: f32| gain * if value < 0.0 { slope * value } else { value };
        match noise {
            Some(noise) => {
                for (value, noise) in values.iter_mut().zip(&noise[start..]) {
                    *value = done(*value * scale + noise + shift);
                }
            }
            None => {
                for value in values {
                    *value = done(*value * scale + shift);
                }
            }
        }
    }
}
