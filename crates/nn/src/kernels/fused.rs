//! Channelwise operations that a convolution applies to its inputs (prologue) and to its outputs (epilogue), while the values are
//! in registers.

use std::sync::Arc;

use pulp::Simd;

use super::gemm::COLUMNS;

/// Operations on the inputs, channel by channel. The padding around a map stays zero.
#[derive(Clone, Debug, Default)]
pub struct Prologue {
    /// A factor: styles, or a normalization.
    pub scale: Option<Arc<[f32]>>,
    /// An offset, added after the factor.
    pub shift: Option<Arc<[f32]>>,
}

/// Operations on the outputs, channel by channel, in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Epilogue {
    /// A factor: a demodulation, or a normalization.
    pub scale: Option<Arc<[f32]>>,
    /// A value for each pixel, added to every channel.
    pub noise: Option<Arc<[f32]>>,
    /// An offset.
    pub shift: Option<Arc<[f32]>>,
    /// A factor for values below zero.
    pub slope: Option<Arc<[f32]>>,
    /// A factor for all channels, above zero.
    pub gain: Option<f32>,
    /// The largest value, as in `ReLU6`.
    pub ceiling: Option<f32>,
}

/// A [`Prologue`] as vectors of channels.
pub struct SimdPrologue<'a, S: Simd> {
    scale: &'a [S::f32s],
    shift: &'a [S::f32s],
}

/// An [`Epilogue`] with a value for every channel: neutral ones where the epilogue has none. The gain is multiplied into them.
#[derive(Clone, Debug)]
pub struct DenseEpilogue<'a> {
    scale: Vec<f32>,
    shift: Vec<f32>,
    slope: Vec<f32>,
    noise: &'a [f32],
    gain: f32,
    ceiling: f32,
}

/// Some channels of a [`DenseEpilogue`]. Arrays of a constant length become vectors.
pub(super) struct SomeEpilogue<'a, const N: usize> {
    scale: [f32; N],
    shift: [f32; N],
    slope: [f32; N],
    noise: &'a [f32],
    gain: f32,
    ceiling: f32,
}

/// Whole panels of a [`SimdEpilogue`] without noise.
pub(super) struct PanelEpilogue<'a, S: Simd, const VECTORS: usize, const PANELS: usize> {
    scale: &'a [[S::f32s; VECTORS]; PANELS],
    shift: &'a [[S::f32s; VECTORS]; PANELS],
    slope: &'a [[S::f32s; VECTORS]; PANELS],
    gain: S::f32s,
    ceiling: S::f32s,
}

/// One vector of a [`SimdEpilogue`] without noise.
#[derive(Clone, Copy)]
pub(super) struct VectorEpilogue<S: Simd> {
    scale: S::f32s,
    shift: S::f32s,
    slope: S::f32s,
    ceiling: S::f32s,
}

/// A [`DenseEpilogue`] as vectors of channels.
pub struct SimdEpilogue<'a, S: Simd> {
    scale: &'a [S::f32s],
    shift: &'a [S::f32s],
    slope: &'a [S::f32s],
    noise: &'a [f32],
    gain: f32,
    ceiling: f32,
}

impl Prologue {
    /// Whether the prologue leaves all values unchanged.
    pub fn is_empty(&self) -> bool {
        self.scale.is_none() && self.shift.is_none()
    }

    /// The same with both factors and offsets for all `channels`. An empty prologue stays empty.
    pub fn dense(&self, channels: usize) -> Self {
        if self.is_empty() {
            return Self::default();
        }
        let or = |values: &Option<Arc<[f32]>>, neutral: f32| {
            values.clone().unwrap_or_else(|| std::iter::repeat_n(neutral, channels).collect())
        };
        Self { scale: Some(or(&self.scale, 1.0)), shift: Some(or(&self.shift, 0.0)) }
    }

    /// The vectors of a [`dense`](Self::dense) prologue; `None` for an empty one.
    #[inline(always)]
    pub fn simd<S: Simd>(&self) -> Option<SimdPrologue<'_, S>> {
        let of = |values| S::as_simd_f32s(values).0;
        Some(SimdPrologue { scale: of(self.scale.as_deref()?), shift: of(self.shift.as_deref()?) })
    }
}

impl<S: Simd> SimdPrologue<'_, S> {
    /// The number of vectors of a pixel.
    #[inline(always)]
    pub fn vectors(&self) -> usize {
        self.scale.len()
    }

    /// Applies the prologue to one vector of a pixel.
    #[inline(always)]
    pub fn apply(&self, simd: S, values: S::f32s, vector: usize) -> S::f32s {
        simd.mul_add_e_f32s(values, self.scale[vector], self.shift[vector])
    }
}

impl Epilogue {
    /// The same with a value for each of `channels`. The values begin again where the channels do not fill the last line.
    pub fn dense(&self, channels: usize) -> DenseEpilogue<'_> {
        let gain = self.gain.unwrap_or(1.0);
        let or = |values: &Option<Arc<[f32]>>, neutral: f32, gain: f32| -> Vec<f32> {
            let values = values.as_deref();
            let value = |channel: usize| values.map_or(neutral, |values| values[channel]);
            let line = 0..channels.next_multiple_of(COLUMNS);
            line.map(|channel| gain * value(channel % channels)).collect()
        };
        DenseEpilogue {
            scale: or(&self.scale, 1.0, gain),
            shift: or(&self.shift, 0.0, gain),
            slope: or(&self.slope, 1.0, 1.0),
            noise: self.noise.as_deref().unwrap_or_default(),
            gain,
            ceiling: self.ceiling.unwrap_or(f32::INFINITY),
        }
    }
}

impl DenseEpilogue<'_> {
    /// The vectors of all channels.
    #[inline(always)]
    pub fn simd<S: Simd>(&self) -> SimdEpilogue<'_, S> {
        let of = |values| S::as_simd_f32s(values).0;
        let Self { scale, shift, slope, noise, gain, ceiling } = self;
        SimdEpilogue { scale: of(scale), shift: of(shift), slope: of(slope), noise, gain: *gain, ceiling: *ceiling }
    }

    /// `N` channels from one on.
    #[inline(always)]
    pub(super) fn some<const N: usize>(&self, channel: usize) -> SomeEpilogue<'_, N> {
        let of = |values: &[f32]| *values[channel..].first_chunk().expect("the channels exist");
        let Self { scale, shift, slope, noise, gain, ceiling } = self;
        SomeEpilogue { scale: of(scale), shift: of(shift), slope: of(slope), noise, gain: *gain, ceiling: *ceiling }
    }

    /// Applies the epilogue to one value.
    #[inline]
    pub fn apply(&self, value: f32, channel: usize, pixel: usize) -> f32 {
        self.apply_added(value, channel, pixel, 0.0)
    }

    /// The same with `other` times the gain added before the activation.
    #[inline]
    pub fn apply_added(&self, value: f32, channel: usize, pixel: usize, other: f32) -> f32 {
        let noise = self.noise.get(pixel).map_or(0.0, |noise| noise * self.gain);
        let value = value.mul_add(self.scale[channel], self.shift[channel] + noise) + other * self.gain;
        let value = if value < 0.0 { value * self.slope[channel] } else { value };
        if value > self.ceiling { self.ceiling } else { value }
    }
}

impl<const N: usize> SomeEpilogue<'_, N> {
    /// Applies the epilogue to the channels of a pixel.
    #[inline(always)]
    pub(super) fn apply(&self, mut values: [f32; N], pixel: usize) -> [f32; N] {
        let noise = self.noise.get(pixel).map_or(0.0, |noise| noise * self.gain);
        for index in 0..N {
            let value = values[index].mul_add(self.scale[index], self.shift[index] + noise);
            let value = if value < 0.0 { value * self.slope[index] } else { value };
            values[index] = if value > self.ceiling { self.ceiling } else { value };
        }
        values
    }
}

impl<S: Simd, const VECTORS: usize, const PANELS: usize> PanelEpilogue<'_, S, VECTORS, PANELS> {
    #[inline(always)]
    pub(super) fn shifted(&self, simd: S, values: S::f32s, panel: usize, vector: usize) -> S::f32s {
        simd.mul_add_e_f32s(values, self.scale[panel][vector], self.shift[panel][vector])
    }

    #[inline(always)]
    pub(super) fn added(&self, simd: S, values: S::f32s, others: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(others, self.gain, values)
    }

    #[inline(always)]
    pub(super) fn activated(&self, simd: S, values: S::f32s, panel: usize, vector: usize) -> S::f32s {
        activated(simd, values, self.slope[panel][vector], self.ceiling)
    }
}

/// Applies the slope below zero, and the ceiling.
#[inline(always)]
fn activated<S: Simd>(simd: S, values: S::f32s, slope: S::f32s, ceiling: S::f32s) -> S::f32s {
    let below = simd.mul_f32s(values, slope);
    let values = simd.select_f32s(simd.less_than_f32s(values, simd.splat_f32s(0.0)), below, values);
    simd.min_f32s(values, ceiling)
}

impl<S: Simd> VectorEpilogue<S> {
    /// Applies the epilogue to the vector of any pixel.
    #[inline(always)]
    pub(super) fn apply(&self, simd: S, values: S::f32s) -> S::f32s {
        activated(simd, simd.mul_add_e_f32s(values, self.scale, self.shift), self.slope, self.ceiling)
    }
}

impl<'a, S: Simd> SimdEpilogue<'a, S> {
    /// Whether there is no noise.
    #[inline(always)]
    pub(super) fn is_quiet(&self) -> bool {
        self.noise.is_empty()
    }

    /// The parameters of panels from one on.
    #[inline(always)]
    pub(super) fn some<const VECTORS: usize, const PANELS: usize>(
        &self,
        simd: S,
        panel: usize,
    ) -> PanelEpilogue<'a, S, VECTORS, PANELS> {
        fn of<T, const VECTORS: usize, const PANELS: usize>(values: &[T], panel: usize) -> &[[T; VECTORS]; PANELS] {
            values.as_chunks::<VECTORS>().0[panel..].first_chunk().expect("the panels exist")
        }
        PanelEpilogue {
            scale: of(self.scale, panel),
            shift: of(self.shift, panel),
            slope: of(self.slope, panel),
            gain: simd.splat_f32s(self.gain),
            ceiling: simd.splat_f32s(self.ceiling),
        }
    }

    /// The parameters of one vector.
    #[inline(always)]
    pub(super) fn of_vector(&self, simd: S, vector: usize) -> VectorEpilogue<S> {
        let Self { scale, shift, slope, ceiling, .. } = *self;
        let ceiling = simd.splat_f32s(ceiling);
        VectorEpilogue { scale: scale[vector], shift: shift[vector], slope: slope[vector], ceiling }
    }

    /// Applies the epilogue to one vector of a pixel.
    #[inline(always)]
    pub fn apply(&self, simd: S, values: S::f32s, vector: usize, pixel: usize) -> S::f32s {
        let values = self.shifted(simd, values, vector, pixel);
        self.activated(simd, values, vector)
    }

    /// The same with `others` times the gain added before the activation.
    #[inline(always)]
    pub fn apply_added(&self, simd: S, values: S::f32s, vector: usize, pixel: usize, others: S::f32s) -> S::f32s {
        let values = self.shifted(simd, values, vector, pixel);
        self.activated(simd, simd.mul_add_e_f32s(others, simd.splat_f32s(self.gain), values), vector)
    }

    #[inline(always)]
    fn shifted(&self, simd: S, values: S::f32s, vector: usize, pixel: usize) -> S::f32s {
        let mut shift = self.shift[vector];
        if let Some(noise) = self.noise.get(pixel) {
            shift = simd.add_f32s(shift, simd.splat_f32s(noise * self.gain));
        }
        simd.mul_add_e_f32s(values, self.scale[vector], shift)
    }

    #[inline(always)]
    fn activated(&self, simd: S, values: S::f32s, vector: usize) -> S::f32s {
        activated(simd, values, self.slope[vector], simd.splat_f32s(self.ceiling))
    }
}
