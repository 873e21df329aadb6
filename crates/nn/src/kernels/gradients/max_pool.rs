//! Max pooling that remembers where each value came from.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::kernels::arch::arch;
use crate::kernels::extent::Extent;
use crate::kernels::max_pool::MaxPool;

/// Pools maps, and writes for each value the place in its window, row by row.
pub(crate) fn max_pool(pool: MaxPool, maps: &[f32], extent: Extent, out: &mut [f32], places: &mut [u8]) {
    let channels = maps.len() / extent.pixels();
    let out_extent = extent.strided(pool.stride);
    let row = out_extent.width * channels;
    out.par_chunks_exact_mut(row).zip(places.par_chunks_exact_mut(row)).enumerate().for_each(
        |(index, (out, places))| {
            let (image, y) = (index / out_extent.height, index % out_extent.height);
            arch().dispatch(Row { pool, maps, extent, channels, image, y, out, places });
        },
    );
}

struct Row<'a> {
    pool: MaxPool,
    maps: &'a [f32],
    extent: Extent,
    channels: usize,
    image: usize,
    y: usize,
    out: &'a mut [f32],
    places: &'a mut [u8],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { pool: MaxPool { side, stride }, maps, extent, channels, image, y, out, places } = self;
        let half = side / 2;
        for (x, (out, places)) in out.chunks_exact_mut(channels).zip(places.chunks_exact_mut(channels)).enumerate() {
            out.fill(f32::NEG_INFINITY);
            for down in 0..side {
                for across in 0..side {
                    let (row, column) =
                        ((y * stride + down).wrapping_sub(half), (x * stride + across).wrapping_sub(half));
                    if row >= extent.height || column >= extent.width {
                        continue;
                    }
                    let values =
                        &maps[((image * extent.height + row) * extent.width + column) * channels..][..channels];
                    let place = (down * side + across) as u8;
                    for ((out, found), value) in out.iter_mut().zip(places.iter_mut()).zip(values) {
                        let larger = *value > *out;
                        *out = if larger { *value } else { *out };
                        *found = if larger { place } else { *found };
                    }
                }
            }
        }
    }
}

/// The gradient of the maps, whose extent is `extent`.
pub(crate) fn max_pool_gradient(pool: MaxPool, gradient: &[f32], places: &[u8], extent: Extent, out: &mut [f32]) {
    let channels = out.len() / extent.pixels();
    out.par_chunks_exact_mut(extent.width * channels).enumerate().for_each(|(index, out)| {
        let (image, y) = (index / extent.height, index % extent.height);
        arch().dispatch(Spread { pool, gradient, places, extent, channels, image, y, out });
    });
}

struct Spread<'a> {
    pool: MaxPool,
    gradient: &'a [f32],
    places: &'a [u8],
    extent: Extent,
    channels: usize,
    image: usize,
    y: usize,
    out: &'a mut [f32],
}

impl WithSimd for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { pool, gradient, places, extent, channels, image, y, out } = self;
        let MaxPool { side, stride } = pool;
        let pooled = extent.strided(pool.stride);
        out.fill(0.0);
        // The windows that hold the pixel, and its place in them.
        let windows = |at: usize, count: usize| {
            let shifted = at + side / 2;
            (0..side).filter_map(move |tap| {
                let window = shifted.checked_sub(tap)?;
                (window.is_multiple_of(stride) && window / stride < count).then_some((tap, window / stride))
            })
        };
        for (down, row) in windows(y, pooled.height) {
            for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                for (across, column) in windows(x, pooled.width) {
                    let from = ((image * pooled.height + row) * pooled.width + column) * channels;
                    let place = (down * side + across) as u8;
                    let values = gradient[from..][..channels].iter().zip(&places[from..][..channels]);
                    for (out, (value, found)) in out.iter_mut().zip(values) {
                        *out += if *found == place { *value } else { 0.0 };
                    }
                }
            }
        }
    }
}
