//! What is done to values on their way into and out of a convolution.

use std::sync::Arc;

use pulp::Simd;

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
    /// A factor for all, above zero.
    pub(crate) gain: Option<f32>,
}

/// A [`Prologue`] for vectors of channels.
pub(super) struct Entry<'a, S: Simd> {
    scale: &'a [S::f32s],
    shift: &'a [S::f32s],
}

/// An [`Epilogue`] with all that it may leave out.
#[derive(Clone, Debug)]
pub(super) struct Exit<'a> {
    scale: Vec<f32>,
    shift: Vec<f32>,
    slope: Vec<f32>,
    noise: &'a [f32],
    gain: f32,
}

/// The same for vectors of channels.
pub(super) struct Vectors<'a, S: Simd> {
    scale: &'a [S::f32s],
    shift: &'a [S::f32s],
    slope: &'a [S::f32s],
    noise: &'a [f32],
    gain: f32,
}

impl Prologue {
    pub(super) fn is_empty(&self) -> bool {
        self.scale.is_none() && self.shift.is_none()
    }

    /// With all that it may leave out, for so many channels, unless it leaves everything as it is.
    pub(super) fn whole(&self, channels: usize) -> Self {
        if self.is_empty() {
            return Self::default();
        }
        let or = |values: &Option<Arc<[f32]>>, otherwise: f32| {
            values.clone().unwrap_or_else(|| std::iter::repeat_n(otherwise, channels).collect())
        };
        Self { scale: Some(or(&self.scale, 1.0)), shift: Some(or(&self.shift, 0.0)) }
    }

    /// None if it leaves everything as it is.
    #[inline(always)]
    pub(super) fn entry<S: Simd>(&self) -> Option<Entry<'_, S>> {
        let of = |values| S::as_simd_f32s(values).0;
        Some(Entry { scale: of(self.scale.as_deref()?), shift: of(self.shift.as_deref()?) })
    }
}

impl<S: Simd> Entry<'_, S> {
    /// How many there are.
    pub(super) fn vectors(&self) -> usize {
        self.scale.len()
    }

    /// The values of a vector of channels.
    #[inline(always)]
    pub(super) fn apply(&self, simd: S, values: S::f32s, vector: usize) -> S::f32s {
        simd.mul_add_e_f32s(values, self.scale[vector], self.shift[vector])
    }
}

impl Epilogue {
    /// For so many channels.
    pub(super) fn exit(&self, channels: usize) -> Exit<'_> {
        let gain = self.gain.unwrap_or(1.0);
        let or = |values: &Option<Arc<[f32]>>, otherwise: f32, gain: f32| -> Vec<f32> {
            let values = values.as_deref();
            (0..channels).map(|channel| gain * values.map_or(otherwise, |values| values[channel])).collect()
        };
        Exit {
            scale: or(&self.scale, 1.0, gain),
            shift: or(&self.shift, 0.0, gain),
            slope: or(&self.slope, 1.0, 1.0),
            noise: self.noise.as_deref().unwrap_or_default(),
            gain,
        }
    }
}

impl Exit<'_> {
    #[inline(always)]
    pub(super) fn vectors<S: Simd>(&self) -> Vectors<'_, S> {
        let of = |values| S::as_simd_f32s(values).0;
        let Self { scale, shift, slope, noise, gain } = self;
        Vectors { scale: of(scale), shift: of(shift), slope: of(slope), noise, gain: *gain }
    }

    /// One value.
    pub(super) fn apply(&self, value: f32, channel: usize, pixel: usize) -> f32 {
        let noise = self.noise.get(pixel).map_or(0.0, |noise| noise * self.gain);
        let value = value.mul_add(self.scale[channel], self.shift[channel] + noise);
        if value < 0.0 { value * self.slope[channel] } else { value }
    }
}

impl<S: Simd> Vectors<'_, S> {
    /// The values of a vector of channels of a pixel.
    #[inline(always)]
    pub(super) fn apply(&self, simd: S, values: S::f32s, vector: usize, pixel: usize) -> S::f32s {
        let mut shift = self.shift[vector];
        if let Some(noise) = self.noise.get(pixel) {
            shift = simd.add_f32s(shift, simd.splat_f32s(noise * self.gain));
        }
        let values = simd.mul_add_e_f32s(values, self.scale[vector], shift);
        let below = simd.mul_f32s(values, self.slope[vector]);
        simd.select_f32s(simd.less_than_f32s(values, simd.splat_f32s(0.0)), below, values)
    }
}
